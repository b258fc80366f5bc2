"""What every format is read into, and the limits that keep a hostile file from taking the memory.

A reader takes the text of a file and gives its tracks, or raises `FormatError` if nothing in the file can be used.
What is wrong with one utterance only stands in that track's `fault`; the others are given as they are.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# A CTM of train-clean-100 (28,539 utterances, a million words) is 44 MB. In memory a character takes up to four
# bytes, a word some two hundred, a track some four hundred: together these limits stay below a gigabyte.
MAX_BYTES = 64 * 2**20
MAX_WORDS = 1_200_000
MAX_TRACKS = 300_000
MAX_LINE = 4 * 2**20

# Labels that stand for silence, in lower case. ("silence" is a word people say.)
SILENCES = frozenset({"", "sp", "sil", "<sil>", "<eps>", "<s>", "</s>", "<p>", "<p:>", "!sil", "<silence>"})
WORD_TIERS = frozenset({"words", "word", "ort-mau"})

_LINE = re.compile(r"[^\r\n]+")
_FLOAT32 = struct.Struct("f")


class FormatError(ValueError):
    """A file, or a part of one, is not what its format asks for; the message says where."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A label in time.

    Parameters
    ----------
    start, end : float, seconds
    label : str
        As the file spells it.
    score : float or None
        The aligner's confidence, where the format carries one.
    """

    start: float
    end: float
    label: str
    score: float | None = None


@dataclass(slots=True)
class Track:
    """The words of one utterance, or of one speaker in a recording; silences are left out.

    Parameters
    ----------
    words : list of Interval
    name : str
        The utterance or recording that the file itself names; "" where the file's own name says it.
    speaker : str
        "" where the file does not say.
    channel : int or None
        From 0; None where the file does not say.
    fault : str
        Why this track cannot be used; "" if it can.
    """

    words: list[Interval] = field(default_factory=list)
    name: str = ""
    speaker: str = ""
    channel: int | None = None
    fault: str = ""

    def add(self, start: float, end: float, label: str, score: float | None = None) -> None:
        """Append a word; a silence is passed over."""
        label = label.strip()
        if label.lower() not in SILENCES:
            self.words.append(Interval(start, end, label, score))


def shortest(seconds: float) -> float:
    """A time without float32 noise: the shortest decimal that is the same float32, if the time is a float32 at all.

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
    """The lines that are not empty, each with its number from 1; one at a time, without a copy of them all.

    Raises
    ------
    FormatError
        If a line is longer than any alignment's.
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
    """Refuse a file that holds more than any recording or subset of a corpus.

    Raises
    ------
    FormatError
        If there are more words, or more tracks.
    """
    if n_words > MAX_WORDS:
        raise FormatError(f"more than {MAX_WORDS:,} words in one file: give it in parts")
    if n_tracks > MAX_TRACKS:
        raise FormatError(f"more than {MAX_TRACKS:,} utterances in one file: give it in parts")


def fits(n_bytes: int, n_words: int, n_tracks: int) -> bool:
    """Whether a file that holds so much would be read."""
    return n_bytes <= MAX_BYTES and n_words <= MAX_WORDS and n_tracks <= MAX_TRACKS


def number(text: str) -> float:
    """A time as a format spells it; NaN and infinity pass (they are found where times are checked).

    Raises
    ------
    FormatError
        If it is no number.
    """
    try:
        return float(text)
    except ValueError as error:
        raise FormatError(f"'{shorten(text)}' where a number should be") from error


def shorten(text: str, width: int = 40) -> str:
    """A quotation for a message: one line, printable, not longer than `width`."""
    shown = "".join(character if character.isprintable() else " " for character in text[:width])
    return shown if len(text) <= width else f"{shown}…"


def read_text(path: Path) -> str:
    """The text of a file: UTF-8, UTF-16 (with a byte-order mark, or recognised by its zero bytes), else Windows-1252.

    Raises
    ------
    FormatError
        If it is not a file, cannot be read, or is too long.
    """
    if not path.is_file():
        raise FormatError("is not a file")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise FormatError(f"more than {MAX_BYTES // 2**20} MB: give it in parts")
    return decode(data)


def decode(data: bytes) -> str:
    """As `read_text`, from bytes."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    # Text of Latin letters in UTF-16 without its mark has a zero byte in every other place.
    head = data[:64]
    if len(head) >= 4 and head[1::2].count(0) > len(head) // 4:
        return data.decode("utf-16-le", errors="replace")
    if len(head) >= 4 and head[0::2].count(0) > len(head) // 4:
        return data.decode("utf-16-be", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")
