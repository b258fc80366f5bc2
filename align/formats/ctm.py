"""NIST's CTM: lines of ``name channel start duration word [confidence]``; comments start with ``;;``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from align.formats.tracks import FormatError, Interval, Track, limit, lines, number, shorten


def read(text: str) -> list[Track]:
    """Read a track for each name and channel, in the order of their first words.

    Raises
    ------
    FormatError
        If a line has no name and channel, or there are too many words; other errors are faults of a track.
    """
    tracks: dict[tuple[str, str], Track] = {}
    n_words = 0
    for number_of_line, line in lines(text):
        if line.lstrip().startswith(";;"):
            continue
        fields = line.split()
        if len(fields) < 2:
            raise FormatError(f"line {number_of_line} is not CTM: {shorten(line)}")
        name, channel = fields[0], fields[1]
        track = tracks.get((name, channel))
        if track is None:
            track = tracks[name, channel] = Track(name=name, channel=_channel(channel))
        try:
            if len(fields) < 5:
                raise FormatError(f"{len(fields)} fields, at least 5 are needed")
            start, duration = number(fields[2]), number(fields[3])
            score = number(fields[5]) if len(fields) > 5 and fields[5] != "NA" else None
            track.add(start, round(start + duration, 6), fields[4], score)
        except FormatError as error:
            track.fault = track.fault or f"line {number_of_line}: {error}"
        n_words += 1
        limit(n_words, len(tracks))
    return list(tracks.values())


def _channel(text: str) -> int | None:
    """Convert NIST's channels, 1 and 2 or A and B."""
    if text in ("1", "A", "a"):
        return 0
    return 1 if text in ("2", "B", "b") else None


def write(name: str, words: Sequence[Interval], channel: int | None = None) -> str:
    """Return the lines of an utterance.

    Raises
    ------
    FormatError
        If the name or a word is empty or contains white space.
    """
    rows = []
    for field in (name, *(word.label for word in words)):
        if not field or re.search(r"\s", field) or field.startswith(";;"):
            raise FormatError(f"'{field}' is empty or contains white space")
    for word in words:
        row = f"{name} {(channel or 0) + 1} {word.start:.6f} {word.end - word.start:.6f} {word.label}"
        rows.append(row if word.score is None else f"{row} {word.score!r}")
    return "".join(f"{row}\n" for row in rows)
