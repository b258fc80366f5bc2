"""A vector for every spoken word of some recordings, and the files that hold them: Parquet or ``.npz``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from speech2vec.runtime.display import Displayed, Table
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path

SUFFIXES = (".parquet", ".npz")
METADATA = "speech2vec"  # key in a Parquet file's metadata
_SHOWN = 20  # failures and short words in a summary


@dataclass(frozen=True, eq=False)
class Embeddings(Displayed):
    """A vector for every spoken word, in the order of the utterances and of time.

    Parameters
    ----------
    utterance_id, words : list of str [shape=(n_words,)]
    start, end : ndarray [shape=(n_words,)], seconds
        From the start of the audio file.
    vectors : ndarray [shape=(n_words, vector_size)], float32
    short : ndarray [shape=(n_short,)], int64
        Rows of words shorter than a frame: their vector is that of the one frame nearest to their middle.
    seconds : float
        Length of the speech that was encoded.
    failed : list of dict
        ``utterance_id``, ``reason`` and ``detail`` of every utterance that has no vectors, or not for all its words.
    metadata : mapping
        What made the vectors: ``run``, ``fingerprint`` (of the run's settings), ``synthetic``.
    """

    utterance_id: list[str]
    words: list[str]
    start: np.ndarray
    end: np.ndarray
    vectors: np.ndarray
    short: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    seconds: float = 0.0
    failed: list[dict[str, str]] = field(default_factory=list)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.words)

    @property
    def vector_size(self) -> int:
        return int(self.vectors.shape[1])

    @property
    def synthetic(self) -> bool:
        """Whether the recordings, or the speech that the run was trained on, were synthesised."""
        return bool(self.metadata.get("synthetic"))

    def to_dict(self) -> dict[str, Any]:
        """All but the words and their vectors, for JSON."""
        short = [
            {"utterance_id": self.utterance_id[i], "word": self.words[i], "start": float(self.start[i])}
            for i in self.short
        ]
        return {
            **self.metadata,
            "n_words": len(self),
            "n_utterances": len(set(self.utterance_id)),
            "vector_size": self.vector_size,
            "seconds": self.seconds,
            "short_words": short,
            "failed": self.failed,
        }

    def display_parts(self) -> list[str | Table]:
        """The counts, then the words and utterances that failed."""
        found = self.to_dict()
        lines = [
            f"{len(self):,} words from {found['n_utterances']:,} utterance(s), {self.seconds:,.1f} s of "
            f"{'SYNTHETIC ' if self.synthetic else ''}speech, {self.vector_size} dimensions"
        ]
        if short := [f"{row['word']} ({row['utterance_id']}, {row['start']:.2f} s)" for row in found["short_words"]]:
            lines.append(f"{len(short):,} word(s) shorter than a frame: {_first(short, ', ')}")
        if self.failed:
            reasons = [": ".join(filter(None, (row["reason"], row["detail"]))) for row in self.failed]
            failures = [f"  {row['utterance_id']}: {why}" for row, why in zip(self.failed, reasons, strict=True)]
            lines += [f"{len(failures):,} utterance(s) failed, wholly or in part:", _first(failures, "\n")]
        return ["\n".join(lines)]

    def save(self, path: str | Path) -> None:
        """Write a file, atomically; its suffix says which kind.

        ``.parquet`` has the columns utterance_id, word, start, end and vector (a list of fixed size), and `metadata`
        as JSON under the key ``speech2vec`` of the file's metadata. ``.npz`` has the arrays utterance_id, word, start,
        end, vectors and metadata (the same JSON); no array needs ``allow_pickle``.

        Raises
        ------
        UserError
            If the suffix is another.
        """
        path = Path(path)
        check_suffix(path)
        metadata = json.dumps(dict(self.metadata), ensure_ascii=False)
        columns = {"utterance_id": self.utterance_id, "word": self.words, "start": self.start, "end": self.end}
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            if path.suffix == ".npz":
                arrays: dict[str, Any] = {name: np.asarray(column) for name, column in columns.items()}
                np.savez(file, **arrays, vectors=self.vectors, metadata=np.array(metadata))
            else:
                flat = pa.array(np.ascontiguousarray(self.vectors, dtype=np.float32).ravel())
                vector = pa.FixedSizeListArray.from_arrays(flat, self.vector_size)
                table = pa.table({**columns, "vector": vector}).replace_schema_metadata({METADATA: metadata})
                pq.write_table(table, file, compression="zstd")


def check_suffix(path: Path) -> None:
    """Refuse a file whose suffix is not one of `SUFFIXES`.

    Raises
    ------
    UserError
        Naming the suffixes.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: the name of a file of vectors ends in {' or '.join(SUFFIXES)}")


def _first(lines: list[str], separator: str) -> str:
    more = [f"... and {len(lines) - _SHOWN:,} more"] if len(lines) > _SHOWN else []
    return separator.join(lines[:_SHOWN] + more)
