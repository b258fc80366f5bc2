"""Praat's TextGrid, long and short.

The reader follows Praat's own rule for its text files: only free-standing numbers, flags (`<exists>`) and strings in
double quotes count, all else is comment. It therefore reads the long and the short form, tabs, and a whole file on one
line. praatio (6.2) searches for ``item [`` and ``xmin =`` instead: it raises IndexError or ParsingError on a label that
contains such text or a file on one line, and rejects a file with one reversed interval. The counts in a file are only
compared at the end, to detect a truncated file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from align.formats.tracks import MAX_LINE, WORD_TIERS, FormatError, Interval, Track, limit, shorten

# No nested repetition: each alternative is linear, whatever the text. A doubled quote is two strings that touch.
_TOKEN = re.compile(r'"[^"]*"?|![^\r\n]*|[^\s"]+')
_NUMBER = re.compile(
    r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?%?|[-+]?(?:nan|inf(?:inity)?)|--undefined--", re.IGNORECASE
)
_LONGEST_NUMBER = 64
_SPEAKER_TIER = re.compile(r"(.+?) - (words?)", re.IGNORECASE | re.DOTALL)


class _Tokens:
    """The numbers and strings of a text, one after the other."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._matches = _TOKEN.finditer(text)
        self._held: re.Match[str] | None = None
        self.place = 0
        self._next: float | str | None = None
        self._is_string = False
        self._advance()

    def _advance(self) -> None:
        """Read the next value; `_next` is None at the end."""
        while True:
            match = self._held or next(self._matches, None)
            self._held = None
            if match is None:
                self._next = None
                return
            self.place = match.start()
            first = self._text[self.place]
            if first == '"':
                self._next, self._is_string = self._string(match), True
                return
            if first == "!" or match.end() - match.start() > _LONGEST_NUMBER:
                continue
            if _NUMBER.fullmatch(match.group()):
                self._next, self._is_string = _float(match.group()), False
                return

    def _string(self, match: re.Match[str]) -> str:
        start, parts = match.start(), []
        while True:
            if match.end() - start > MAX_LINE:
                raise FormatError(f"line {self._line(start)}: a label of more than {MAX_LINE:,} characters")
            token = match.group()
            if len(token) < 2 or token[-1] != '"':
                raise FormatError(f"line {self._line(start)}: a quote that is not closed")
            parts.append(token[1:-1])
            follower = next(self._matches, None)
            if follower is None or follower.start() != match.end() or self._text[follower.start()] != '"':
                self._held = follower
                return '"'.join(parts)
            match = follower

    def _line(self, place: int) -> int:
        return self._text.count("\n", 0, place) + 1

    def _expected(self, what: str) -> FormatError:
        where = f"line {self._line(self.place)}" if self._next is not None else "the file's end"
        return FormatError(f"{where}: {what} was expected")

    def at_end(self) -> bool:
        return self._next is None

    def at_string(self) -> bool:
        return self._next is not None and self._is_string

    def number(self) -> float:
        if not isinstance(self._next, float):
            raise self._expected("a number")
        value = self._next
        self._advance()
        return value

    def string(self) -> str:
        if not isinstance(self._next, str):
            raise self._expected("a string in quotes")
        value = self._next
        self._advance()
        return value


def _float(token: str) -> float:
    if token == "--undefined--":
        return float("nan")
    return float(token[:-1]) / 100 if token[-1] == "%" else float(token)


def read(text: str, tier: str = "") -> list[Track]:
    """Read a track from each tier of words.

    Parameters
    ----------
    text : str
    tier : str
        The name of the tier to read; "" reads ``words`` and every ``SPEAKER - words``.

    Raises
    ------
    FormatError
        If it is not a TextGrid, is truncated, or has no such tier.
    """
    tokens = _Tokens(text)
    kind, object_class = tokens.string(), tokens.string()
    if "ooTextFile" not in kind or object_class != "TextGrid":
        raise FormatError(f"is a '{shorten(object_class)}', not a TextGrid")
    tokens.number(), tokens.number()
    if tokens.at_end():
        raise FormatError("is truncated before its tiers")
    n_tiers = tokens.number()
    names: list[str] = []
    tracks: list[Track] = []
    n_words = 0
    while not tokens.at_end():
        kind, name = tokens.string(), tokens.string().strip()
        names.append(name)
        tokens.number(), tokens.number()
        track = _track_of(name, tier) if kind == "IntervalTier" else None
        n_declared, n_read = tokens.number(), 0
        while not tokens.at_end() and not tokens.at_string():
            start = tokens.number()
            end = tokens.number() if kind == "IntervalTier" else start
            label = tokens.string()
            n_read += 1
            if track is not None:
                track.add(start, end, " ".join(label.split()))
                limit(n_words + len(track.words), len(tracks))
        if n_read != n_declared:
            raise FormatError(f"tier '{shorten(name)}' declares {n_declared:.0f} intervals, but has {n_read}")
        if track is not None:
            n_words += len(track.words)
            tracks.append(track)
    if len(names) != n_tiers:
        raise FormatError(f"declares {n_tiers:.0f} tiers, but has {len(names)}")
    if not tracks:
        wanted = f"tier '{tier}'" if tier else "tier of words"
        found = ", ".join(shorten(name) for name in names[:10]) or "none"
        raise FormatError(f"has no {wanted}; its tiers: {found}")
    return tracks


def _track_of(name: str, tier: str) -> Track | None:
    """Return an empty track for a tier of words, None for other tiers."""
    if tier:
        return Track() if name == tier else None
    if name.lower() in WORD_TIERS:
        return Track()
    with_speaker = _SPEAKER_TIER.fullmatch(name)
    return Track(speaker=with_speaker[1]) if with_speaker else None


def write(words: Sequence[Interval], duration: float, tier: str = "words") -> str:
    """Return a long TextGrid with one tier. Praat needs intervals without gaps: silences get an empty label.

    Parameters
    ----------
    words : sequence of Interval
        In time order, without overlaps and words of zero length (Praat rejects both).
    duration : float, seconds
        The end of the tier, unless the last word ends later.
    tier : str
        The name of the tier.

    Raises
    ------
    FormatError
        If words overlap or have zero length.
    """
    intervals = list(_without_gaps(words, duration))
    end = _seconds(intervals[-1].end if intervals else duration)
    rows = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {end}",
        "tiers? <exists>",
        "size = 1",
        "item []:",
        "    item [1]:",
        '        class = "IntervalTier"',
        f'        name = "{_quoted(tier)}"',
        "        xmin = 0",
        f"        xmax = {end}",
        f"        intervals: size = {len(intervals)}",
    ]
    for number, interval in enumerate(intervals, start=1):
        rows += [
            f"        intervals [{number}]:",
            f"            xmin = {_seconds(interval.start)}",
            f"            xmax = {_seconds(interval.end)}",
            f'            text = "{_quoted(interval.label)}"',
        ]
    return "\n".join(rows) + "\n"


def _without_gaps(words: Iterable[Interval], duration: float) -> Iterator[Interval]:
    reached = 0.0
    for word in words:
        if word.start < reached:
            raise FormatError(f"'{word.label}' at {word.start:.3f} s overlaps the previous word")
        if word.end <= word.start:
            raise FormatError(f"'{word.label}' at {word.start:.3f} s has zero length")
        if word.start > reached:
            yield Interval(reached, word.start, "")
        yield word
        reached = word.end
    if duration > reached:
        yield Interval(reached, duration, "")


def _seconds(value: float) -> str:
    """Return the shortest decimal of a number, without an exponent."""
    text = repr(float(value))
    return f"{value:.12f}".rstrip("0") if "e" in text else text


def _quoted(label: str) -> str:
    return label.replace('"', '""')
