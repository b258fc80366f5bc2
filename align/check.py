"""Checking an alignment: what is missing, impossible or improbable in it, and an ALIGNED without it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from align.aligned import iterate_aligned, read_failures, read_report, split_failures, write_aligned
from align.base import Aligned, AlignmentResult, Failure, Reason
from align.pronunciation.dictionary import Pronunciations
from speech2vec.corpus import audio
from speech2vec.corpus.manifest import Utterance, Word, read_utterances, read_words
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.config import Settings


class Kind(str, Enum):
    """What can be wrong; ``left-out`` is what an earlier check left out on purpose."""

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


# What no right alignment has; the other kinds are suspicions.
FAULTS = frozenset(
    (Kind.MISSING, Kind.UNKNOWN_UTTERANCE, Kind.WORDS_DIFFER, Kind.OUTSIDE, Kind.OVERLAP, Kind.ZERO_LENGTH)
)


class CheckSettings(Settings):
    """Where the improbable begins.

    Parameters
    ----------
    tolerance : float, seconds
        By how much a word may reach beyond its utterance or overlap the next (times are rounded to frames).
    shortest_phone : float, seconds
        A word of four phones or more that is shorter than this for each is too short.
    longest_phone : float, seconds
        A word that is longer than this for each phone, and than a second, is too long.
    score_deviations : float
        A score is low if it is more than this many standard deviations (estimated from the quartiles) below the median.
    dictionary : Path or None
        Where phones are counted; None is PocketSphinx's dictionary.
    """

    tolerance: float = Field(0.02, ge=0)
    shortest_phone: float = Field(0.035, ge=0)
    longest_phone: float = Field(0.3, ge=0)
    score_deviations: float = Field(4.0, ge=0)
    dictionary: Path | None = None


@dataclass(frozen=True)
class Issue:
    """Something wrong, or improbable, at one place.

    Parameters
    ----------
    kind : Kind
    utterance_id : str
    position : int or None
        Which word of the utterance, from 0; None is the utterance as a whole.
    word : str
    start, end : float or None, seconds
    detail : str
    """

    kind: Kind
    utterance_id: str
    position: int | None = None
    word: str = ""
    start: float | None = None
    end: float | None = None
    detail: str = ""


class Checker:
    """Checks the utterances of an ALIGNED folder, one after the other.

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
        self.lowest_score = _lowest_usual(
            read_words(self.folder)["score"].drop_null().to_numpy(), self.settings.score_deviations
        )
        self._problems, failed = split_failures(read_failures(self.report), self.utterances)
        self._failures = {failure.utterance_id: failure for failure in failed}
        self._left_out: Mapping[str, int] = self.report.get("words_left_out", {})
        self._guessed: Mapping[str, str] = self.report.get("guessed_words", {})
        self._durations: dict[Path, float | None] = {}

    def findings(self) -> Iterator[Issue]:
        """All findings, utterance by utterance; every utterance that was asked for and has no words comes last."""
        missing = dict.fromkeys(self.utterances)
        for aligned in iterate_aligned(self.folder):
            missing.pop(aligned.utterance_id, None)
            yield from self.of_utterance(aligned)
        for failure in self._problems:
            yield _missing(failure)
        for name in missing:
            known = self._failures.get(name)
            yield _missing(known) if known else Issue(Kind.MISSING, name, detail="not in the report either")

    def of_utterance(self, aligned: Aligned) -> Iterator[Issue]:
        """The findings of one utterance and its words."""
        name = aligned.utterance_id
        utterance = self.utterances.get(name)
        if utterance is None:
            yield Issue(Kind.UNKNOWN_UTTERANCE, name, detail="has words, but is not in utterances.jsonl")
            return
        said, found = tokenize(utterance.text), [word.word for word in aligned.words]
        n_left_out = self._left_out.get(name, 0)
        if n_left_out and _is_without(found, said, n_left_out):
            yield Issue(Kind.LEFT_OUT, name, detail=f"{n_left_out} of {len(said)} words, by an earlier check")
        elif said != found:
            yield Issue(Kind.WORDS_DIFFER, name, detail=_first_difference(said, found))
        first = utterance.start or 0.0
        last = utterance.end if utterance.end is not None else self._duration(utterance)
        if last is None:
            yield Issue(Kind.UNREADABLE_AUDIO, name, detail=f"{utterance.audio}: its length is unknown")
        previous_end = 0.0
        for position, word in enumerate(aligned.words):
            for kind, detail in self._of_word(word, first, last, previous_end):
                yield Issue(kind, name, position, word.word, word.start, word.end, detail)
            previous_end = max(previous_end, word.end)

    def _of_word(self, word: Word, first: float, last: float | None, previous_end: float) -> Iterator[tuple[Kind, str]]:
        slack = self.settings.tolerance + 1e-9
        if word.start < first - slack or (last is not None and word.end > last + slack):
            until = "its file's end" if last is None else f"{last:.2f} s"
            yield Kind.OUTSIDE, f"the utterance lasts from {first:.2f} s to {until}"
        if word.start < previous_end - slack:
            yield Kind.OVERLAP, f"the word in front of it ends at {previous_end:.2f} s"
        duration = word.end - word.start
        n_phones = self._n_phones(word.word)
        too_short = n_phones >= 4 and duration < n_phones * self.settings.shortest_phone - 1e-9
        if duration <= 0:
            yield Kind.ZERO_LENGTH, ""
        elif too_short or duration > max(1.0, n_phones * self.settings.longest_phone):
            yield Kind.DURATION, f"{duration:.2f} s for {n_phones} phones"
        if word.score is not None and word.score < self.lowest_score:
            yield Kind.LOW_SCORE, f"{word.score:.2f}, low is below {self.lowest_score:.2f}"

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

    def write_without(self, kinds: Iterable[Kind], output: Path) -> dict[str, Any]:
        """Write a new ALIGNED without the words (or utterances) that have a finding of these kinds.

        An utterance that loses all its words is in the new report as dropped, so that the sum stays right.

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

    def _kept(self, unwanted: frozenset[Kind], left_out: dict[str, int]) -> Iterator[AlignmentResult]:
        """What stays; how many words of each utterance do not is added to `left_out`."""
        waiting = set(self.utterances)
        for aligned in iterate_aligned(self.folder):
            if aligned.utterance_id not in waiting:
                continue  # words of an utterance that nobody asked for are nowhere in the new folder
            waiting.remove(aligned.utterance_id)
            found = [finding for finding in self.of_utterance(aligned) if finding.kind in unwanted]
            positions = {finding.position for finding in found}
            words = tuple(word for i, word in enumerate(aligned.words) if i not in positions)
            if len(words) < len(aligned.words):
                left_out[aligned.utterance_id] = left_out.get(aligned.utterance_id, 0) + len(aligned.words) - len(words)
            if None in positions or not words:
                what = ", ".join(sorted({finding.kind.value for finding in found}))
                yield Failure(aligned.utterance_id, Reason.DROPPED, what)
            else:
                guessed = {word.word: aligned.guessed[word.word] for word in words if word.word in aligned.guessed}
                yield replace(aligned, words=words, guessed=guessed)
        for failure in self._failures.values():
            waiting.remove(failure.utterance_id)
            yield failure
        for name in sorted(waiting):
            yield Failure(name, Reason.NO_ANSWER, f"neither aligned nor reported in {self.folder}")


def _lowest_usual(scores: np.ndarray, deviations: float) -> float:
    if len(scores) < 20:
        return -np.inf
    low, median, high = np.percentile(scores, [25, 50, 75])
    return float(median - deviations * (high - low) / 1.349)  # a normal distribution's quartile range in deviations


def _missing(failure: Failure) -> Issue:
    kind = Kind.LEFT_OUT if failure.reason is Reason.DROPPED else Kind.MISSING
    return Issue(kind, failure.utterance_id, detail=failure.reason.value + (failure.detail and f": {failure.detail}"))


def _is_without(found: list[str], said: list[str], n_left_out: int) -> bool:
    """Whether `found` are the words of `said`, in their order, without so many of them."""
    rest = iter(said)
    return len(found) + n_left_out == len(said) and all(word in rest for word in found)


def _first_difference(said: list[str], found: list[str]) -> str:
    for i, (a, b) in enumerate(zip(said, found, strict=False)):
        if a != b:
            return f"word {i + 1} is '{b}', the transcript says '{a}'"
    return f"{len(found)} words, the transcript has {len(said)}"
