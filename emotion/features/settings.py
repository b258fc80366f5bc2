"""Feature settings, and what they select: the 34 of the paper, level, log-mel energies; or the frames of an encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from emotion.features.level import level_speech
from emotion.features.logmel import log_mel
from emotion.features.pyaudioanalysis import FEATURE_NAMES, Compat, extract
from speech2vec.runtime.config import Settings
from speech2vec.runtime.errors import UserError

if TYPE_CHECKING:
    from speech2vec.features.pretrained import PretrainedEncoder


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
    encoder : str
        A pretrained encoder whose frames take the place of all of these, every 20 ms: a folder, or a name in the cache
        of Hugging Face (`speech2vec.features.pretrained`).
    layer : int
        Of the encoder: 0 is the input of its first layer, -1 the output of the last.
    weights : str
        Hash of the encoder's weights; filled in by `resolved`, then checked.
    """

    sampling_rate: int = Field(16000, ge=7000)
    loudness: Literal["active", "recorded"] = "recorded"
    window: float = Field(0.1, gt=0)
    hop: float = Field(0.1, gt=0)
    compat: Compat = "pyaudioanalysis"
    level: bool = False
    n_mels: int = Field(0, ge=0, le=128)
    encoder: str = ""
    layer: int = -1
    weights: str = ""

    @property
    def resolved(self) -> FeatureSettings:
        """With the weights, rate and windows of the encoder, if there is one.

        Raises
        ------
        UserError
            The encoder is not on disk, has no such layer, or has other weights than those named.
        """
        if not self.encoder:
            return self
        encoder = _open(self.encoder)
        encoder.check_layer(self.layer)
        if self.weights not in ("", encoder.weights):
            raise UserError(f"the encoder {self.encoder} has other weights than the one of these features")
        own = {"weights": encoder.weights, "sampling_rate": 16000, "level": False, "n_mels": 0}
        return self.model_copy(update={**own, "window": encoder.frame_shift, "hop": encoder.frame_shift})

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the feature columns."""
        if self.encoder:
            return tuple(f"encoder_{i}" for i in range(1, _open(self.encoder).hidden_size + 1))
        level = ("level",) if self.level else ()
        return (*FEATURE_NAMES, *level, *(f"log_mel_{i}" for i in range(1, self.n_mels + 1)))


def _open(encoder: str) -> PretrainedEncoder:
    from speech2vec.features.pretrained import open_encoder  # with torch and transformers, which other features spare

    return open_encoder(encoder)


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
    if settings.encoder:
        if len(signal) < rate * window:
            return np.empty((0, len(settings.names)), dtype=np.float32)
        frames: np.ndarray = _open(settings.encoder).encode_layers(signal, rate, layers=(settings.layer,))[0]
        return frames
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
