"""What all formats share: tracks of words, limits against files that would exhaust the memory, text decoding.

A reader takes the text of a file and returns its tracks; it raises `FormatError` if nothing in the file can be used.
An error that concerns one utterance only is stored in that track's `fault`.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MAX_LINE = 4 * 2**20  # characters

# Labels that stand for silence, in lower case. ("silence" is a word people say.)
SILENCES = frozenset({"", "sp", "sil", "<sil>", "<eps>", "<s>", "</s>", "<p>", "<p:>", "!sil", "<silence>"})
WORD_TIERS = frozenset({"words", "word", "ort-mau"})

_LINE = re.compile(r"[^\r\n]+")
_FLOAT32 = struct.Struct("f")


def limits_for(memory: int) -> tuple[int, int, int]:
    """Return how long a file may be that half of the memory can hold.

    In memory a character takes up to four bytes, a word about two hundred and a track about four hundred, so that
    64 MiB of text with 1.2 million words in 300,000 tracks take just under a gigabyte. A CTM of all 960 hours of
    LibriSpeech (281,241 utterances, 9.4 million words, about 400 MB) can be read with 16 GiB.

    Parameters
    ----------
    memory : int, bytes

    Returns
    -------
    max_bytes, max_words, max_tracks : int
    """
    units = max(1, round(memory / 2**31))
    return units * 64 * 2**20, units * 1_200_000, units * 300_000


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows
        return 8 * 2**30


MAX_BYTES, MAX_WORDS, MAX_TRACKS = limits_for(_physical_memory())


class FormatError(ValueError):
    """A file, or a part of it, violates its format; the message says where."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A label with start and end.

    Parameters
    ----------
    start, end : float, seconds
    label : str
        In the spelling of the file.
    score : float or None
        The aligner's confidence, if the format has one.
    """

    start: float
    end: float
    label: str
    score: float | None = None


@dataclass(slots=True)
class Track:
    """The words of one utterance, or of one speaker in a recording, without silences.

    Parameters
    ----------
    words : list of Interval
    name : str
        The utterance or recording that is named in the file; "" if only the name of the file tells.
    speaker : str
        "" if not in the file.
    channel : int or None
        From 0; None if not in the file.
    fault : str
        Why this track cannot be used; "" if it can.
    """

    words: list[Interval] = field(default_factory=list)
    name: str = ""
    speaker: str = ""
    channel: int | None = None
    fault: str = ""

    def add(self, start: float, end: float, label: str, score: float | None = None) -> None:
        """Append a word, unless the label stands for silence."""
        label = label.strip()
        if label.lower() not in SILENCES:
            self.words.append(Interval(start, end, label, score))


def shortest(seconds: float) -> float:
    """Remove float32 noise from a time: return the shortest decimal that is the same float32, if it is a float32.

    Examples
    --------
    >>> shortest(0.23999999463558197), shortest(3.849625), shortest(0.1)
    (0.24, 3.849625, 0.1)
    """
    if not _is_float32(seconds):
        return seconds
    return next(
        (short for short in (round(seconds, n) for n in range(1, 8)) if _is_same_float32(short, seconds)), seconds
    )


def _is_same_float32(decimal: float, narrow: float) -> bool:
    return _FLOAT32.unpack(_FLOAT32.pack(decimal))[0] == narrow


def _is_float32(seconds: float) -> bool:
    try:
        return _is_same_float32(seconds, seconds)
    except OverflowError:
        return False


def lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty, with their numbers from 1, without copying the whole text.

    Raises
    ------
    FormatError
        If a line is longer than `MAX_LINE`.
    """
    number, counted = 1, 0
    for match in _LINE.finditer(text):
        number += text.count("\n", counted, match.start())
        counted = match.start()
        if match.end() - match.start() > MAX_LINE:
            raise FormatError(f"line {number} has {match.end() - match.start():,} characters")
        line = match.group()
        if not line.isspace():
            yield number, line


def limit(n_words: int, n_tracks: int = 0) -> None:
    """Refuse a file that the memory may not hold.

    Raises
    ------
    FormatError
        If there are more than `MAX_WORDS` words or `MAX_TRACKS` tracks.
    """
    if n_words > MAX_WORDS:
        raise FormatError(f"more than {MAX_WORDS:,} words, too many for the memory: split it into several files")
    if n_tracks > MAX_TRACKS:
        raise FormatError(f"more than {MAX_TRACKS:,} utterances, too many for the memory: split it into several files")


def number(text: str) -> float:
    """Parse a number; NaN and infinity are accepted (times are checked later).

    Raises
    ------
    FormatError
        If it is not a number.
    """
    try:
        return float(text)
    except ValueError as error:
        raise FormatError(f"'{shorten(text)}' is not a number") from error


def shorten(text: str, width: int = 40) -> str:
    """Shorten a quotation for a message: one line, printable, at most `width` characters and an ellipsis."""
    shown = "".join(character if character.isprintable() else " " for character in text[:width])
    return shown if len(text) <= width else f"{shown}…"


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, UTF-16 (with a byte-order mark, or recognised by its zero bytes) or Windows-1252.

    Raises
    ------
    FormatError
        If it is not a file, cannot be read, or is longer than `MAX_BYTES`.
    """
    if not path.is_file():
        raise FormatError("is not a file")
    try:
        with path.open("rb") as file:
            data = file.read(min(path.stat().st_size, MAX_BYTES) + 1)  # what it may read is claimed at once
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise FormatError(f"more than {MAX_BYTES // 2**20} MB, too long for the memory: split it into several files")
    return decode(data)


def decode(data: bytes) -> str:
    """Decode a text as `read_text` does."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    # Latin letters in UTF-16 without a byte-order mark: every other byte is zero.
    head = data[:64]
    if len(head) >= 4 and head[1::2].count(0) > len(head) // 4:
        return data.decode("utf-16-le", errors="replace")
    if len(head) >= 4 and head[0::2].count(0) > len(head) // 4:
        return data.decode("utf-16-be", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")
