"""Readers of all supported corpora, by kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from emotion.corpora.base import EmotionCorpus
from emotion.corpora.cremad import read_cremad
from emotion.corpora.emodb import read_emodb
from emotion.corpora.iemocap import read_iemocap
from emotion.corpora.meld import read_meld
from emotion.corpora.nemo import read_nemo
from emotion.corpora.ravdess import read_ravdess
from emotion.corpora.table import read_table
from speech2vec.corpus.readers import BAD_FILE_NAME, Problem, writable
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import is_utf8

CORPORA: dict[str, Callable[[Path], EmotionCorpus]] = {
    "iemocap": read_iemocap,
    "ravdess": read_ravdess,
    "emodb": read_emodb,
    "crema-d": read_cremad,
    "nemo": read_nemo,
    "meld": read_meld,
    "table": read_table,
}


def read_emotion_corpus(kind: str, root: Path) -> EmotionCorpus:
    """Read the corpus at `root`.

    Parameters
    ----------
    kind : str
        A key of `CORPORA`.
    root : Path
        The corpus' folder; for ``table`` the table itself.

    Raises
    ------
    UserError
        The kind is unknown, the folder does not exist, or it does not contain such a corpus.
    """
    if kind not in CORPORA:
        raise UserError(f"unknown corpus kind '{kind}': choose one of {', '.join(CORPORA)}")
    root = Path(root)
    if kind == "table":
        if not root.is_file():
            what = "is a folder, not a table" if root.is_dir() else "no such table"
            raise UserError(
                f"{root}: {what}: a table is a CSV, TSV or JSONL file with a row for each recording and the columns "
                "audio (its path), speaker and label, and text if there is any"
            )
    elif not root.is_dir():
        raise UserError(f"{root}: no such corpus folder")
    corpus = CORPORA[kind](root)
    for utterance in corpus.utterances:
        if not is_utf8(f"{utterance.utterance_id}{utterance.audio}"):
            corpus.problems.append(Problem(utterance.utterance_id, BAD_FILE_NAME, f"{utterance.audio}: rename it"))
    bad = {problem.utterance_id for problem in corpus.problems if problem.reason == BAD_FILE_NAME}
    corpus.utterances = [utterance for utterance in corpus.utterances if utterance.utterance_id not in bad]
    corpus.problems = [writable(problem) for problem in corpus.problems]
    corpus.notes = [writable(note) for note in corpus.notes]
    return corpus
