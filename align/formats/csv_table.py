"""CSV: a word on each line, with columns for start, end and word in any order, and any others.

Columns are found by their names in the first line, so that MFA's CSV, the tables of `write` and most others are read.
The float32 noise in MFA's times (0.23999999463558197) is removed.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from align.formats.tracks import WORD_TIERS, FormatError, Interval, Track, limit, lines, number, shortest
from speech2vec.runtime.guarded import guarded_cell, without_guard

COLUMNS = ("utterance_id", "word", "start", "end", "score")

# The names of each column, in lower case.
_START = ("start", "begin", "tmin", "start_time")
_END = ("end", "tmax", "end_time")
_LABEL = ("word", "label", "text")
_NAME = ("utterance_id", "utterance", "file")
_SCORE = ("score", "confidence", "probability")


def delimiter(header: str) -> str:
    """Return the delimiter of a table: a comma, a semicolon or a tab."""
    return max(",;\t", key=header.count)


def columns(header: Sequence[str]) -> dict[str, int] | None:
    """Return the index of each column, -1 if it is absent; None if it is not a table of words."""
    names = [name.strip().strip('"').lower() for name in header]

    def find(aliases: tuple[str, ...]) -> int:
        return next((names.index(alias) for alias in aliases if alias in names), -1)

    found = {
        "start": find(_START),
        "end": find(_END),
        "label": find(_LABEL),
        "name": find(_NAME),
        "score": find(_SCORE),
        "type": find(("type",)),
        "speaker": find(("speaker",)),
    }
    return None if min(found["start"], found["end"], found["label"]) < 0 else found


def read(text: str) -> list[Track]:
    """Read a track for each utterance (or speaker) in the table, in the order of their first rows.

    Raises
    ------
    FormatError
        If the first line does not name the columns, or there are too many rows; other errors are faults of a track.
    """
    rows = read_rows(text)
    _, header = next(rows, (0, []))
    parts = columns(header)
    if parts is None:
        raise FormatError("the first line does not name start, end and word")
    tracks: dict[tuple[str, str], Track] = {}

    def value(row: Sequence[str], part: str) -> str:
        place = parts[part]
        return (without_guard(row[place]) or "") if 0 <= place < len(row) else ""

    for n_rows, (line, row) in enumerate(rows):
        limit(n_rows, len(tracks))
        if not row or value(row, "type").lower() not in ("", *WORD_TIERS):
            continue
        key = (value(row, "name").strip(), value(row, "speaker").strip())
        track = tracks.get(key)
        if track is None:
            track = tracks[key] = Track(name=key[0], speaker=key[1])
        try:
            score = value(row, "score")
            track.add(
                shortest(number(value(row, "start"))),
                shortest(number(value(row, "end"))),
                value(row, "label"),
                number(score) if score else None,
            )
        except FormatError as error:
            track.fault = track.fault or f"line {line}: {error}"
    # A table of silences only is an alignment without words.
    return list(tracks.values()) or [Track()]


def read_rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a table, including the header, with their line numbers.

    Raises
    ------
    FormatError
        If a line or a field is too long.
    """
    first = next((line for _, line in lines(text)), "")
    reader = csv.reader((line + "\n" for _, line in lines(text)), delimiter=delimiter(first))
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise FormatError(f"line {reader.line_num}: {error}") from error


def write_header() -> str:
    """Return the first line of a table."""
    return ",".join(COLUMNS) + "\n"


def write(name: str, words: Sequence[Interval]) -> str:
    """Return the rows of an utterance, with the columns `COLUMNS`.

    Raises
    ------
    FormatError
        If the name or a word contains a line break.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for word in words:
        if re.search(r"[\r\n]", name + word.label):
            raise FormatError(f"'{word.label}' of '{name}' contains a line break")
        score = "" if word.score is None else word.score
        writer.writerow((guarded_cell(name), guarded_cell(word.label), repr(word.start), repr(word.end), score))
    return out.getvalue()
