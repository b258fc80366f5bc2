"""Each word's vector from its own sound: a Speech2Vec encoder over the aligned words of the emotion corpus.

The paper argues that word embeddings learned from speech carry what a speaker and a channel add; a table of one
vector a word cannot. Here the classifier sees the vector of THIS instance.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from speech2vec.config import validate_settings
from speech2vec.encoding import encode_instances, load_run
from speech2vec.errors import UserError
from speech2vec.extraction import extract
from speech2vec.mfcc import MfccSettings
from speech2vec.runs import atomic_path
from speech2vec.store import Store


@dataclass(frozen=True)
class WordSegments:
    """The vectors of all aligned words of some utterances.

    Parameters
    ----------
    vectors : ndarray [shape=(n_words, vector_size)], float32
        Utterance after utterance, in time order.
    n_words : ndarray [shape=(n_utterances,)], int64
    """

    vectors: np.ndarray
    n_words: np.ndarray

    def of_each(self) -> list[np.ndarray]:
        """Each utterance's vectors [shape=(n_words, vector_size)]; no rows where it has no aligned word."""
        return np.split(self.vectors, np.cumsum(self.n_words)[:-1])

    def save(self, path: Path) -> None:
        with atomic_path(path) as temporary:
            save_file({"vectors": self.vectors, "n_words": self.n_words}, temporary)

    @classmethod
    def load(cls, path: Path) -> WordSegments:
        return cls(**load_file(path))


def encode_words(run: Path, aligned: Path, utterance_ids: Sequence[str], jobs: int = 1) -> WordSegments:
    """Encode the aligned words of a corpus.

    Parameters
    ----------
    run : Path
        A run of ``speech2vec train``; its store says how MFCC are made.
    aligned : Path
        What ``speech2vec-align`` made of the prepared corpus' utterances.jsonl.
    utterance_ids : sequence of str
        The order that is wanted.
    jobs : int
        Processes for the MFCC.

    Raises
    ------
    UserError
        No utterance has an aligned word.
    """
    loaded = load_run(run)
    settings = validate_settings(MfccSettings, loaded.store.settings)
    with tempfile.TemporaryDirectory() as folder:
        extract(aligned, Path(folder) / "store", settings, jobs, quiet=True)
        store = Store.open(Path(folder) / "store")
        instances = encode_instances(loaded.model, store)
        rows_of = {name: np.flatnonzero(store.utterance == i) for i, name in enumerate(store.utterance_ids)}
    nothing = np.zeros(0, dtype=np.int64)
    rows = [rows_of.get(name, nothing) for name in utterance_ids]
    if not any(len(own) for own in rows):
        raise UserError(f"{aligned} has aligned words for none of the {len(utterance_ids)} utterances")
    return WordSegments(instances[np.concatenate(rows)], np.array([len(own) for own in rows], dtype=np.int64))


def segments_coverage(segments: WordSegments) -> dict[str, Any]:
    """How many words were encoded, and how many utterances have none."""
    return {
        "tokens": int(segments.n_words.sum()),
        "texts_without_words": int((segments.n_words == 0).sum()),
    }
