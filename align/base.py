"""What every aligner is: utterances go in; for each, its words in time come out, or why there are none.

What an aligner gets of an utterance, and where its words lie in the file.
"""

from __future__ import annotations

import importlib
import logging
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import numpy as np

from speech2vec.corpus import audio, readers
from speech2vec.corpus.manifest import Utterance, Word
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.config import Settings
from speech2vec.runtime.errors import UserError


@dataclass(frozen=True)
class AlignmentInput:
    """An utterance's words, and its sound.

    Parameters
    ----------
    tokens : list of str
        At least one.
    samples : ndarray [shape=(n_samples,)], float32
    """

    tokens: list[str]
    samples: np.ndarray


def load_input(utterance: Utterance, sampling_rate: int) -> AlignmentInput | Failure:
    """The words and the samples of an utterance, or why it cannot be aligned."""
    tokens = tokenize(utterance.text)
    if not tokens:
        return Failure(utterance.utterance_id, Reason.NO_WORDS, f"the transcript is '{utterance.text}'")
    try:
        samples = audio.load(utterance.audio, utterance.start, utterance.end, sampling_rate, utterance.channel)
    except audio.AudioError as error:
        return Failure(utterance.utterance_id, Reason.UNREADABLE_AUDIO, str(error))
    return AlignmentInput(tokens, samples)


def to_file_time(utterance: Utterance, word: str, start: float, end: float, score: float | None) -> Word:
    """A word whose times (in seconds) count from the utterance's start, with times from the file's start."""
    offset = utterance.start or 0.0
    return Word(utterance.utterance_id, word, round(offset + start, 6), round(offset + end, 6), score)


log = logging.getLogger("speech2vec.align")


ALIGNERS: Mapping[str, str] = {
    "pocketsphinx": "align.aligners.pocketsphinx:PocketSphinxAligner",
    "mfa": "align.aligners.mfa:MfaAligner",
    "ctc": "align.aligners.ctc:CtcAligner",
}


class AlignmentError(UserError):
    """An aligner that cannot work at all: not installed, model missing, settings that contradict each other."""


class Reason(str, Enum):
    """Why an utterance has no words in time: the complete list, so that reports can be tallied."""

    NO_AUDIO = readers.NO_AUDIO
    NO_TRANSCRIPT = readers.NO_TRANSCRIPT
    EMPTY_TRANSCRIPT = readers.EMPTY_TRANSCRIPT
    UNREADABLE_TRANSCRIPT = readers.BAD_TRANSCRIPT
    DUPLICATE_ID = readers.DUPLICATE
    UNREADABLE_AUDIO = "unreadable audio"
    NO_WORDS = "no words in the transcript"
    AUDIO_TOO_SHORT = "audio too short for its words"
    NO_ALIGNMENT = "no alignment found"
    ALIGNER_FAILED = "aligner failed"
    ALIGNER_CRASHED = "aligner crashed"
    NO_ANSWER = "no answer from the aligner"
    NO_ALIGNMENT_FILE = "no alignment file"
    UNREADABLE_ALIGNMENT = "unreadable alignment"
    IMPOSSIBLE_TIMES = "impossible times"
    WORDS_DIFFER = "words differ from the transcript"
    DROPPED = "dropped by check"


@dataclass(frozen=True)
class Aligned:
    """The words of an utterance in time.

    Parameters
    ----------
    utterance_id : str
    words : tuple of Word
        In time order.
    guessed : mapping
        Each word whose pronunciation was not in the dictionary, and the one it was given.
    """

    utterance_id: str
    words: tuple[Word, ...]
    guessed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """Why an utterance has no words in time.

    Parameters
    ----------
    utterance_id : str
    reason : Reason
    detail : str
        What exactly, for a person.
    """

    utterance_id: str
    reason: Reason
    detail: str = ""

    def to_json(self) -> dict[str, str]:
        return {"utterance_id": self.utterance_id, "reason": self.reason.value, "detail": self.detail}


AlignmentResult: TypeAlias = Aligned | Failure


class Aligner(Protocol):
    """Aligns utterances with their audio. A user's own may inherit from this class or just look like it.

    Attributes
    ----------
    settings_type : type of Settings
        What ``--config`` and ``--set`` fill.
    whole_corpus : bool
        True if it learns from all utterances together, so that they must come in one call of `align`.
    parallel : bool
        False if it uses several cores (or a GPU) by itself: then it runs in one process and is told `jobs`.
    takes_device : bool
        False if it computes on the CPU only: it is told cpu, whatever ``--device`` says.

    Parameters
    ----------
    settings : Settings
        Of `settings_type`; only what changes the result.
    jobs : int
        Cores that it may use by itself.
    device : str
        Where tensors live: cpu, or cuda where there is such a device; never auto.

    Raises
    ------
    AlignmentError
        If it cannot work at all (a program or a model is missing).
    """

    settings_type: ClassVar[type[Settings]] = Settings
    whole_corpus: ClassVar[bool] = False
    parallel: ClassVar[bool] = True
    takes_device: ClassVar[bool] = True

    def __init__(self, settings: Any, *, jobs: int = 1, device: str = "cpu") -> None: ...

    def align(self, utterances: Sequence[Utterance]) -> Iterator[AlignmentResult]:
        """One `Aligned` or `Failure` for each utterance, in any order; word times count from the file's start."""
        ...


def load_aligner(name: str) -> type[Aligner]:
    """The class of an aligner: one of `ALIGNERS`, or a user's own as ``package.module:Class``.

    Raises
    ------
    AlignmentError
        If there is none of that name.
    """
    module_name, colon, class_name = ALIGNERS.get(name, name).partition(":")
    if not colon or not module_name or not class_name:
        raise AlignmentError(f"there is no aligner '{name}': give {', '.join(ALIGNERS)} or package.module:Class")
    here = str(Path.cwd())
    # As with other programs that load a user's class: a module in the working folder is found.
    added = here not in sys.path
    if added:
        sys.path.append(here)
    try:
        kind = getattr(importlib.import_module(module_name), class_name)
    except ImportError as error:
        raise AlignmentError(f"aligner '{name}' cannot be imported: {error}") from error
    except AttributeError as error:
        raise AlignmentError(f"aligner '{name}': module {module_name} has no class {class_name}") from error
    finally:
        if added:
            sys.path.remove(here)
    if not isinstance(kind, type) or not callable(getattr(kind, "align", None)):
        raise AlignmentError(f"aligner '{name}' is no class with a method align(utterances)")
    return kind


def settings_type(kind: type[Aligner]) -> type[Settings]:
    """The settings of an aligner; a class that names none has none."""
    return getattr(kind, "settings_type", Aligner.settings_type)


def flag(kind: type[Aligner], name: Literal["whole_corpus", "parallel", "takes_device"]) -> bool:
    """What an aligner's class says of itself; one that says nothing has the default of `Aligner`."""
    return bool(getattr(kind, name, getattr(Aligner, name)))


def fault_in_words(words: Sequence[Word]) -> str:
    """What is impossible about these times, or "" if nothing is."""
    previous = 0.0
    for word in words:
        if not (math.isfinite(word.start) and math.isfinite(word.end)):
            return f"'{word.word}' has a time that is no number"
        if word.start < 0 or word.end < word.start:
            return f"'{word.word}' lies from {word.start:.3f} to {word.end:.3f} s"
        if word.start < previous:
            return f"'{word.word}' starts at {word.start:.3f} s, before the word in front of it"
        previous = word.start
    return ""


def _with_finite_score(word: Word) -> Word:
    return word if word.score is None or math.isfinite(word.score) else replace(word, score=None)


def check_results(utterances: Sequence[Utterance], outcomes: Iterator[AlignmentResult]) -> Iterator[AlignmentResult]:
    """Pass `outcomes` on so that each utterance gets exactly one.

    An utterance without an answer becomes a `Failure`, as does one whose times are impossible; if the aligner raises
    an exception, the utterances that it had not answered for yet fail. Only a `UserError` ends the run.

    Raises
    ------
    AlignmentError
        If the aligner answers for an utterance that it was not asked for, or twice for one.
    """
    waiting = {utterance.utterance_id for utterance in utterances}
    asked = frozenset(waiting)
    reason, detail = Reason.NO_ANSWER, ""
    try:
        for outcome in outcomes:
            name = outcome.utterance_id
            if name not in waiting:
                fault = "answered twice for" if name in asked else "answered for what it was not asked:"
                raise AlignmentError(f"the aligner {fault} '{name}'")
            waiting.remove(name)
            if isinstance(outcome, Aligned):
                fault = fault_in_words(outcome.words)
                if fault:
                    outcome = Failure(name, Reason.IMPOSSIBLE_TIMES, fault)
                elif not outcome.words:
                    outcome = Failure(name, Reason.NO_ALIGNMENT, "the aligner gave no words")
                elif any(word.score is not None and not math.isfinite(word.score) for word in outcome.words):
                    outcome = replace(outcome, words=tuple(map(_with_finite_score, outcome.words)))
            yield outcome
    except UserError:
        raise
    except Exception as error:
        log.exception("the aligner failed with %d utterances of this part not answered", len(waiting))
        reason, detail = Reason.ALIGNER_FAILED, f"{type(error).__name__}: {error}"
    for utterance in utterances:
        if utterance.utterance_id in waiting:
            yield Failure(utterance.utterance_id, reason, detail)
