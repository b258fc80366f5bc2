"""Recognise the format of an alignment file by its content, and read it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping

from align.formats import alignment_txt, csv_table, ctm, mfa, textgrid, wdseg, whisper
from align.formats.tracks import FormatError, Track, lines

Reader = Callable[[str], list[Track]]

READERS: Mapping[str, Reader] = {
    "textgrid": textgrid.read,
    "alignment.txt": alignment_txt.read,
    "ctm": ctm.read,
    "wdseg": wdseg.read,
    "mfa-json": mfa.read,
    "csv": csv_table.read,
    "whisper": whisper.read,
}

# Files with these suffixes contain nothing but alignments: one that is not recognised is damaged.
SUFFIXES = frozenset({".textgrid", ".ctm", ".wdseg"})

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+|nan|inf)(?:e[-+]?\d+)?"
_TEXTGRID = re.compile(r'\s*(?:File type\s*=\s*)?"ooTextFile[^"]*"', re.IGNORECASE)
_WDSEG = re.compile(r"\s*SFrm\s+EFrm\s+SegAScr\s+Word\b", re.IGNORECASE)
_ALIGNMENT_TXT = re.compile(r'\s*\S+[ \t]+"[^"]*"[ \t]+"[^"]*"\s*')
_CTM = re.compile(rf"\s*\S+\s+\S+\s+{_NUMBER}\s+{_NUMBER}\s+\S+(?:\s+(?:{_NUMBER}|NA)(?:\s.*)?)?\s*", re.IGNORECASE)
_HEAD_LINES = 5


def recognise(text: str) -> str | None:
    """Return the name of the format, a key of `READERS`; None if it is unknown.

    Raises
    ------
    FormatError
        If it is a binary TextGrid, which is not supported.
    """
    if text.startswith("ooBinaryFile"):
        raise FormatError("is a binary TextGrid: save it as text in Praat")
    if _TEXTGRID.match(text) and "TextGrid" in text[:2000]:
        return "textgrid"
    first = re.compile(r"\S").search(text)
    if first is None:
        return None
    if text[first.start()] in "{[":
        if re.compile(r'"tiers"\s*:').search(text):
            return "mfa-json"
        return "whisper" if re.compile(r'"(?:words|word_segments|word)"\s*:').search(text) else None
    if _WDSEG.match(text):
        return "wdseg"
    try:
        head = [line for _, line in itertools.islice(lines(text), _HEAD_LINES)]
    except FormatError:  # a line of megabytes: not a format of lines
        return None
    if csv_table.columns(head[0].split(csv_table.delimiter(head[0]))):
        return "csv"
    if any(_ALIGNMENT_TXT.fullmatch(line) for line in head):
        return "alignment.txt"
    if any(_CTM.fullmatch(line) for line in head if not line.startswith(";;")):
        return "ctm"
    return None


def read_tracks(text: str, format_name: str | None = None, tier: str = "") -> tuple[str, list[Track]] | None:
    """Read the tracks of a text.

    Parameters
    ----------
    text : str
    format_name : str or None
        A key of `READERS`; None recognises the format by the content.
    tier : str
        The tier of a TextGrid to read; "" is the tier of words.

    Returns
    -------
    (str, list of Track) or None
        The name of the format and the tracks; None if the format is unknown.

    Raises
    ------
    FormatError
        If the text is in the format, but nothing in it can be used.
    """
    name = format_name or recognise(text)
    if name is None:
        return None
    if name == "textgrid":
        return name, textgrid.read(text, tier)
    return name, READERS[name](text)
