"""Import alignments from files of other programs: one result for each utterance of a corpus.

How an utterance is found for the words of a file:

- a track with a name in the file (``.alignment.txt``, CTM, CSV) belongs to the utterance with that id, else to the
  recording with that name;
- a file without names belongs to what its path below the folder of alignments names (`align.targets`).

Times count from the start of the utterance if the name is an utterance's, and from the start of the recording if it is
a recording's (Kaldi's rule). The words of a recording are assigned to its utterances by speaker and time.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from align.base import Aligned, AlignmentResult, Failure, Reason
from align.formats.mfa import AnalysedUtterance, read_analysis
from align.formats.recognise import READERS, SUFFIXES, read_tracks
from align.formats.tracks import FormatError, Interval, Track, read_text, shorten
from align.matching import match_enough
from align.targets import Index, Target, path_of
from speech2vec.corpus.manifest import REPORT_FILE, Utterance, Word
from speech2vec.corpus.readers import AUDIO_SUFFIXES, folders_below
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.config import Settings
from speech2vec.runtime.errors import UserError

ANALYSIS_FILE = "alignment_analysis.csv"
_MAX_LISTED = 200


class ImportSettings(Settings):
    """Settings of an import.

    Parameters
    ----------
    format : str or None
        A key of `align.formats.recognise.READERS`; None recognises each file by its content.
    tier : str
        The tier of a TextGrid that holds the words; "" is ``words``, or ``SPEAKER - words``.
    min_matched : float
        Share of the words of a transcript that must be found, 0 to 1; else the utterance fails.
    """

    format: str | None = None
    tier: str = ""
    min_matched: float = Field(0.5, ge=0, le=1)


@dataclass
class Tally:
    """What an import noticed in the alignment files, for the report."""

    files: Counter[str] = field(default_factory=Counter)
    not_recognised: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    without_utterance: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    differing: list[dict[str, str]] = field(default_factory=list)
    words_respelled: int = 0
    words_missing: int = 0
    words_extra: int = 0
    words_split: int = 0
    words_outside_utterances: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the counts, and the first items of each list."""
        values: dict[str, Any] = {"files": dict(self.files)}
        for name in ("not_recognised", "unreadable", "without_utterance", "ignored", "differing"):
            items = getattr(self, name)
            values[f"n_{name}"] = len(items)
            values[name] = items[:_MAX_LISTED]
        for name in ("respelled", "missing", "extra", "split", "outside_utterances"):
            values[f"words_{name}"] = getattr(self, f"words_{name}")
        return values

    def notes(self) -> list[str]:
        """Summarise what the user should know, a line for each kind."""
        lines = [
            f"{len(getattr(self, name)):,} {what} (listed in {REPORT_FILE})"
            for name, what in (
                ("not_recognised", "files are in no known format"),
                ("unreadable", "files cannot be read"),
                ("without_utterance", "alignments belong to no utterance of the corpus"),
                ("ignored", "alignments were ignored, as their utterance is already aligned"),
                ("differing", "utterances have other words than their transcript"),
            )
            if getattr(self, name)
        ]
        if self.words_outside_utterances:
            lines.append(f"{self.words_outside_utterances:,} words lie in no utterance of their recording: left out")
        return lines


def read_alignments(
    utterances: Sequence[Utterance], source: Path, settings: ImportSettings, tally: Tally
) -> Iterator[AlignmentResult]:
    """Yield a result for each utterance: first those found in files, in the order of the files, then the others.

    Parameters
    ----------
    utterances : sequence of Utterance
    source : Path
        A folder of alignments, or one file.
    settings : ImportSettings
    tally : Tally
        Filled while reading.

    Raises
    ------
    UserError
        If `source` does not exist or contains no alignment at all.
    """
    if settings.format is not None and settings.format not in READERS:
        raise UserError(f"there is no format '{settings.format}': choose {', '.join(READERS)}")
    files = list_files(source)
    root = source if source.is_dir() else source.parent
    index = Index(utterances)
    owners, unclear = index.owners({path: path.relative_to(root).with_suffix("").parts for path in files})
    scores = _Scores(root, files, tally)
    answered: set[str] = set()
    damaged: dict[str, str] = {}
    unread: list[str] = []  # files without an owner: any utterance may be in them
    read_any = False
    for path in files:
        shown = str(path.relative_to(root))
        owner = owners.get(path)
        try:
            found = read_tracks(read_text(path), settings.format, settings.tier)
        except FormatError as error:
            tally.unreadable.append(f"{shown}: {error}")
            if owner is None:
                unread.append(tally.unreadable[-1])
            damaged.update((u.utterance_id, tally.unreadable[-1]) for u in (owner.utterances if owner else ()))
            continue
        if found is None:
            tally.not_recognised.append(shown)
            if path.suffix.lower() in SUFFIXES and owner:
                damaged.update((u.utterance_id, f"{shown}: is in no known format") for u in owner.utterances)
            continue
        read_any = True
        tally.files[found[0]] += 1
        for target, tracks, name in _resolve_targets(found[1], owner, index):
            if target is None:
                tally.without_utterance.append(f"{shown}: {name}" if name else shown)
                continue
            for utterance, words, fault in _assign_words(target, tracks, tally):
                if utterance.utterance_id in answered:
                    tally.ignored.append(f"{shown}: {utterance.utterance_id} is aligned already")
                    continue
                answered.add(utterance.utterance_id)
                if fault:
                    yield Failure(utterance.utterance_id, Reason.UNREADABLE_ALIGNMENT, f"{shown}: {fault}")
                else:
                    words = scores.add_to(words, path, utterance)
                    yield _result(utterance, words, settings, tally, shown)
    if not read_any and not damaged:
        why = f"that can be read: {_first(unread)}" if unread else f"in a known format (files examined: {len(files)})"
        raise UserError(f"{source} contains no alignment {why}")
    missing = f"{source} contains none" + (f" that can be read: {_first(unread)}" if unread else "")
    for utterance in utterances:
        name = utterance.utterance_id
        if name in answered:
            continue
        if name in damaged:
            yield Failure(name, Reason.UNREADABLE_ALIGNMENT, damaged[name])
        else:
            yield Failure(name, Reason.NO_ALIGNMENT_FILE, unclear.get(name, missing))


def _first(faults: Sequence[str]) -> str:
    return faults[0] if len(faults) == 1 else f"{faults[0]} (and {len(faults) - 1} more)"


def list_files(source: Path) -> list[Path]:
    """List the files that may be alignments, sorted by path: all but hidden files and audio.

    Raises
    ------
    UserError
        If `source` does not exist.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f"{source}: there is no such folder or file of alignments")
    return sorted(
        path
        for folder in folders_below(source)
        for path in folder.iterdir()
        if not path.name.startswith(".")
        and path.name != ANALYSIS_FILE
        and path.suffix.lower() not in AUDIO_SUFFIXES
        and path.is_file()
    )


def _resolve_targets(
    tracks: Sequence[Track], owner: Target | None, index: Index
) -> Iterator[tuple[Target | None, list[Track], str]]:
    """Yield tracks with their target: by the name in the file if there is one, else by the name of the file."""
    by_name: dict[str, list[Track]] = defaultdict(list)
    for track in tracks:
        by_name[track.name].append(track)
    for name, own in by_name.items():
        if not name:
            yield owner, own, name
            continue
        found = index.find(path_of(name))
        yield (found[0] if len(found) == 1 else None), own, name


def _assign_words(
    target: Target, tracks: Sequence[Track], tally: Tally
) -> Iterator[tuple[Utterance, list[Interval], str]]:
    """Yield each utterance of a target with its words in time order, and the fault of the tracks if there is one."""
    fault = next((track.fault for track in tracks if track.fault), "")
    if len(target.utterances) == 1 and (not target.by_recording or target.utterances[0].start is None):
        (utterance,) = target.utterances
        offset = utterance.start or 0.0
        words = _in_order(word for track in _of_utterance(utterance, tracks) for word in track.words)
        yield utterance, [_moved(word, offset) for word in words] if offset else words, fault
        return
    n_assigned = 0
    for utterance in target.utterances:
        begin, end = utterance.start or 0.0, utterance.end if utterance.end is not None else math.inf
        own = _of_utterance(utterance, tracks)
        words = _in_order(
            word
            for track in own
            for word in track.words
            if not (word.start + word.end) / 2 < begin and not (word.start + word.end) / 2 >= end
        )
        n_assigned += len(words)
        yield utterance, words, fault
    tally.words_outside_utterances += max(0, sum(len(track.words) for track in tracks) - n_assigned)


def _of_utterance(utterance: Utterance, tracks: Sequence[Track]) -> list[Track]:
    """Return the tracks of the utterance's speaker and channel, if the file distinguishes them."""
    own = [track for track in tracks if track.speaker == utterance.speaker] or list(tracks)
    if utterance.channel is not None:
        own = [track for track in own if track.channel in (None, utterance.channel)] or own
    return own


def _in_order(words: Iterable[Interval]) -> list[Interval]:
    return sorted(words, key=lambda word: (word.start, word.end))


def _moved(word: Interval, offset: float) -> Interval:
    return Interval(round(word.start + offset, 6), round(word.end + offset, 6), word.label, word.score)


def _result(
    utterance: Utterance, words: Sequence[Interval], settings: ImportSettings, tally: Tally, shown: str
) -> AlignmentResult:
    """Match words with the transcript."""
    name = utterance.utterance_id
    tokens = tokenize(utterance.text)
    if not tokens:
        return Failure(name, Reason.NO_WORDS, utterance.text)
    if not words:
        return Failure(name, Reason.NO_ALIGNMENT, f"{shown} contains no words")
    bad = next(
        (w for w in words if not (math.isfinite(w.start) and math.isfinite(w.end) and 0 <= w.start <= w.end)), None
    )
    if bad is not None:
        return Failure(
            name, Reason.IMPOSSIBLE_TIMES, f"{shown}: '{shorten(bad.label)}' from {bad.start} to {bad.end} s"
        )
    matching = match_enough(name, words, tokens, min_matched=settings.min_matched, where=f"{shown}: ")
    if isinstance(matching, Failure):
        return matching
    tally.words_respelled += len(matching.respelled)
    tally.words_missing += len(matching.missing)
    tally.words_extra += len(matching.extra)
    tally.words_split += matching.n_split
    if matching.differs:
        tally.differing.append({"utterance_id": name, "differences": matching.describe()})
    return Aligned(name, tuple(Word(name, w.label, w.start, w.end, w.score) for w in matching.words))


class _Scores:
    """Log-likelihoods from MFA's ``alignment_analysis.csv``, as scores of words that have none."""

    def __init__(self, root: Path, files: Sequence[Path], tally: Tally) -> None:
        self._rows: dict[str, list[AnalysedUtterance]] = defaultdict(list)
        path = root / ANALYSIS_FILE
        if root.is_dir() and path.is_file() and len(files) > 0:
            rows: list[AnalysedUtterance] = []
            try:
                rows = read_analysis(read_text(path))
            except FormatError as error:
                tally.unreadable.append(f"{ANALYSIS_FILE}: {error}: words get no score from it")
            for row in rows:
                self._rows[row.file].append(row)

    def add_to(self, words: list[Interval], path: Path, utterance: Utterance) -> list[Interval]:
        rows = self._rows.get(path.stem, [])
        if len(rows) > 1:
            start = utterance.start or 0.0
            rows = [row for row in rows if row.speaker in (path.parent.name, utterance.speaker)] or rows
            rows = [row for row in rows if abs(row.begin - start) < 0.05] if len(rows) > 1 else rows
        if len(rows) != 1 or rows[0].log_likelihood is None:
            return words
        score = rows[0].log_likelihood
        return [Interval(w.start, w.end, w.label, score if w.score is None else w.score) for w in words]
