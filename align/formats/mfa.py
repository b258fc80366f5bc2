"""The JSON of the Montreal Forced Aligner, and its analysis of all utterances (``alignment_analysis.csv``).

The float32 noise in its times (0.23999999463558197) is removed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from align.formats.csv_table import read_rows
from align.formats.json_text import json_number, load_json
from align.formats.tracks import WORD_TIERS, FormatError, Track, limit, number, shorten, shortest


def read(text: str) -> list[Track]:
    """Read a track from each tier of words: ``{"tiers": {"words": {"entries": [[start, end, label], ...]}}}``.

    Raises
    ------
    FormatError
        If it is not JSON, has no tier of words, or an entry is not [start, end, label].
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


@dataclass(frozen=True)
class AnalysedUtterance:
    """A row of ``alignment_analysis.csv``.

    Parameters
    ----------
    file : str
        The stem of the file; not unique across speakers.
    begin, end : float, seconds
    speaker : str
    log_likelihood : float or None
        Per frame, over the whole utterance; None if the program could not align it.
    """

    file: str
    begin: float
    end: float
    speaker: str
    log_likelihood: float | None


def read_analysis(text: str) -> list[AnalysedUtterance]:
    """Read the rows of ``alignment_analysis.csv``.

    Raises
    ------
    FormatError
        If a column is missing.
    """
    rows = read_rows(text)
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
