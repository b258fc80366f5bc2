"""What the Montreal Forced Aligner writes beside TextGrids: JSON, CSV, and its analysis of every utterance.

The CSV reader goes by the names in the first line, so it also reads the table that `write` makes, and tables of others
with a column each for start, end and word. Times carry float32 noise (0.23999999463558197); it is taken out.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from align.formats.tracks import (
    WORD_TIERS,
    FormatError,
    Interval,
    Track,
    limit,
    lines,
    number,
    shorten,
    shortest,
)

COLUMNS = ("utterance_id", "word", "start", "end", "score")

# The names that a column goes by, in lower case.
_START = ("start", "begin", "tmin", "start_time")
_END = ("end", "tmax", "end_time")
_LABEL = ("word", "label", "text")
_NAME = ("utterance_id", "utterance", "file")
_SCORE = ("score", "confidence", "probability")

# In memory a bracket of JSON takes a hundred bytes and more, so they are counted before they are built.
_MAX_JSON_BRACKETS = 1_000_000
_MAX_JSON_COMMAS = 4_000_000
_MAX_JSON_CHARACTERS = 64 * 2**20


def load_json(text: str) -> Any:
    """JSON that cannot take the memory or the stack.

    Raises
    ------
    FormatError
        If it is no JSON, is nested too deeply or holds too much.
    """
    if (
        len(text) > _MAX_JSON_CHARACTERS
        or text.count("[") + text.count("{") > _MAX_JSON_BRACKETS
        or text.count(",") + text.count(":") > _MAX_JSON_COMMAS
    ):
        raise FormatError("JSON too long for the words of one recording")
    try:
        # As a float, an integer of a million digits takes no time.
        return json.loads(text, parse_int=float)
    except ValueError as error:
        raise FormatError(f"is no JSON: {error}") from error
    except RecursionError as error:
        raise FormatError("is JSON nested too deeply") from error


def json_number(value: object, what: str) -> float:
    """A number in JSON; `what` is its name in the message.

    Raises
    ------
    FormatError
        If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FormatError(f"{what} is {shorten(json.dumps(value)[:60])}, not a number")
    return float(value)


def read_json(text: str) -> list[Track]:
    """A track for each tier of words: ``{"tiers": {"words": {"entries": [[start, end, label], ...]}}}``.

    Raises
    ------
    FormatError
        If it is no JSON, has no tier of words, or an entry is not [start, end, label].
    """
    content = load_json(text)
    tiers = content.get("tiers") if isinstance(content, dict) else None
    if not isinstance(tiers, dict):
        raise FormatError("has no tiers")
    tracks = []
    n_words = 0
    for name, tier in tiers.items():
        speaker, dash, kind = name.rpartition(" - ")
        if (kind if dash else name).strip().lower() not in WORD_TIERS:
            continue
        entries = tier.get("entries") if isinstance(tier, dict) else None
        if not isinstance(entries, list):
            raise FormatError(f"tier '{shorten(name)}' has no entries")
        track = Track(speaker=speaker)
        for entry in entries:
            if not isinstance(entry, list) or len(entry) < 3 or not isinstance(entry[2], str):
                raise FormatError(f"tier '{shorten(name)}': an entry is not [start, end, label]")
            track.add(shortest(json_number(entry[0], "a start")), shortest(json_number(entry[1], "an end")), entry[2])
        n_words += len(track.words)
        limit(n_words)
        tracks.append(track)
    if not tracks:
        raise FormatError(f"has no tier of words; its tiers: {', '.join(shorten(name) for name in list(tiers)[:10])}")
    return tracks


def delimiter(header: str) -> str:
    """What parts the columns of a table: a comma, a semicolon or a tab."""
    return max(",;\t", key=header.count)


def columns(header: Sequence[str]) -> dict[str, int] | None:
    """Where a table of words has its columns, by their names; None if it is no such table."""
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


def read_csv(text: str) -> list[Track]:
    """A track for each utterance (or speaker) that the table names, in the order of their first rows.

    Raises
    ------
    FormatError
        If the first line does not name the columns, or there are too many rows; any other fault is its track's.
    """
    rows = _rows(text)
    _, header = next(rows, (0, []))
    parts = columns(header)
    if parts is None:
        raise FormatError("the first line does not name start, end and word")
    tracks: dict[tuple[str, str], Track] = {}

    def value(row: Sequence[str], part: str) -> str:
        place = parts[part]
        return row[place] if 0 <= place < len(row) else ""

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
    # A table of silences only, or of nothing, is an alignment without words.
    return list(tracks.values()) or [Track()]


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    first = next((line for _, line in lines(text)), "")
    reader = csv.reader((line + "\n" for _, line in lines(text)), delimiter=delimiter(first))
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise FormatError(f"line {reader.line_num}: {error}") from error


def write_csv_header() -> str:
    return ",".join(COLUMNS) + "\n"


def write_csv(name: str, words: Sequence[Interval]) -> str:
    """The rows of one utterance, under the columns `COLUMNS`.

    Raises
    ------
    FormatError
        If a name or a word holds a line break.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for word in words:
        if re.search(r"[\r\n]", name + word.label):
            raise FormatError(f"'{word.label}' of '{name}' holds a line break")
        writer.writerow((name, word.label, repr(word.start), repr(word.end), "" if word.score is None else word.score))
    return out.getvalue()


@dataclass(frozen=True)
class AnalysedUtterance:
    """A row of ``alignment_analysis.csv``.

    Parameters
    ----------
    file : str
        The stem of the file; stems repeat across speakers.
    begin, end : float, seconds
    speaker : str
    log_likelihood : float or None
        By the frame, over all of the utterance; None if the program could not align it.
    """

    file: str
    begin: float
    end: float
    speaker: str
    log_likelihood: float | None


def read_analysis(text: str) -> list[AnalysedUtterance]:
    """The rows of ``alignment_analysis.csv``.

    Raises
    ------
    FormatError
        If it lacks one of the columns.
    """
    rows = _rows(text)
    _, header = next(rows, (0, []))
    places = {name.strip().lower(): place for place, name in enumerate(header)}
    wanted = ("file", "begin", "end", "speaker", "overall_log_likelihood")
    missing = [name for name in wanted if name not in places]
    if missing:
        raise FormatError(f"has no column {', '.join(missing)}")
    utterances = []
    for line, row in rows:
        if len(row) <= max(places[name] for name in wanted):
            raise FormatError(f"line {line} has {len(row)} fields")
        file, begin, end, speaker, likelihood = (row[places[name]].strip() for name in wanted)
        score = number(likelihood) if likelihood else math.nan
        utterances.append(
            AnalysedUtterance(file, number(begin), number(end), speaker, score if math.isfinite(score) else None)
        )
    return utterances
