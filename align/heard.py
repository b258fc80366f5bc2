"""What an aligner gets of an utterance, and where its words lie in the file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from align.base import Failure, Reason
from speech2vec import audio
from speech2vec.manifest import Utterance, Word
from speech2vec.transcripts import tokenize


@dataclass(frozen=True)
class Heard:
    """An utterance's words, and its sound.

    Parameters
    ----------
    tokens : list of str
        At least one.
    samples : ndarray [shape=(n_samples,)], float32
    """

    tokens: list[str]
    samples: np.ndarray


def listen(utterance: Utterance, sampling_rate: int) -> Heard | Failure:
    """The words and the samples of an utterance, or why it cannot be aligned."""
    tokens = tokenize(utterance.text)
    if not tokens:
        return Failure(utterance.utterance_id, Reason.NO_WORDS, f"the transcript is '{utterance.text}'")
    try:
        samples = audio.load(utterance.audio, utterance.start, utterance.end, sampling_rate, utterance.channel)
    except audio.AudioError as error:
        return Failure(utterance.utterance_id, Reason.UNREADABLE_AUDIO, str(error))
    return Heard(tokens, samples)


def placed(utterance: Utterance, word: str, start: float, end: float, score: float | None) -> Word:
    """A word whose times (in seconds) count from the utterance's start, with times from the file's start."""
    offset = utterance.start or 0.0
    return Word(utterance.utterance_id, word, round(offset + start, 6), round(offset + end, 6), score)
