"""Readers of all supported corpora, by kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from emotion.corpora.base import EmotionCorpus
from emotion.corpora.cremad import read_cremad
from emotion.corpora.emodb import read_emodb
from emotion.corpora.iemocap import read_iemocap
from emotion.corpora.meld import read_meld
from emotion.corpora.ravdess import read_ravdess
from emotion.corpora.table import read_table
from speech2vec.runtime.errors import UserError

CORPORA: dict[str, Callable[[Path], EmotionCorpus]] = {
    "iemocap": read_iemocap,
    "ravdess": read_ravdess,
    "emodb": read_emodb,
    "crema-d": read_cremad,
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
            raise UserError(f"{root}: no such table (a CSV, TSV or JSONL file)")
    elif not root.is_dir():
        raise UserError(f"{root}: no such corpus folder")
    return CORPORA[kind](root)
