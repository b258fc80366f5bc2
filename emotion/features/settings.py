"""Feature settings, and the features they select: the 34 of the paper, level, log-mel energies."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from emotion.features.level import level_speech
from emotion.features.logmel import log_mel
from emotion.features.pyaudioanalysis import FEATURE_NAMES, Compat, extract
from speech2vec.runtime.config import Settings


class FeatureSettings(Settings):
    """Settings that affect the features; their fingerprint identifies a prepared corpus.

    Parameters
    ----------
    sampling_rate : int, Hz
        Audio is resampled to this rate.
    loudness : {"active", "recorded"}
        "active" trims the silence at both ends and scales each recording or part of one to the same active speech level
        (`emotion.features.level.level_speech`); "recorded" keeps both, and then classifiers also learn how loud the
        recordings of a corpus are. The default is what corpora prepared before this setting existed have.
    window, hop : float, seconds
    compat : {"pyaudioanalysis", "corrected"}
        See `emotion.features.pyaudioanalysis.extract`.
    level : bool
        Append the level of each window, in dB re full scale. The 34 features are peak-normalised and do not reflect it.
    n_mels : int
        Append this many log-mel energies, which do (`emotion.features.logmel.log_mel`).
    """

    sampling_rate: int = Field(16000, ge=7000)
    loudness: Literal["active", "recorded"] = "recorded"
    window: float = Field(0.1, gt=0)
    hop: float = Field(0.1, gt=0)
    compat: Compat = "pyaudioanalysis"
    level: bool = False
    n_mels: int = Field(0, ge=0, le=128)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the feature columns."""
        level = ("level",) if self.level else ()
        return (*FEATURE_NAMES, *level, *(f"log_mel_{i}" for i in range(1, self.n_mels + 1)))


def compute(signal: np.ndarray, settings: FeatureSettings) -> np.ndarray:
    """All features of each window.

    Parameters
    ----------
    signal : ndarray [shape=(n_samples,)]
        In [-1, 1], at the settings' sampling rate.
    settings : FeatureSettings

    Returns
    -------
    ndarray [shape=(n_windows, n_features)], float32
        Columns as in ``settings.names``; no rows if the signal, without silence at its ends if that is trimmed, is
        shorter than one window.
    """
    if settings.loudness == "active":
        signal = level_speech(signal, settings.sampling_rate)
    rate, window, hop = settings.sampling_rate, settings.window, settings.hop
    parts = [extract(signal, rate, window, hop, settings.compat)]
    if not len(parts[0]):
        return np.empty((0, len(settings.names)), dtype=np.float32)
    if settings.level:
        parts.append(window_level(signal, parts[0]))
    if settings.n_mels:
        parts.append(log_mel(signal, rate, window, hop, settings.n_mels))
    return np.hstack(parts).astype(np.float32)


def window_level(signal: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Level of each window, dB re full scale, from its energy and the peak that `extract` divided by.

    Parameters
    ----------
    signal : ndarray [shape=(n_samples,)]
        In [-1, 1].
    features : ndarray [shape=(n_windows, 34)]
        The output of `extract` for this signal.

    Returns
    -------
    ndarray [shape=(n_windows, 1)]
        At least -100 (silence).
    """
    peak = np.abs(signal - signal.mean(dtype=np.float64)).max()
    return 10 * np.log10(features[:, 1:2] * peak**2 + 1e-10)
