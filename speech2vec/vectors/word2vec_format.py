"""The word2vec file format, text and binary: words and vectors in and out, faults named by line.

Text: a line ``n_words vector_size``, then a line for each word: the word and its numbers. Binary: the same first line,
then each word, a space, its numbers as little-endian float32 and (in files of the original word2vec) a newline. GloVe's
text files are the same without the first line; they are read too.
"""

# Not gensim's reader: 3 times slower (text, 50,000 x 50), believes any header, and fails on GloVe's files, words with
# spaces and Latin-1.

from __future__ import annotations

import codecs
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path, require_file
from speech2vec.runtime.progress import log

# Limits in bytes, above which a file is not a word2vec file.
_HEADER_LIMIT = 200
_WORD_LIMIT = 4096
_NUMBER_LIMIT = 40  # of a number in text, with its separator
_LARGEST_SIZE = 10_000  # numbers for a word in a file without a header
_HEADER_DIGITS = 15  # of either number; more do not fit the sizes that the system counts in
_RELEASE = 64 << 20  # bytes of a mapped file that are read before their memory is released


def write_word2vec(path: Path, words: Sequence[str], vectors: np.ndarray, binary: bool = False) -> None:
    """Write a word2vec file, atomically (see `word_vectors.write_vectors`)."""
    for word in words:
        if word.encode().split() != [word.encode()]:
            raise UserError(f"the word {word!r} is empty or holds white space, which a word2vec file cannot represent")
    rows = np.asarray(vectors, dtype="<f4")
    with atomic_path(path) as temporary, temporary.open("wb") as out:
        out.write(f"{len(words)} {rows.shape[1]}\n".encode())
        for word, row in zip(words, rows, strict=True):
            if binary:
                out.write(word.encode() + b" " + row.tobytes() + b"\n")
            else:
                out.write(f"{word} {' '.join(f'{value:.9g}' for value in row.tolist())}\n".encode())


def read_word2vec(path: Path) -> tuple[list[str], np.ndarray]:
    """Read a word2vec file (see `word_vectors.read_vectors`): unique words and their vectors."""
    path = Path(path)
    try:
        with require_file(path).open("rb") as file:
            n_words, vector_size = _read_header(file, path)
            has_header = file.tell() > 0
            if n_words == 0:
                return [], np.empty((0, vector_size), dtype=np.float32)
            start = file.tell()
            first_row = min(_WORD_LIMIT + _NUMBER_LIMIT * vector_size, path.stat().st_size)
            is_text = not has_header or _is_text(file.read(first_row), vector_size)
            _check_size(path, start, n_words, vector_size, is_text)
            file.seek(start)
            rows = _Rows(path, n_words, vector_size, "line" if is_text else "word")
            if is_text:
                _read_text(file, rows, first_line=2 if has_header else 1)
            else:
                _read_binary(file, rows)
            return rows.finish()
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder; a word2vec file is needed") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def _read_header(file: BinaryIO, path: Path) -> tuple[int, int]:
    """Number of words and of numbers for each, from the first line or counted; `file` is left at the first word."""
    header = file.readline(_HEADER_LIMIT).removeprefix(codecs.BOM_UTF8)
    fields = header.split()
    if len(fields) > 2 and (vector_size := _numbers_of_first_row(file)) > 1:
        file.seek(0)
        n_words = sum(1 for line in file if line.strip())
        log.info("%s has no header, like the files of GloVe: %d words of %d numbers", path, n_words, vector_size)
        file.seek(0)
        return n_words, vector_size
    if len(fields) != 2 or not all(field.isdigit() for field in fields) or not header.endswith(b"\n"):
        raise UserError(f"{path}, line 1: a word2vec file starts with 'n_words vector_size', two integers")
    if max(map(len, fields)) > _HEADER_DIGITS:
        raise UserError(f"{path}, line 1: the header promises more than a file can hold: it is wrong")
    n_words, vector_size = int(fields[0]), int(fields[1])
    if vector_size == 0:
        raise UserError(f"{path}, line 1: the vector size is 0")
    return n_words, vector_size


def _numbers_of_first_row(file: BinaryIO) -> int:
    """How many numbers follow the word on the first line; 0 if anything else does."""
    file.seek(0)
    fields = file.readline(_WORD_LIMIT + _NUMBER_LIMIT * _LARGEST_SIZE).split()[1:]
    try:
        return len(np.array(fields, dtype=np.float64))
    except ValueError:
        return 0


def _is_text(beginning: bytes, vector_size: int) -> bool:
    """Whether the rows are text: the first ends in numbers or, if it is faulty, consists mostly of their characters."""
    row = beginning.partition(b"\n")[0]
    try:
        np.array(row.split()[-vector_size:], dtype=np.float64)
        return True
    except ValueError:
        if beginning.partition(b" ")[2][4 * vector_size :][:1] == b"\n":  # the end of a binary row
            return False
        numbers = row.partition(b" ")[2]
        return 2 * sum(byte in b"0123456789+-.eE \t\r" for byte in numbers) > len(numbers)


def _check_size(path: Path, start: int, n_words: int, vector_size: int, is_text: bool) -> None:
    """Refuse a header that promises more than the file can hold, before memory is allocated for it."""
    row = 1 + 2 * vector_size if is_text else 2 + 4 * vector_size
    size = path.stat().st_size - start
    if n_words * row > size + 1:  # the last newline may be missing
        raise UserError(
            f"{path}, line 1: the header promises {n_words:,} words of {vector_size} numbers, the file holds "
            f"{size // row:,} at most: it is truncated, or its header is wrong"
        )


class _Rows:
    """The rows read so far, and what to warn of at the end."""

    def __init__(self, path: Path, n_words: int, vector_size: int, unit: str) -> None:
        self.path, self.n_words, self.vector_size, self.unit = path, n_words, vector_size, unit
        self.words: list[str] = []
        self.seen: set[str] = set()
        self.vectors = np.empty((n_words, vector_size), dtype=np.float32)
        self.n_read = 0
        self.duplicates: list[tuple[str, int]] = []
        self.not_utf8: list[int] = []
        self.end_in_numbers = 0  # words with spaces whose last part is a number

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
            raise self.error(number, f"the vector of '{word}' holds NaN, infinity or a number too large for float32")
        self.end_in_numbers += _is_number(word.rpartition(" ")[2]) if " " in word else 0
        if word in self.seen:
            self.duplicates.append((word, number))
            return
        self.vectors[len(self.words)] = vector
        self.seen.add(word)
        self.words.append(word)

    def error(self, number: int, message: str) -> UserError:
        return UserError(f"{self.path}, {self.unit} {number}: {message}")

    def finish(self) -> tuple[list[str], np.ndarray]:
        if self.n_read < self.n_words:
            raise UserError(
                f"{self.path}: the header promises {self.n_words:,} words, the file ends after {self.n_read:,}: "
                "it is truncated, or its header is wrong"
            )
        if 1 < self.n_read == self.end_in_numbers:
            raise UserError(
                f"{self.path}, line 1: the header says {self.vector_size} numbers for a word, but more follow each "
                "word: its header is wrong"
            )
        if self.duplicates:
            word, number = self.duplicates[0]
            log.warning(
                "%s: %d words are duplicated (first: '%s', %s %d); the first vector of each is kept",
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
        return self.words, self.vectors[: len(self.words)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_text(file: BinaryIO, rows: _Rows, first_line: int) -> None:
    longest = _WORD_LIMIT + _NUMBER_LIMIT * rows.vector_size
    for number, line in enumerate(iter(lambda: file.readline(longest), b""), start=first_line):
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        fields = line.rsplit(None, rows.vector_size)
        if not fields:
            continue  # an empty line, at the end of many files
        if len(fields) <= rows.vector_size:
            raise rows.error(number, f"{len(fields) - 1} numbers instead of {rows.vector_size}")
        try:
            with np.errstate(over="ignore"):  # a number that is too large becomes infinity, which `add` refuses
                vector = np.array(fields[1:], dtype=np.float32)
        except ValueError as error:
            raise rows.error(number, f"{str(error).split(': ')[-1]} is not a number") from error
        rows.add(fields[0].strip(), vector, number)


def _read_binary(file: BinaryIO, rows: _Rows) -> None:
    n_bytes = 4 * rows.vector_size
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        position = file.tell()
        released = 0
        newlines: bool | None = None  # whether rows end with a newline, as the first row tells
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
            if position - released > _RELEASE:
                released = position // mmap.PAGESIZE * mmap.PAGESIZE
                if hasattr(mmap, "MADV_DONTNEED"):  # what has been read need not stay in memory
                    data.madvise(mmap.MADV_DONTNEED, 0, released)
        left = data[position:].strip(b"\n") if len(data) - position < 64 else data[position : position + 64]
        if left:
            raise UserError(
                f"{rows.path}: bytes follow the {rows.n_words:,} words that the header promises: its header is wrong"
            )
