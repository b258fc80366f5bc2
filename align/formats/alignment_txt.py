"""LibriSpeech's ``.alignment.txt``: one line per utterance, ``ID "W1,,W2," "end1,end2,end3,end4"``.

An empty word is a silence, a time is the END of its word, and each word starts where the previous one ends. Lines with
and without a space at the end, and with and without a silence at the start, are both in use and both read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from align.formats.tracks import FormatError, Interval, Track, limit, lines, number, shorten

_LINE = re.compile(r'\s*(\S+)[ \t]+"([^"]*)"[ \t]+"([^"]*)"\s*')
_FORBIDDEN = re.compile(r'[\s",]')


def read(text: str) -> list[Track]:
    """Read a track from each line; the track of an invalid line has a fault.

    Raises
    ------
    FormatError
        If there are too many words or lines.
    """
    tracks: list[Track] = []
    n_words = 0
    for number_of_line, line in lines(text):
        match = _LINE.fullmatch(line)
        if match is None:
            name = line.split(maxsplit=1)[0]
            fault = f'line {number_of_line} is not ID "words" "ends": {shorten(line)}'
            tracks.append(Track(name=shorten(name, 1000), fault=fault))
            limit(n_words, len(tracks))
            continue
        track = Track(name=match[1])
        try:
            track.words = _words(match[2], match[3])
        except FormatError as error:
            track.fault = f"line {number_of_line}: {error}"
        n_words += len(track.words)
        limit(n_words, len(tracks))
        tracks.append(track)
    return tracks


def _words(labels: str, ends: str) -> list[Interval]:
    n_labels, n_ends = labels.count(",") + 1, ends.count(",") + 1
    if n_labels != n_ends:
        raise FormatError(f"{n_labels} words and {n_ends} end times")
    words = []
    start = 0.0
    for label, end_text in zip(labels.split(","), ends.split(","), strict=True):
        end = number(end_text)
        if label.strip():
            words.append(Interval(start, end, label.strip()))
        start = end
    return words


def write(name: str, words: Sequence[Interval], duration: float) -> str:
    """Return the line of an utterance; pauses become empty words.

    Raises
    ------
    FormatError
        If a word overlaps the previous one, or the name or a word contains a character that separates fields.
    """
    if not name or re.search(r'[\s"]', name):
        raise FormatError(f"the name '{name}' contains white space or quotes")
    labels: list[str] = []
    ends: list[float] = []
    reached = 0.0
    for word in words:
        if not word.label or _FORBIDDEN.search(word.label):
            raise FormatError(f"the word '{word.label}' is empty or contains white space, a comma or quotes")
        if word.start < reached or word.end < word.start:
            raise FormatError(f"'{word.label}' at {word.start:.3f} s overlaps the previous word")
        if word.start > reached:
            labels.append("")
            ends.append(word.start)
        labels.append(_upper(word.label))
        ends.append(word.end)
        reached = word.end
    if duration > reached or not labels:
        labels.append("")
        ends.append(max(duration, reached))
    times = ",".join(f"{end:.6f}".rstrip("0").rstrip(".") for end in ends)
    return f'{name} "{",".join(labels)}" "{times}"\n'


def _upper(word: str) -> str:
    """Convert to upper case as in LibriSpeech, unless that cannot be reversed (German sharp s, for one)."""
    upper = word.upper()
    return upper if upper.lower() == word else word
