"""Word vectors: the mean over a word's instances, their files, nearest neighbours."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from gensim.models import KeyedVectors

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import log
from speech2vec.vectors.word2vec_format import read_word2vec, write_word2vec


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Words and their vectors, which no method changes.

    Parameters
    ----------
    words : list of str
        Unique, most frequent first if frequencies are known.
    vectors : np.ndarray [shape=(n_words, vector_size)], float32
    counts : np.ndarray [shape=(n_words,)] or None
        How many instances each word has; None for vectors from a word2vec file.
    """

    words: list[str]
    vectors: np.ndarray
    counts: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.words) != len(self.vectors):
            raise ValueError(f"{len(self.words)} words do not fit vectors of shape {self.vectors.shape}")
        if self.counts is not None and len(self.counts) != len(self.words):
            raise ValueError(f"{len(self.words)} words do not fit {len(self.counts)} counts")
        if len(self.index) != len(self.words):
            raise ValueError("words must be unique")

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self.index

    def __getitem__(self, word: str) -> np.ndarray:
        return self.vectors[self.index[word]]

    @classmethod
    def from_keyed_vectors(cls, keyed: KeyedVectors) -> WordVectors:
        """Take over gensim's vectors, with the counts if it has the attribute "count"."""
        words = list(keyed.index_to_key)
        counts = keyed.expandos.get("count")
        vectors = np.asarray(keyed.vectors, dtype=np.float32)
        return cls(words, vectors, None if counts is None else np.asarray(counts, dtype=np.int64))

    def to_keyed_vectors(self) -> KeyedVectors:
        """As gensim's KeyedVectors, with the counts as its attribute "count"."""
        keyed = KeyedVectors(self.vector_size)
        keyed.add_vectors(self.words, self.vectors)
        if self.counts is not None:
            for word, count in zip(self.words, self.counts.tolist(), strict=True):
                keyed.set_vecattr(word, "count", count)  # `add_vectors` of gensim 4.3 fails on such extras
        return keyed

    @property
    def vector_size(self) -> int:
        return int(self.vectors.shape[1])

    @cached_property
    def index(self) -> dict[str, int]:
        """Word -> its row."""
        return {word: row for row, word in enumerate(self.words)}

    @cached_property
    def has_direction(self) -> np.ndarray:
        """False for zero vectors, whose cosines are undefined [shape=(n_words,)]."""
        return np.any(self.vectors != 0, axis=1)

    def unit(self, rows: np.ndarray) -> np.ndarray:
        """Some rows scaled to length 1; zero vectors stay zero [shape=(n_rows, vector_size)], float32."""
        chosen = self.vectors[rows].astype(np.float64)
        # Scaled by the largest entry first: squares of tiny or huge numbers would leave the range of float64.
        largest = np.abs(chosen).max(axis=1, keepdims=True, initial=0.0)
        chosen /= np.where(largest > 0, largest, 1.0)
        norms = np.linalg.norm(chosen, axis=1, keepdims=True)
        return (chosen / np.where(norms > 0, norms, 1.0)).astype(np.float32)

    def neighbours(self, word: str, n: int = 10) -> list[tuple[str, float]]:
        """The `n` words whose vectors have the highest cosine with that of `word`, nearest first.

        Raises
        ------
        UserError
            `word` has no vector, or a zero vector.
        """
        row = self.index.get(word, self.index.get(word.lower()))
        if row is None:
            close = difflib.get_close_matches(word.lower(), self.words, n=3)
            hint = f"; close in spelling: {', '.join(close)}" if close else ""
            raise UserError(f"'{word}' is not among the {len(self):,} words{hint}")
        if not self.has_direction[row]:
            raise UserError(f"the vector of '{self.words[row]}' is zero, so it has no neighbours")
        target = self.unit(np.array([row]))[0]
        cosines = np.empty(len(self), dtype=np.float32)
        for start in range(0, len(self), 65536):  # a block at a time: no second copy of a large vocabulary
            rows = np.arange(start, min(start + 65536, len(self)))
            cosines[rows] = self.unit(rows) @ target
        cosines[~self.has_direction] = -np.inf
        cosines[row] = -np.inf
        best = np.argsort(-cosines, kind="stable")[:n]
        return [(self.words[i], float(cosines[i])) for i in best if np.isfinite(cosines[i])]


def unit_length(instances: np.ndarray) -> None:
    """Scale vectors [shape=(n_instances, vector_size)] to length 1, in place; zero vectors stay zero."""
    for block in np.array_split(instances, max(1, len(instances) // 65536)):  # views: no second copy of them all
        norms = np.linalg.norm(block.astype(np.float64), axis=1, keepdims=True)
        block /= np.where(norms > 0, norms, 1.0)


def average_instances(
    instances: np.ndarray, word_id: np.ndarray, types: Sequence[str], min_count: int = 1
) -> WordVectors:
    """A word's vector: the plain mean over the vectors of all its instances (Chung & Glass 2018, section 3.2).

    Parameters
    ----------
    instances : np.ndarray [shape=(n_instances, vector_size)]
    word_id : np.ndarray [shape=(n_instances,)]
        The word of each instance, as index into `types`.
    types : sequence of str
    min_count : int
        Words with fewer instances get no vector.

    Returns
    -------
    WordVectors
        Most frequent first; equally frequent words in the order of `types`.
    """
    if instances.ndim != 2 or len(instances) != len(word_id):
        raise ValueError(f"instances of shape {instances.shape} do not fit {len(word_id)} word ids")
    broken = ~np.isfinite(instances).all(axis=1)
    if broken.any():
        first = int(np.flatnonzero(broken)[0])
        raise UserError(
            f"the vectors of {int(broken.sum()):,} word instances hold NaN or infinity "
            f"(first: instance {first}, '{types[int(word_id[first])]}'): the encoder has diverged"
        )
    counts = np.bincount(word_id, minlength=len(types)).astype(np.int64)
    rows = np.argsort(-counts, kind="stable")
    rows = rows[counts[rows] >= max(min_count, 1)]
    means = np.empty((len(rows), instances.shape[1]), dtype=np.float32)
    for j in range(instances.shape[1]):  # a column at a time: sums in float64 without a float64 copy of the whole
        sums = np.bincount(word_id, weights=instances[:, j], minlength=len(types))
        means[:, j] = sums[rows] / counts[rows]
    return WordVectors([types[i] for i in rows], means, counts[rows])


def write_vectors(path: Path, vectors: WordVectors, binary: bool = False) -> None:
    """Write a word2vec file, atomically; gensim's ``KeyedVectors.load_word2vec_format`` opens it.

    The text form has nine significant digits, which restore every float32 exactly.

    Raises
    ------
    UserError
        A word is empty or holds white space, which the format cannot represent.
    """
    write_word2vec(Path(path), vectors.words, vectors.vectors, binary)


def read_vectors(path: Path) -> WordVectors:
    """Read a word2vec file, text or binary as its content tells.

    The file is streamed into the array of its vectors, so that memory holds them once. Words may hold spaces (in a
    binary file only if its rows end with a newline, as the original word2vec writes them). Of a duplicated word the
    first vector is kept; bytes that are not UTF-8 are read as Latin-1; both are logged, and so are zero vectors.

    Raises
    ------
    UserError
        Naming file and line (in a binary file the number of the word): no header, a header with more or fewer words
        than the file has, a row with too few numbers or with NaN, a truncated file.
    """
    words, vectors = read_word2vec(Path(path))
    result = WordVectors(words, vectors)
    zeros = np.flatnonzero(~result.has_direction)
    if len(zeros):
        log.warning(
            "%s: %d vectors are zero (first: '%s'); pairs with them count as not covered",
            path,
            len(zeros),
            words[zeros[0]],
        )
    return result


def as_word_vectors(vectors: str | Path | WordVectors | KeyedVectors) -> WordVectors:
    """Word vectors from a word2vec file, from gensim, or as they are."""
    if isinstance(vectors, WordVectors):
        return vectors
    return WordVectors.from_keyed_vectors(vectors) if isinstance(vectors, KeyedVectors) else read_vectors(Path(vectors))
