"""Word vectors: the mean over a word's instances, word2vec text and binary files, nearest neighbours."""

from __future__ import annotations

import difflib
import logging
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from speech2vec.errors import UserError
from speech2vec.runs import atomic_path, generator

log = logging.getLogger("speech2vec")

# Longest header and longest word that are read before a file is called no word2vec file, in bytes.
_HEADER_LIMIT = 200
_WORD_LIMIT = 4096
# A number of a text file takes at most this many bytes, its separator included.
_NUMBER_LIMIT = 40


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Words and their vectors; the vectors are never changed by what is asked of them.

    Parameters
    ----------
    words : list of str
        Unique, most frequent first where frequencies are known.
    vectors : np.ndarray [shape=(n_words, vector_size)], float32
    counts : np.ndarray [shape=(n_words,)] or None
        How many instances each word has; word2vec files do not say.
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

    @property
    def vector_size(self) -> int:
        return int(self.vectors.shape[1])

    @cached_property
    def index(self) -> dict[str, int]:
        """Word -> its row."""
        return {word: row for row, word in enumerate(self.words)}

    @cached_property
    def has_direction(self) -> np.ndarray:
        """False for zero vectors, whose cosine with anything is undefined [shape=(n_words,)]."""
        return np.any(self.vectors != 0, axis=1)

    def unit(self, rows: np.ndarray) -> np.ndarray:
        """Copies of some rows, scaled to length 1 (zero vectors stay zero) [shape=(n_rows, vector_size)], float32."""
        chosen = self.vectors[rows].astype(np.float64)
        # Scaled by the largest entry first: squares of tiny or huge numbers would leave what float64 can hold.
        largest = np.abs(chosen).max(axis=1, keepdims=True, initial=0.0)
        chosen /= np.where(largest > 0, largest, 1.0)
        norms = np.linalg.norm(chosen, axis=1, keepdims=True)
        return (chosen / np.where(norms > 0, norms, 1.0)).astype(np.float32)

    def neighbours(self, word: str, n: int = 10) -> list[tuple[str, float]]:
        """The `n` words whose vectors have the highest cosine with that of `word`, nearest first.

        Raises
        ------
        UserError
            When `word` has no vector, or a zero vector.
        """
        row = self.index.get(word, self.index.get(word.lower()))
        if row is None:
            close = difflib.get_close_matches(word.lower(), self.words, n=3)
            hint = f"; close in spelling: {', '.join(close)}" if close else ""
            raise UserError(f"'{word}' is not among the {len(self):,} words{hint}")
        if not self.has_direction[row]:
            raise UserError(f"the vector of '{self.words[row]}' is zero: it has no neighbours")
        target = self.unit(np.array([row]))[0]
        cosines = np.empty(len(self), dtype=np.float32)
        for start in range(0, len(self), 65536):  # a block at a time: no second copy of a large vocabulary
            rows = np.arange(start, min(start + 65536, len(self)))
            cosines[rows] = self.unit(rows) @ target
        cosines[~self.has_direction] = -np.inf
        cosines[row] = -np.inf
        best = np.argsort(-cosines, kind="stable")[:n]
        return [(self.words[i], float(cosines[i])) for i in best if np.isfinite(cosines[i])]

    def frequent(self, min_count: int) -> WordVectors:
        """Only the words with at least `min_count` instances; needs `counts`."""
        if self.counts is None:
            raise ValueError("these vectors come without counts")
        rows = np.flatnonzero(self.counts >= min_count)
        return WordVectors([self.words[i] for i in rows], self.vectors[rows], self.counts[rows])


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


def random_vectors(words: Sequence[str], vector_size: int, seed: int = 0) -> WordVectors:
    """Control: independent normal vectors for the same words; what they score is chance."""
    drawn = generator(seed).standard_normal((len(words), vector_size), dtype=np.float32)
    return WordVectors(list(words), drawn)


def write_vectors(path: Path, vectors: WordVectors, binary: bool = False) -> None:
    """Write a word2vec file, atomically; gensim's ``KeyedVectors.load_word2vec_format`` opens it.

    The text form holds nine significant digits, which give every float32 back exactly.

    Raises
    ------
    UserError
        When a word is empty or holds white space: the format has no way to say so.
    """
    for word in vectors.words:
        if word.encode().split() != [word.encode()]:
            raise UserError(f"the word {word!r} is empty or holds white space, which word2vec files cannot hold")
    rows = np.asarray(vectors.vectors, dtype="<f4")
    with atomic_path(path) as temporary, temporary.open("wb") as out:
        out.write(f"{len(vectors)} {vectors.vector_size}\n".encode())
        for word, row in zip(vectors.words, rows, strict=True):
            if binary:
                out.write(word.encode() + b" " + row.tobytes() + b"\n")
            else:
                out.write(f"{word} {' '.join(f'{value:.9g}' for value in row.tolist())}\n".encode())


def read_vectors(path: Path) -> WordVectors:
    """Read a word2vec file, text or binary: which of the two is seen from its content.

    The file is streamed into the array of its vectors, so that memory holds them once. Words may hold spaces (in a
    binary file: where its rows end with a newline, as the original word2vec writes them). Of a word that comes twice
    the first is kept; bytes that are not UTF-8 are read as Latin-1; both are told in the log, and so are zero vectors.

    Raises
    ------
    UserError
        Naming file and line (in a binary file: the number of the word): no header, a header that promises more or
        fewer words than there are, a row with too few numbers or with NaN, a truncated file.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            n_words, vector_size = _read_header(file, path)
            if n_words == 0:
                return WordVectors([], np.empty((0, vector_size), dtype=np.float32))
            start = file.tell()
            first = file.readline(_WORD_LIMIT + _NUMBER_LIMIT * vector_size)
            is_text = _is_text(first, vector_size)
            _check_size(path, start, n_words, vector_size, is_text)
            file.seek(start)
            rows = _Rows(path, n_words, vector_size, "line" if is_text else "word")
            (_read_text if is_text else _read_binary)(file, rows)
            return rows.finish()
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder; a word2vec file is needed") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def _read_header(file: BinaryIO, path: Path) -> tuple[int, int]:
    header = file.readline(_HEADER_LIMIT)
    fields = header.split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields) or not header.endswith(b"\n"):
        raise UserError(f"{path}, line 1: a word2vec file starts with 'n_words vector_size', two whole numbers")
    n_words, vector_size = int(fields[0]), int(fields[1])
    if vector_size == 0:
        raise UserError(f"{path}, line 1: a vector size of 0")
    return n_words, vector_size


def _is_text(row: bytes, vector_size: int) -> bool:
    """Whether the first row is text: it ends in numbers, or at least has no control characters."""
    try:
        np.array(row.split()[-vector_size:], dtype=np.float32)
        return True
    except ValueError:
        return not any(byte < 32 and byte not in b"\t\n\r\v\f" for byte in row)


def _check_size(path: Path, start: int, n_words: int, vector_size: int, is_text: bool) -> None:
    """Refuse a header that promises more than the file can hold, before memory for it is asked for."""
    row = 1 + 2 * vector_size if is_text else 2 + 4 * vector_size
    size = path.stat().st_size - start
    if n_words * row > size + 1:  # the last newline may be missing
        raise UserError(
            f"{path}, line 1: the header promises {n_words:,} words of {vector_size} numbers, the file holds "
            f"{size // row:,} at most: it is truncated, or its header is wrong"
        )


class _Rows:
    """The rows read so far, with what is told about them at the end."""

    def __init__(self, path: Path, n_words: int, vector_size: int, unit: str) -> None:
        self.path, self.n_words, self.vector_size, self.unit = path, n_words, vector_size, unit
        self.words: list[str] = []
        self.seen: set[str] = set()
        self.vectors = np.empty((n_words, vector_size), dtype=np.float32)
        self.n_read = 0
        self.duplicates: list[tuple[str, int]] = []
        self.not_utf8: list[int] = []

    def add(self, word_bytes: bytes, vector: np.ndarray, number: int) -> None:
        if self.n_read == self.n_words:
            raise self.error(number, f"more rows than the {self.n_words:,} that the header promises")
        self.n_read += 1
        try:
            word = word_bytes.decode("utf-8")
        except UnicodeDecodeError:
            word = word_bytes.decode("latin-1")
            self.not_utf8.append(number)
        if not word:
            raise self.error(number, "the word is empty")
        if not np.isfinite(vector).all():
            raise self.error(number, f"the vector of '{word}' holds NaN or infinity")
        if word in self.seen:
            self.duplicates.append((word, number))
            return
        self.vectors[len(self.words)] = vector
        self.seen.add(word)
        self.words.append(word)

    def error(self, number: int, message: str) -> UserError:
        return UserError(f"{self.path}, {self.unit} {number}: {message}")

    def finish(self) -> WordVectors:
        if self.n_read < self.n_words:
            raise UserError(
                f"{self.path}: the header promises {self.n_words:,} words, the file ends after {self.n_read:,}: "
                "it is truncated, or its header is wrong"
            )
        if self.duplicates:
            word, number = self.duplicates[0]
            log.warning(
                "%s: %d words come more than once (first: '%s', %s %d); the first vector of each is kept",
                self.path,
                len(self.duplicates),
                word,
                self.unit,
                number,
            )
        if self.not_utf8:
            log.warning(
                "%s: %d words are not UTF-8 (first: %s %d); they are read as Latin-1",
                self.path,
                len(self.not_utf8),
                self.unit,
                self.not_utf8[0],
            )
        result = WordVectors(self.words, self.vectors[: len(self.words)])
        zeros = np.flatnonzero(~result.has_direction)
        if len(zeros):
            log.warning(
                "%s: %d vectors are zero (first: '%s'); pairs with them count as not covered",
                self.path,
                len(zeros),
                self.words[zeros[0]],
            )
        return result


def _read_text(file: BinaryIO, rows: _Rows) -> None:
    longest = _WORD_LIMIT + _NUMBER_LIMIT * rows.vector_size
    for number, line in _lines(file, longest):
        fields = line.rsplit(None, rows.vector_size)
        if not fields:
            continue  # an empty line, at the end of many files
        if len(fields) <= rows.vector_size:
            raise rows.error(number, f"{len(fields) - 1} numbers instead of {rows.vector_size}")
        try:
            vector = np.array(fields[1:], dtype=np.float32)
        except ValueError as error:
            raise rows.error(number, f"{str(error).split(': ')[-1]} is not a number") from error
        rows.add(fields[0].strip(), vector, number)


def _lines(file: BinaryIO, longest: int) -> Iterator[tuple[int, bytes]]:
    number = 1  # the header
    while line := file.readline(longest):
        number += 1
        yield number, line


def _read_binary(file: BinaryIO, rows: _Rows) -> None:
    n_bytes = 4 * rows.vector_size
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        position = file.tell()
        newlines: bool | None = None  # whether rows end with a newline: the first row tells
        for number in range(1, rows.n_words + 1):
            space = data.find(b" ", position, position + _WORD_LIMIT)
            if newlines:
                # A space that is not followed by a vector and a newline belongs to the word.
                while space >= 0 and space + n_bytes + 1 < len(data) and data[space + 1 + n_bytes] != 10:
                    space = data.find(b" ", space + 1, position + _WORD_LIMIT)
            start = space + 1
            if space < 0 or start + n_bytes > len(data):
                raise rows.error(number, "no word and vector here: the file is truncated or damaged")
            vector = np.frombuffer(data, dtype="<f4", count=rows.vector_size, offset=start).copy()
            rows.add(data[position:space].lstrip(b"\n"), vector, number)
            position = start + n_bytes
            if newlines is None:
                newlines = data[position : position + 1] == b"\n"
            position += newlines
        left = data[position:].strip(b"\n") if len(data) - position < 64 else data[position : position + 64]
        if left:
            raise UserError(
                f"{rows.path}: bytes follow the {rows.n_words:,} words that the header promises: its header is wrong"
            )
