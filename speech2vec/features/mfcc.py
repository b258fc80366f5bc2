"""MFCC in NumPy, with every convention documented (docs/mfcc.md).

Frame i is centred at sample ``i * hop_length`` (zero padding beyond the ends), so that its time is ``i * hop_length /
sampling_rate`` for any window; periodic Hann window; power spectrum; triangular mel filters on Slaney's scale with unit
area; natural logarithm of max(energy, log_floor); orthonormal DCT-II including coefficient 0; no pre-emphasis, no
liftering. The values equal those of `librosa.feature.mfcc` for the same log-mel spectrogram.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import librosa
import numpy as np
import scipy.fft
import scipy.signal
from pydantic import Field, model_validator

from speech2vec.corpus.audio import MAX_SAMPLING_RATE
from speech2vec.runtime.config import Settings

# Frames per block: few enough for the cache of a core, which is three times as fast as a long utterance at once.
_CHUNK = 128


class MfccSettings(Settings):
    """Settings of the MFCC features.

    Parameters
    ----------
    sampling_rate : int, Hz
    n_mfcc : int
    hop_length, win_length : int, samples
        10 ms and 25 ms at 16 kHz.
    n_fft : int, samples
        Even; the window is zero-padded to this length.
    n_mels : int
    fmin, fmax : float, Hz
        Edges of the mel filter bank; None is half the sampling rate.
    log_floor : float
        Lower bound of the filter energies before the logarithm.
    normalise : str
        Scope within which each coefficient is normalised to zero mean and unit variance: `speaker`, `utterance`,
        `corpus` or `none`. Only frames of words count, not the silence between them.
    max_frames : int or None
        Longer words are truncated to this many frames.
    """

    sampling_rate: int = Field(16000, ge=1000, le=MAX_SAMPLING_RATE)
    n_mfcc: int = Field(13, ge=1)
    hop_length: int = Field(160, ge=1)
    win_length: int = Field(400, ge=2)
    n_fft: int = Field(512, ge=2, le=65536, multiple_of=2)
    n_mels: int = Field(40, ge=1, le=1024)
    fmin: float = Field(20.0, ge=0)
    fmax: float | None = Field(None, gt=0)
    log_floor: float = Field(1e-10, gt=0)
    normalise: Literal["speaker", "utterance", "corpus", "none"] = "speaker"
    max_frames: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _check_consistency(self) -> MfccSettings:
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length {self.win_length} exceeds n_fft {self.n_fft}")
        if self.n_mfcc > self.n_mels:
            raise ValueError(f"n_mfcc {self.n_mfcc} exceeds n_mels {self.n_mels}")
        if not self.fmin < (self.fmax or self.sampling_rate / 2) <= self.sampling_rate / 2:
            raise ValueError("fmin < fmax <= sampling_rate / 2 is required")
        return self

    @property
    def frame_shift(self) -> float:
        """Seconds between frames."""
        return self.hop_length / self.sampling_rate


@lru_cache(maxsize=8)
def _tables(settings: MfccSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    window = scipy.signal.get_window("hann", settings.win_length, fftbins=True)
    mel = librosa.filters.mel(
        sr=settings.sampling_rate,
        n_fft=settings.n_fft,
        n_mels=settings.n_mels,
        fmin=settings.fmin,
        fmax=settings.fmax,
    )
    dct = scipy.fft.dct(np.eye(settings.n_mels), type=2, axis=0, norm="ortho")[: settings.n_mfcc]
    return (
        window,
        np.ascontiguousarray(mel.T, dtype=np.float32),
        np.ascontiguousarray(dct.T, dtype=np.float32),
    )


def mfcc(samples: np.ndarray, settings: MfccSettings | None = None) -> np.ndarray:
    """Mel-frequency cepstral coefficients of a signal.

    Parameters
    ----------
    samples : ndarray [shape=(n_samples,)]
        At ``settings.sampling_rate``.
    settings : MfccSettings

    Returns
    -------
    ndarray [shape=(n_frames, n_mfcc)], float32
        ``n_frames = 1 + n_samples // hop_length``; not normalised.

    Examples
    --------
    >>> mfcc(np.zeros(16000, dtype=np.float32)).shape
    (101, 13)
    """
    settings = settings or MfccSettings()
    window, mel, dct = _tables(settings)
    hop, width, n_fft = settings.hop_length, settings.win_length, settings.n_fft
    n_frames = 1 + len(samples) // hop
    # The window is centred within the n_fft samples around the frame centre, as in librosa.
    left = n_fft // 2 - (n_fft - width) // 2
    padded = np.zeros((n_frames - 1) * hop + width, dtype=np.float32)
    kept = min(len(samples), len(padded) - left)
    padded[left : left + kept] = samples[:kept]
    frames = np.lib.stride_tricks.sliding_window_view(padded, width)[::hop]
    # FFT in float64: in float32, rounding errors of loud bands mask quiet ones such as those that MP3 cuts off.
    windowed = np.zeros((min(_CHUNK, n_frames), n_fft))
    out = np.empty((n_frames, settings.n_mfcc), dtype=np.float32)
    for begin in range(0, n_frames, _CHUNK):
        chunk = frames[begin : begin + _CHUNK]
        np.multiply(chunk, window, out=windowed[: len(chunk), :width])
        spectrum = scipy.fft.rfft(windowed[: len(chunk)])
        energy = (spectrum.real**2 + spectrum.imag**2).astype(np.float32) @ mel
        out[begin : begin + len(chunk)] = np.log(np.maximum(energy, settings.log_floor)) @ dct
    return out


def frame_span(start: np.ndarray, end: np.ndarray, frame_shift: float) -> tuple[np.ndarray, np.ndarray]:
    """The frames whose centres lie in [start, end).

    Parameters
    ----------
    start, end : ndarray [shape=(n_words,)], seconds
        From the centre of the first frame.
    frame_shift : float, seconds

    Returns
    -------
    first, last : ndarray [shape=(n_words,)], int64
        Half-open ranges. A word too short to contain a frame centre gets the frame nearest to its middle.

    Examples
    --------
    >>> frame_span(np.array([0.02]), np.array([0.05]), 0.01)
    (array([2]), array([5]))
    """
    # A tolerance of one microsecond: 0.29 s is frame 29 although 0.29 / 0.01 is 28.999999999999996.
    shift, tolerance = frame_shift, 1e-6
    first = np.ceil((start - tolerance) / shift).astype(np.int64)
    last = np.ceil((end - tolerance) / shift).astype(np.int64)
    empty = last <= first
    middle = np.round((start + end) / 2 / shift).astype(np.int64)
    first = np.maximum(np.where(empty, middle, first), 0)
    return first, np.where(empty, first + 1, last)
