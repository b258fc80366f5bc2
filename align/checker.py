"""Check an alignment: find what is missing, impossible or improbable, and write an ALIGNED folder without it."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from align.aligned import iterate_aligned, read_failures, split_failures, write_aligned
from align.base import Aligned, AlignmentResult, Failure, Reason
from align.pronunciation.dictionary import Pronunciations
from speech2vec.corpus import audio
from speech2vec.corpus.manifest import Utterance, Word, read_report, read_utterances, read_words
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.config import Settings
from speech2vec.runtime.display import Displayed, Table
from speech2vec.runtime.files import atomic_path
from speech2vec.runtime.guarded import guarded_cell

_SHOWN = 5


class IssueKind(str, Enum):
    """What can be wrong; ``left-out`` is what an earlier ``check --drop`` removed on purpose."""

    MISSING = "missing-utterance"
    LEFT_OUT = "left-out"
    UNKNOWN_UTTERANCE = "unknown-utterance"
    UNREADABLE_AUDIO = "unreadable-audio"
    WORDS_DIFFER = "words-differ"
    OUTSIDE = "outside-utterance"
    OVERLAP = "overlap"
    ZERO_LENGTH = "zero-length"
    DURATION = "improbable-duration"
    LOW_SCORE = "low-score"


# What no correct alignment has; the other kinds only raise suspicion.
FAULTS = frozenset(
    (
        IssueKind.MISSING,
        IssueKind.UNKNOWN_UTTERANCE,
        IssueKind.WORDS_DIFFER,
        IssueKind.OUTSIDE,
        IssueKind.OVERLAP,
        IssueKind.ZERO_LENGTH,
    )
)


class CheckSettings(Settings):
    """Thresholds of the check.

    Parameters
    ----------
    tolerance : float, seconds
        How far a word may reach beyond its utterance or into the next word (times are rounded to frames).
    shortest_phone : float, seconds
        A word of four or more phones is too short if its phones are shorter than this on average.
    longest_phone : float, seconds
        A word of more than a second is too long if its phones are longer than this on average.
    score_deviations : float
        A score is low if it is more than this many standard deviations (estimated from the quartiles) below the median.
    dictionary : Path or None
        The pronunciation dictionary that phones are counted with; None is PocketSphinx's.
    """

    tolerance: float = Field(0.02, ge=0)
    shortest_phone: float = Field(0.035, ge=0)
    longest_phone: float = Field(0.3, ge=0)
    score_deviations: float = Field(4.0, ge=0)
    dictionary: Path | None = None


@dataclass(frozen=True)
class Issue(Displayed):
    """Something wrong or improbable in an alignment.

    Parameters
    ----------
    kind : IssueKind
    utterance_id : str
    position : int or None
        Index of the word in the utterance, from 0; None is the utterance as a whole.
    word : str
    start, end : float or None, seconds
    detail : str
    """

    kind: IssueKind
    utterance_id: str
    position: int | None = None
    word: str = ""
    start: float | None = None
    end: float | None = None
    detail: str = ""

    def display_parts(self) -> list[str | Table]:
        """What the command prints."""
        where = f" '{self.word}' {self.start:.2f}-{self.end:.2f} s" if self.start is not None else ""
        return [f"{self.utterance_id}{where}{': ' if self.detail else ''}{self.detail}"]


@dataclass(frozen=True)
class CheckReport(Displayed):
    """What a check found.

    Parameters
    ----------
    folder : Path
        The ALIGNED folder that was checked.
    asked, aligned, words : int
        As in its report.
    issues : list of Issue
    """

    folder: Path
    asked: int
    aligned: int
    words: int
    issues: list[Issue] = field(repr=False)

    @property
    def counts(self) -> dict[IssueKind, int]:
        """The number of issues of each kind."""
        found = Counter(issue.kind for issue in self.issues)
        return {kind: found[kind] for kind in IssueKind}

    @property
    def has_faults(self) -> bool:
        """Whether there are issues that no correct alignment has (`FAULTS`)."""
        return any(issue.kind in FAULTS for issue in self.issues)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures, the counts and the issues."""
        return {
            "folder": str(self.folder),
            "asked": self.asked,
            "aligned": self.aligned,
            "words": self.words,
            "counts": {kind.value: n for kind, n in self.counts.items()},
            "issues": [{**vars(issue), "kind": issue.kind.value} for issue in self.issues],
        }

    def write_csv(self, path: Path) -> None:
        """Write all issues to a CSV file, one a row."""
        with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
            rows = csv.DictWriter(out, [column.name for column in fields(Issue)])
            rows.writeheader()
            for issue in self.issues:
                rows.writerow({key: guarded_cell(v) for key, v in {**vars(issue), "kind": issue.kind.value}.items()})

    def display_parts(self) -> list[str | Table]:
        """What the command prints."""
        lines = [f"{self.folder}: {self.aligned:,} of {self.asked:,} utterances aligned"]
        for kind, count in self.counts.items():
            lines.append(f"  {kind.value:20} {count:8,}")
            lines += [f"      {issue}" for issue in islice((i for i in self.issues if i.kind is kind), _SHOWN)]
            if count > _SHOWN:
                lines.append(f"      ... and {count - _SHOWN:,} more (--findings FILE.csv lists all)")
        return ["\n".join(lines)]


class Checker:
    """Checks an ALIGNED folder, one utterance after the other.

    Parameters
    ----------
    folder : Path
    settings : CheckSettings
    """

    def __init__(self, folder: Path, settings: CheckSettings | None = None) -> None:
        self.folder = Path(folder)
        self.settings = settings or CheckSettings()
        self.utterances = {utterance.utterance_id: utterance for utterance in read_utterances(self.folder)}
        self.report = read_report(self.folder)
        self.pronunciations = Pronunciations(self.settings.dictionary)
        self.lowest_score = _lowest_normal(
            read_words(self.folder)["score"].drop_null().to_numpy(), self.settings.score_deviations
        )
        self._problems, failed = split_failures(read_failures(self.report), self.utterances)
        self._failures = {failure.utterance_id: failure for failure in failed}
        self._left_out: Mapping[str, int] = self.report.get("words_left_out", {})
        self._guessed: Mapping[str, str] = self.report.get("guessed_words", {})
        self._durations: dict[Path, float | None] = {}

    def check(self) -> CheckReport:
        """Check all utterances."""
        figures = {key: self.report.get(key, 0) for key in ("asked", "aligned", "words")}
        return CheckReport(self.folder, **figures, issues=list(self.issues()))

    def issues(self) -> Iterator[Issue]:
        """Yield all issues, utterance by utterance; utterances without words come last."""
        missing = dict.fromkeys(self.utterances)
        for aligned in iterate_aligned(self.folder):
            missing.pop(aligned.utterance_id, None)
            yield from self.of_utterance(aligned)
        for failure in self._problems:
            yield _missing(failure)
        for name in missing:
            known = self._failures.get(name)
            yield _missing(known) if known else Issue(IssueKind.MISSING, name, detail="not in the report either")

    def of_utterance(self, aligned: Aligned) -> Iterator[Issue]:
        """Yield the issues of one utterance and its words."""
        name = aligned.utterance_id
        utterance = self.utterances.get(name)
        if utterance is None:
            yield Issue(IssueKind.UNKNOWN_UTTERANCE, name, detail="has words, but is not in utterances.jsonl")
            return
        expected, found = tokenize(utterance.text), [word.word for word in aligned.words]
        n_left_out = self._left_out.get(name, 0)
        if n_left_out and _is_without(found, expected, n_left_out):
            yield Issue(IssueKind.LEFT_OUT, name, detail=f"{n_left_out} of {len(expected)} words, by an earlier check")
        elif expected != found:
            yield Issue(IssueKind.WORDS_DIFFER, name, detail=_first_difference(expected, found))
        first = utterance.start or 0.0
        last = utterance.end if utterance.end is not None else self._duration(utterance)
        if last is None:
            yield Issue(IssueKind.UNREADABLE_AUDIO, name, detail=f"{utterance.audio}: its length is unknown")
        previous_end = 0.0
        for position, word in enumerate(aligned.words):
            for kind, detail in self._of_word(word, first, last, previous_end):
                yield Issue(kind, name, position, word.word, word.start, word.end, detail)
            previous_end = max(previous_end, word.end)

    def _of_word(
        self, word: Word, first: float, last: float | None, previous_end: float
    ) -> Iterator[tuple[IssueKind, str]]:
        slack = self.settings.tolerance + 1e-9
        if word.start < first - slack or (last is not None and word.end > last + slack):
            until = "its file's end" if last is None else f"{last:.2f} s"
            yield IssueKind.OUTSIDE, f"the utterance lasts from {first:.2f} s to {until}"
        if word.start < previous_end - slack:
            yield IssueKind.OVERLAP, f"the previous word ends at {previous_end:.2f} s"
        duration = word.end - word.start
        n_phones = self._n_phones(word.word)
        too_short = n_phones >= 4 and duration < n_phones * self.settings.shortest_phone - 1e-9
        if duration <= 0:
            yield IssueKind.ZERO_LENGTH, ""
        elif too_short or duration > max(1.0, n_phones * self.settings.longest_phone):
            yield IssueKind.DURATION, f"{duration:.2f} s for {n_phones} phones"
        if word.score is not None and word.score < self.lowest_score:
            yield IssueKind.LOW_SCORE, f"{word.score:.2f}, low is below {self.lowest_score:.2f}"

    def _n_phones(self, word: str) -> int:
        if word in self._guessed:
            return len(self._guessed[word].split())
        return len(self.pronunciations.pronounce(word).phones)

    def _duration(self, utterance: Utterance) -> float | None:
        if utterance.audio not in self._durations:
            try:
                self._durations[utterance.audio] = audio.info(utterance.audio).duration
            except audio.AudioError:
                self._durations[utterance.audio] = None
        return self._durations[utterance.audio]

    def write_without(self, kinds: Iterable[IssueKind], output: Path) -> dict[str, Any]:
        """Write a new ALIGNED folder without the words (or utterances) that have an issue of these kinds.

        An utterance that loses all its words is listed in the new report as dropped.

        Returns
        -------
        dict
            The new report.
        """
        unwanted = frozenset(kinds)
        left_out = dict(self._left_out)
        extra = {
            "checked": str(self.folder),
            "dropped": sorted(kind.value for kind in unwanted),
            "words_left_out": left_out,
        }
        return write_aligned(
            output,
            list(self.utterances.values()),
            self._kept(unwanted, left_out),
            problems=self._problems,
            settings=self.report.get("settings"),
            extra=extra,
        )

    def _kept(self, unwanted: frozenset[IssueKind], left_out: dict[str, int]) -> Iterator[AlignmentResult]:
        """Yield what is kept; count in `left_out` how many words of each utterance are not."""
        waiting = set(self.utterances)
        for aligned in iterate_aligned(self.folder):
            if aligned.utterance_id not in waiting:
                continue  # unknown: its words are not copied
            waiting.remove(aligned.utterance_id)
            found = [issue for issue in self.of_utterance(aligned) if issue.kind in unwanted]
            positions = {issue.position for issue in found}
            words = tuple(word for i, word in enumerate(aligned.words) if i not in positions)
            if len(words) < len(aligned.words):
                left_out[aligned.utterance_id] = left_out.get(aligned.utterance_id, 0) + len(aligned.words) - len(words)
            if None in positions or not words:
                what = ", ".join(sorted({issue.kind.value for issue in found}))
                yield Failure(aligned.utterance_id, Reason.DROPPED, what)
            else:
                guessed = {word.word: aligned.guessed[word.word] for word in words if word.word in aligned.guessed}
                yield replace(aligned, words=words, guessed=guessed)
        for failure in self._failures.values():
            if failure.utterance_id in waiting:
                waiting.remove(failure.utterance_id)
                yield failure
        for name in sorted(waiting):
            yield Failure(name, Reason.NO_ANSWER, f"neither aligned nor in the report of {self.folder}")


def _lowest_normal(scores: np.ndarray, deviations: float) -> float:
    if len(scores) < 20:
        return -np.inf
    low, median, high = np.percentile(scores, [25, 50, 75])
    # The interquartile range of a normal distribution is 1.349 standard deviations.
    return float(median - deviations * (high - low) / 1.349)


def _missing(failure: Failure) -> Issue:
    kind = IssueKind.LEFT_OUT if failure.reason is Reason.DROPPED else IssueKind.MISSING
    return Issue(kind, failure.utterance_id, detail=failure.reason.value + (failure.detail and f": {failure.detail}"))


def _is_without(found: list[str], expected: list[str], n_left_out: int) -> bool:
    """Whether `found` is `expected` without `n_left_out` of its words."""
    rest = iter(expected)
    return len(found) + n_left_out == len(expected) and all(word in rest for word in found)


def _first_difference(expected: list[str], found: list[str]) -> str:
    for i, (a, b) in enumerate(zip(expected, found, strict=False)):
        if a != b:
            return f"word {i + 1} is '{b}', the transcript has '{a}'"
    return f"{len(found)} words, the transcript has {len(expected)}"
