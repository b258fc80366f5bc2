"""Features of many utterances, in several processes, in order, and without keeping audio in memory."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
from threadpoolctl import threadpool_limits

from emotion.features34 import FeatureSettings, extract, window_level
from speech2vec import audio
from speech2vec.corpora import Problem
from speech2vec.errors import UserError
from speech2vec.manifest import Utterance

BAD_AUDIO = "unusable audio"
TOO_SHORT = "shorter than one window"
BAD_FEATURES = "features are not numbers"

_CHUNK = 32  # utterances handed to a process at a time, at most
_WORTH_PROCESSES = 100_000_000  # bytes of audio; below, one process is done before others have started


@dataclass(frozen=True)
class Extracted:
    """Features of one utterance.

    Parameters
    ----------
    features : ndarray [shape=(n_windows, n_features)], float32
    duration : float, seconds
    sampling_rate : int, Hz
        The file's own, before it was resampled: it bounds the bandwidth.
    """

    features: np.ndarray
    duration: float
    sampling_rate: int


def extract_utterance(utterance: Utterance, settings: FeatureSettings) -> Extracted | Problem:
    """Features of one utterance, or why there are none."""
    try:
        rate = audio.info(utterance.audio).sampling_rate
        signal = audio.load(utterance.audio, utterance.start, utterance.end, settings.sampling_rate, utterance.channel)
    except audio.AudioError as error:
        return Problem(utterance.utterance_id, BAD_AUDIO, str(error))
    duration = len(signal) / settings.sampling_rate
    features = extract(signal, settings.sampling_rate, settings.window, settings.hop, settings.compat)
    if settings.level:
        features = np.hstack([features, window_level(signal, features)])
    if len(features) == 0:
        return Problem(utterance.utterance_id, TOO_SHORT, f"{utterance.audio}: {duration:.3f} s of {settings.window} s")
    if not np.isfinite(features).all():
        return Problem(utterance.utterance_id, BAD_FEATURES, str(utterance.audio))
    return Extracted(features.astype(np.float32), duration, rate)


def extract_all(
    utterances: Sequence[Utterance], settings: FeatureSettings, jobs: int = 1
) -> Iterator[Extracted | Problem]:
    """What `extract_utterance` gives for each, in order.

    Parameters
    ----------
    utterances : sequence of Utterance
    settings : FeatureSettings
    jobs : int
        Processes, where there is enough to do. Each computes on one thread; memory is that of the longest recording
        in each.

    Raises
    ------
    UserError
        A process died (most often: out of memory).
    """
    if jobs <= 1 or _n_bytes(utterances) < _WORTH_PROCESSES:
        with threadpool_limits(1):
            for utterance in utterances:
                yield extract_utterance(utterance, settings)
        return
    size = min(_CHUNK, max(1, len(utterances) // (8 * jobs)))
    chunks = [utterances[i : i + size] for i in range(0, len(utterances), size)]
    # Spawned, not forked: a fork of a process whose libraries run threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(chunks)), context, initializer=_one_thread) as pool:
        waiting: deque[Future[list[Extracted | Problem]]] = deque()
        left = iter(chunks)
        try:
            # A few chunks ahead keep every process busy; more would pile up results.
            for chunk in islice(left, 3 * jobs):
                waiting.append(pool.submit(_extract_chunk, chunk, settings))
            while waiting:
                done = waiting.popleft().result()
                for chunk in islice(left, 1):
                    waiting.append(pool.submit(_extract_chunk, chunk, settings))
                yield from done
        except BrokenProcessPool as error:
            raise UserError("a process that computed features died (out of memory?): try fewer --jobs") from error
        finally:
            for future in waiting:
                future.cancel()


def _n_bytes(utterances: Sequence[Utterance]) -> int:
    paths = {utterance.audio for utterance in utterances}
    return sum(path.stat().st_size for path in paths if path.is_file())


def _one_thread() -> None:
    threadpool_limits(1)


def _extract_chunk(utterances: Sequence[Utterance], settings: FeatureSettings) -> list[Extracted | Problem]:
    return list(map(partial(extract_utterance, settings=settings), utterances))
