"""The aligner interface: what an aligner gets, what it returns, and how its answers are checked.

An aligner takes utterances and yields one `AlignmentResult` for each: its words with times (`Aligned`), or the reason
why there are none (`Failure`). An aligner of your own needs nothing beyond this module.
"""

from __future__ import annotations

import importlib
import logging
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np

from speech2vec.corpus import audio, readers
from speech2vec.corpus.manifest import Utterance, Word
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.config import Settings
from speech2vec.runtime.errors import UserError, clear_line

log = logging.getLogger("speech2vec.align")

MOST_LETTERS_PER_SECOND = 100  # fast speech has 25
_DETAIL_LIMIT = 200  # characters of an exception's message

ALIGNERS: Mapping[str, str] = {
    "pocketsphinx": "align.aligners.pocketsphinx:PocketSphinxAligner",
    "mfa": "align.aligners.mfa:MfaAligner",
    "ctc": "align.aligners.ctc:CtcAligner",
}


class AlignmentError(UserError):
    """The aligner cannot work at all: it is not installed, a model is missing, or its settings are contradictory."""


class Reason(str, Enum):
    """Why an utterance was not aligned. The list is closed, so that reports can be counted by reason."""

    NO_AUDIO = readers.NO_AUDIO
    NO_TRANSCRIPT = readers.NO_TRANSCRIPT
    EMPTY_TRANSCRIPT = readers.EMPTY_TRANSCRIPT
    UNREADABLE_TRANSCRIPT = readers.BAD_TRANSCRIPT
    BAD_FILE_NAME = readers.BAD_FILE_NAME
    DUPLICATE_ID = readers.DUPLICATE
    UNREADABLE_AUDIO = "unreadable audio"
    NO_WORDS = "no words in the transcript"
    AUDIO_TOO_SHORT = "audio too short for its words"
    NO_ALIGNMENT = "no alignment found"
    ALIGNER_FAILED = "aligner failed"
    ALIGNER_CRASHED = "aligner crashed"
    NOT_SPEECH = "audio does not sound like speech"
    NO_ANSWER = "no answer from the aligner"
    NO_ALIGNMENT_FILE = "no alignment file"
    UNREADABLE_ALIGNMENT = "unreadable alignment"
    IMPOSSIBLE_TIMES = "impossible times"
    WORDS_DIFFER = "words differ from the transcript"
    DROPPED = "dropped by check"


@dataclass(frozen=True)
class Aligned:
    """An aligned utterance.

    Parameters
    ----------
    utterance_id : str
    words : tuple of Word
        In time order; times count from the start of the audio file.
    guessed : mapping of str to str
        The words that are not in the pronunciation dictionary, each with the phones that were guessed for it.
    """

    utterance_id: str
    words: tuple[Word, ...]
    guessed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """An utterance that could not be aligned.

    Parameters
    ----------
    utterance_id : str
    reason : Reason
    detail : str
        The exact cause, for a person to read; kept as `speech2vec.runtime.errors.clear_line` makes it.
    """

    utterance_id: str
    reason: Reason
    detail: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", clear_line(self.detail))

    def to_json(self) -> dict[str, str]:
        return {"utterance_id": self.utterance_id, "reason": self.reason.value, "detail": self.detail}


AlignmentResult: TypeAlias = Aligned | Failure


class Aligner:
    """Base class of all aligners: finds where each word of a transcript lies in its audio.

    Your own aligner can inherit from this class, or just define the same methods: `load_aligner` adds the defaults of
    the class attributes.

    Attributes
    ----------
    settings_type : type of Settings
        What ``--config`` and ``--set`` fill.
    whole_corpus : bool
        True if it learns from all utterances together, so that `align` must be called once with all of them.
    parallel : bool
        True if each process can run one of its own. False if it uses several cores (or a GPU) by itself: then there
        is one process, and it is given `jobs`.
    takes_device : bool
        False if it computes on the CPU only; `device` is then cpu, whatever ``--device`` is.
    state : Path or None
        A folder, not yet made, for what an interrupted run should find again when it is resumed; it is removed when
        the alignment is finished. None if there is no such run.

    Parameters
    ----------
    settings : Settings
        An instance of `settings_type`; holds only what changes the result.
    jobs : int
        Number of cores that it may use by itself.
    device : str
        Where tensors live: cpu or cuda, never auto; cuda only if there is a CUDA device.

    Raises
    ------
    AlignmentError
        If it cannot work at all (a program or a model is missing).
    """

    settings_type: ClassVar[type[Settings]] = Settings
    whole_corpus: ClassVar[bool] = False
    parallel: ClassVar[bool] = True
    takes_device: ClassVar[bool] = True

    state: Path | None = None

    def __init__(self, settings: Any, *, jobs: int = 1, device: str = "cpu") -> None:
        self.settings = settings

    @classmethod
    def extra_outputs(cls, settings: Any) -> dict[str, Path]:
        """The files that it writes besides its results, by setting; existing ones are kept unless ``--force``."""
        return {}

    def align(self, utterances: Sequence[Utterance]) -> Iterator[AlignmentResult]:
        """Yield one `Aligned` or `Failure` for each utterance, in any order."""
        raise NotImplementedError


def load_aligner(name: str) -> type[Aligner]:
    """Import the class of an aligner.

    Parameters
    ----------
    name : str
        A key of `ALIGNERS`, or a class of your own as ``package.module:Class``; modules in the working folder are
        found too.

    Raises
    ------
    AlignmentError
        If there is no such aligner.

    Examples
    --------
    >>> load_aligner("pocketsphinx").takes_device
    False
    """
    module_name, colon, class_name = ALIGNERS.get(name, name).partition(":")
    if not colon or not module_name or not class_name:
        raise AlignmentError(f"there is no aligner '{name}': choose {', '.join(ALIGNERS)} or package.module:Class")
    here = str(Path.cwd())
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
        raise AlignmentError(f"aligner '{name}' is not a class with a method align(utterances)")
    return kind if issubclass(kind, Aligner) else type(kind.__name__, (kind, Aligner), {})


@dataclass(frozen=True)
class AlignmentInput:
    """The transcript and the audio of an utterance, loaded.

    Parameters
    ----------
    tokens : list of str
        The words of the transcript, at least one.
    samples : ndarray [shape=(n_samples,)], float32
    """

    tokens: list[str]
    samples: np.ndarray


def load_input(utterance: Utterance, sampling_rate: int) -> AlignmentInput | Failure:
    """Tokenise the transcript of an utterance and load its audio.

    Parameters
    ----------
    utterance : Utterance
    sampling_rate : int, Hz
        The audio is resampled to this rate.

    Returns
    -------
    AlignmentInput or Failure
        A failure if there are no words, more than anyone can say, or the audio cannot be read.
    """
    tokens = tokenize(utterance.text)
    if not tokens:
        return Failure(utterance.utterance_id, Reason.NO_WORDS, f"the transcript is '{utterance.text}'")
    try:
        samples = audio.load(utterance.audio, utterance.start, utterance.end, sampling_rate, utterance.channel)
    except audio.AudioError as error:
        return Failure(utterance.utterance_id, Reason.UNREADABLE_AUDIO, str(error))
    return unsayable(utterance, tokens, len(samples) / sampling_rate) or AlignmentInput(tokens, samples)


def unsayable(utterance: Utterance, tokens: Sequence[str], seconds: float) -> Failure | None:
    """A failure if a transcript has more letters than anyone can say: an aligner could look for them for hours."""
    letters = sum(map(len, tokens))
    if letters <= MOST_LETTERS_PER_SECOND * (1 + seconds):
        return None
    detail = f"{len(tokens):,} word(s) of {letters:,} letters in {seconds:.2f} s: is it the right transcript?"
    return Failure(utterance.utterance_id, Reason.AUDIO_TOO_SHORT, detail)


def to_file_time(utterance: Utterance, word: str, start: float, end: float, score: float | None) -> Word:
    """Make a `Word` with times from the start of the file, given times (in seconds) from the start of its utterance."""
    offset = utterance.start or 0.0
    return Word(utterance.utterance_id, word, round(offset + start, 6), round(offset + end, 6), score)


def align_batch(aligner: Aligner, utterances: Sequence[Utterance]) -> Iterator[AlignmentResult]:
    """Yield the checked results of an aligner (see `check_results`).

    If it raises an exception, it is called again for each utterance that has no result yet, so that only those at
    fault fail; but not if it learns from the whole corpus.
    """

    def align(asked: Sequence[Utterance]) -> Iterator[AlignmentResult]:
        yield from aligner.align(asked)  # here, so that an exception of the call is one of the iteration

    return check_results(utterances, align(utterances), None if aligner.whole_corpus else align)


def check_results(
    utterances: Sequence[Utterance],
    results: Iterator[AlignmentResult],
    again: Callable[[Sequence[Utterance]], Iterator[AlignmentResult]] | None = None,
) -> Iterator[AlignmentResult]:
    """Pass on what an aligner yields, and see to it that there is exactly one result for each utterance.

    An utterance that is left out or has impossible times becomes a `Failure`. If `results` raises an exception, the
    utterances without a result are passed to `again`, one at a time, or become failures; only a `UserError` is passed
    on.

    Raises
    ------
    AlignmentError
        If there is a second result for an utterance, or one for an utterance that was not given to the aligner.
    """
    waiting = {utterance.utterance_id for utterance in utterances}
    given = frozenset(waiting)
    reason, detail = Reason.NO_ANSWER, ""
    try:
        for result in results:
            name = result.utterance_id
            if name not in waiting:
                fault = "two results for" if name in given else "a result for an utterance that it was not given:"
                raise AlignmentError(f"the aligner returned {fault} '{name}'")
            waiting.remove(name)
            yield _checked(result)
    except UserError:
        raise
    except Exception as error:
        reason, detail = Reason.ALIGNER_FAILED, " ".join(f"{type(error).__name__}: {error}".split())[:_DETAIL_LIMIT]
        log.debug("the aligner failed", exc_info=True)
        if again is None:
            log.warning("the aligner failed (%s); utterances without a result: %d", detail, len(waiting))
    for utterance in utterances:
        if utterance.utterance_id not in waiting:
            continue
        if reason is Reason.ALIGNER_FAILED and again is not None and len(utterances) > 1:
            yield from check_results([utterance], again([utterance]), again)
        else:
            yield Failure(utterance.utterance_id, reason, detail)


def _checked(result: AlignmentResult) -> AlignmentResult:
    """A failure in place of impossible times or no words; None in place of a score that is not finite."""
    if isinstance(result, Failure):
        return result
    fault = find_impossible_time(result.words)
    if fault:
        return Failure(result.utterance_id, Reason.IMPOSSIBLE_TIMES, fault)
    if not result.words:
        return Failure(result.utterance_id, Reason.NO_ALIGNMENT, "the aligner returned no words")
    if all(word.score is None or math.isfinite(word.score) for word in result.words):
        return result
    finite = (
        word if word.score is None or math.isfinite(word.score) else replace(word, score=None) for word in result.words
    )
    return replace(result, words=tuple(finite))


def find_impossible_time(words: Sequence[Word]) -> str:
    """Describe the first impossible time (not finite, negative, out of order); "" if there is none."""
    previous = 0.0
    for word in words:
        if not (math.isfinite(word.start) and math.isfinite(word.end)):
            return f"'{word.word}' has a time that is not a finite number"
        if word.start < 0 or word.end < word.start:
            return f"'{word.word}' lies from {word.start:.3f} to {word.end:.3f} s"
        if word.start < previous:
            return f"'{word.word}' starts at {word.start:.3f} s, before the previous word"
        previous = word.start
    return ""
