"""Feature extraction for many utterances, in order, in parallel, without keeping audio in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from emotion.features.settings import FeatureSettings, compute
from speech2vec.corpus import audio
from speech2vec.corpus.manifest import Utterance
from speech2vec.corpus.readers import Problem
from speech2vec.runtime.processes import in_processes

BAD_AUDIO = "unusable audio"
TOO_SHORT = "shorter than one window"
SILENT = "silence"
BAD_FEATURES = "features are not finite"

_CHUNK = 32  # maximum number of utterances per task
_WORTH_PROCESSES = 100_000_000  # bytes of audio; below this, one process finishes before others have started


@dataclass(frozen=True)
class Extracted:
    """Features of one utterance.

    Parameters
    ----------
    features : ndarray [shape=(n_windows, n_features)], float32
    duration : float, seconds
    sampling_rate : int, Hz
        Of the file, before resampling; it limits the bandwidth.
    """

    features: np.ndarray
    duration: float
    sampling_rate: int


def extract_utterance(utterance: Utterance, settings: FeatureSettings) -> Extracted | Problem:
    """Features of one utterance, or the reason why there are none."""
    try:
        rate = audio.info(utterance.audio).sampling_rate
        signal = audio.load(utterance.audio, utterance.start, utterance.end, settings.sampling_rate, utterance.channel)
    except audio.AudioError as error:
        return Problem(utterance.utterance_id, BAD_AUDIO, str(error))
    duration = len(signal) / settings.sampling_rate
    if not np.ptp(signal):  # whatever the settings: classifiers may level it
        return Problem(utterance.utterance_id, SILENT, f"{utterance.audio}: all its samples are equal")
    features = compute(signal, settings)
    if len(features) == 0:
        speech = " of speech" if settings.loudness == "active" else ""
        detail = (
            f"{utterance.audio}: {duration:.3f} s contain less{speech} than a feature window of {settings.window} s"
        )
        return Problem(utterance.utterance_id, TOO_SHORT, detail)
    if not np.isfinite(features).all():
        return Problem(utterance.utterance_id, BAD_FEATURES, f"{utterance.audio}: its features contain NaN or infinity")
    return Extracted(features, duration, rate)


def extract_all(
    utterances: Sequence[Utterance], settings: FeatureSettings, jobs: int = 1
) -> Iterator[Extracted | Problem]:
    """Apply `extract_utterance` to each utterance, in order.

    Parameters
    ----------
    utterances : sequence of Utterance
    settings : FeatureSettings
    jobs : int
        Number of single-threaded processes, if there is enough to do. Each needs memory for its longest recording.

    Raises
    ------
    UserError
        A process died (usually out of memory).
    """
    if _n_bytes(utterances) < _WORTH_PROCESSES:
        jobs = 1
    size = min(_CHUNK, max(1, len(utterances) // (8 * max(1, jobs))))
    chunks = (utterances[i : i + size] for i in range(0, len(utterances), size))
    work = partial(_extract_chunk, settings=settings)
    for done in in_processes(work, chunks, jobs, in_order=True):
        yield from done


def _n_bytes(utterances: Sequence[Utterance]) -> int:
    paths = {utterance.audio for utterance in utterances}
    return sum(path.stat().st_size for path in paths if path.is_file())


def _extract_chunk(utterances: Sequence[Utterance], settings: FeatureSettings) -> list[Extracted | Problem]:
    return [extract_utterance(utterance, settings) for utterance in utterances]
