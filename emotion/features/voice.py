"""Contours of the voice every 10 ms: pitch, harmonicity, level, and the balance of the spectrum."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise

import librosa
import numpy as np
import scipy.fft

SAMPLING_RATE = 16000  # Hz
HOP = 0.01  # seconds
WINDOW = 0.04  # seconds
LOWEST, HIGHEST = 60.0, 550.0  # Hz, of the pitch
N_MELS, N_MFCC = 26, 13
BANDS = (0, 500, 1000, 2000, 4000, 8000)  # Hz

_LENGTH, _STEP = round(WINDOW * SAMPLING_RATE), round(HOP * SAMPLING_RATE)
_N_FFT = 2048
_BLOCK = 2048  # windows at a time
_SHAPE = np.hanning(_LENGTH + 1)[:-1]
_CORRELATION = scipy.fft.irfft(np.abs(scipy.fft.rfft(_SHAPE, _N_FFT)) ** 2)[:_LENGTH]  # of the window itself
_CORRELATION /= _CORRELATION[0]
_FREQUENCY = np.fft.rfftfreq(_N_FFT, 1 / SAMPLING_RATE)
_MEL = librosa.filters.mel(sr=SAMPLING_RATE, n_fft=_N_FFT, n_mels=N_MELS, fmin=50, fmax=7600).T
_DCT = scipy.fft.dct(np.eye(N_MELS), type=2, norm="ortho", axis=1)[:, :N_MFCC]
_FLOOR = 1e-8  # power; speech is levelled to 10 ** -2.6
_REFERENCE = 55.0  # Hz, of semitones

# Boersma's settings, fitted to windows of 40 ms.
_N_CANDIDATES = 4
_OCTAVE_COST, _JUMP_COST, _VOICING_COST, _UNVOICED = 0.03, 0.35, 0.14, 0.45
_QUIETEST = -51.0  # dB: 25 dB below active speech nothing is voiced


@dataclass(frozen=True)
class Voice:
    """Contours of a recording levelled by `emotion.features.level.level_speech`.

    Parameters
    ----------
    pitch : ndarray [shape=(n_frames,)]
        Semitones above 55 Hz; NaN where unvoiced.
    harmonicity : ndarray [shape=(n_frames,)], dB
        Periodic over aperiodic energy (Boersma 1993); of the strongest period where unvoiced.
    level : ndarray [shape=(n_frames,)], dB re full scale
    alpha : ndarray [shape=(n_frames,)], dB
        Energy from 50 Hz to 1 kHz over that from 1 to 5 kHz.
    hammarberg : ndarray [shape=(n_frames,)], dB
        Strongest line below 2 kHz over the strongest one from 2 to 5 kHz.
    slope_low, slope_middle, slope_high : ndarray [shape=(n_frames,)], dB per kHz
        Regression line of the spectrum from 0 to 500 Hz, 500 Hz to 1.5 kHz, and 1.5 to 5 kHz.
    centroid : ndarray [shape=(n_frames,)], kHz
    bands : ndarray [shape=(n_frames, 5)], dB
        Energy of octave-like bands over that of the window.
    mfcc : ndarray [shape=(n_frames, 13)]
        Of 26 mel bands in dB.
    mel : ndarray [shape=(n_frames, 26)], dB
    flux : ndarray [shape=(n_frames,)]
        Distance of consecutive magnitude spectra, each with a sum of 1; 0 at the start.
    """

    pitch: np.ndarray
    harmonicity: np.ndarray
    level: np.ndarray
    alpha: np.ndarray
    hammarberg: np.ndarray
    slope_low: np.ndarray
    slope_middle: np.ndarray
    slope_high: np.ndarray
    centroid: np.ndarray
    bands: np.ndarray
    mfcc: np.ndarray
    mel: np.ndarray
    flux: np.ndarray

    @property
    def voiced(self) -> np.ndarray:
        """[shape=(n_frames,)], bool."""
        return np.isfinite(self.pitch)


def voice_contours(signal: np.ndarray) -> Voice:
    """Contours of a levelled recording at 16 kHz, in windows of 40 ms centred every 10 ms.

    Pitch is the path through the four strongest periods of each window, or none, with the lowest cost (Boersma,
    "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled sound", IFA
    Proceedings 17, 1993). The measures of spectral balance are those of eGeMAPS (Eyben et al., "The Geneva Minimalistic
    Acoustic Parameter Set", IEEE Trans. Affective Computing 7(2), 2016), of all windows.

    Parameters
    ----------
    signal : ndarray [shape=(n_samples,)]
        At least one sample.

    Returns
    -------
    Voice
        ``n_samples // 160 + 1`` frames.
    """
    padded = np.pad(np.asarray(signal, dtype=np.float64), _LENGTH // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _LENGTH)[::_STEP]
    # Each block starts with the last window of the one before, for the flux.
    starts = range(0, len(windows), _BLOCK)
    blocks = [_measure(windows[max(0, first - 1) : first + _BLOCK], min(first, 1)) for first in starts]
    found = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    periods, strengths, scores = (found.pop(name) for name in ("periods", "strengths", "scores"))
    path = _best_path(periods, scores, found["level"])
    voiced = path < _N_CANDIDATES
    chosen = (np.arange(len(path)), np.where(voiced, path, 0))
    strength = strengths[chosen].clip(1e-3, 0.999)
    found["pitch"] = np.where(voiced, 12 * np.log2(SAMPLING_RATE / periods[chosen] / _REFERENCE), np.nan)
    found["harmonicity"] = _decibels(strength / (1 - strength))
    return Voice(**{field.name: found[field.name] for field in fields(Voice)})


def _decibels(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(power)


def _measure(windows: np.ndarray, n_before: int) -> dict[str, np.ndarray]:
    """Contours and candidates of pitch of a block; the first `n_before` windows belong to the block before."""
    tapered = (windows - windows.mean(axis=1, keepdims=True)) * _SHAPE
    power = np.abs(scipy.fft.rfft(tapered, _N_FFT, axis=1)) ** 2
    found = _candidates(scipy.fft.irfft(power, axis=1)[:, :_LENGTH])
    power /= (_SHAPE**2).sum()
    floored = _decibels(power + _FLOOR)

    def energy(low: float, high: float) -> np.ndarray:
        within = (low <= _FREQUENCY) & (high > _FREQUENCY)
        return _decibels(power[:, within].sum(axis=1) + 1e-6)

    def peak(low: float, high: float) -> np.ndarray:
        return floored[:, (low <= _FREQUENCY) & (high > _FREQUENCY)].max(axis=1)

    def slope(low: float, high: float) -> np.ndarray:
        within = (low <= _FREQUENCY) & (high >= _FREQUENCY)
        x = _FREQUENCY[within] / 1000
        x = x - x.mean()
        result: np.ndarray = floored[:, within] @ x / (x @ x)
        return result

    mel = _decibels(power @ _MEL + _FLOOR)
    magnitude = np.sqrt(power)
    magnitude /= magnitude.sum(axis=1, keepdims=True) + 1e-9
    change = np.diff(magnitude, axis=0, prepend=magnitude[:1])
    found |= {
        "alpha": energy(50, 1000) - energy(1000, 5000),
        "hammarberg": peak(0, 2000) - peak(2000, 5000),
        "slope_low": slope(0, 500),
        "slope_middle": slope(500, 1500),
        "slope_high": slope(1500, 5000),
        "centroid": power @ _FREQUENCY / (power.sum(axis=1) + 1e-9) / 1000,
        "bands": np.stack([energy(*edges) for edges in pairwise(BANDS)], axis=1) - found["level"][:, np.newaxis],
        "mel": mel,
        "mfcc": mel @ _DCT,
        "flux": np.sqrt((change**2).sum(axis=1)),
    }
    return {name: values[n_before:] for name, values in found.items()}


def _candidates(correlation: np.ndarray) -> dict[str, np.ndarray]:
    """Level, and the strongest periods (samples), their strengths and scores [shape=(n_windows, 4)]."""
    energy = correlation[:, 0] + 1e-9
    normalised = correlation / energy[:, np.newaxis] / _CORRELATION
    lags = np.arange(int(SAMPLING_RATE / HIGHEST), int(SAMPLING_RATE / LOWEST) + 1)
    strength = normalised[:, lags]
    peaks = np.zeros(strength.shape, dtype=bool)
    peaks[:, 1:-1] = (strength[:, 1:-1] > strength[:, :-2]) & (strength[:, 1:-1] >= strength[:, 2:])
    score = np.where(peaks, strength - _OCTAVE_COST * np.log2(lags / lags[0]), -1.0)
    best = np.argsort(-score, axis=1, kind="stable")[:, :_N_CANDIDATES]
    return {
        "level": _decibels(energy / (_SHAPE**2).sum() + 1e-12),
        "periods": lags[best].astype(np.float64),
        "strengths": np.take_along_axis(strength, best, axis=1),
        "scores": np.take_along_axis(score, best, axis=1),
    }


def _best_path(periods: np.ndarray, scores: np.ndarray, level: np.ndarray) -> np.ndarray:
    """The candidate of each window, or 4 for unvoiced, by the Viterbi algorithm [shape=(n_windows,)]."""
    n, unvoiced = len(periods), _N_CANDIDATES
    local = np.column_stack([np.where((level < _QUIETEST)[:, np.newaxis], -1.0, scores), np.full(n, _UNVOICED)])
    octaves = np.log2(periods)
    cost = np.full((unvoiced + 1, unvoiced + 1), _VOICING_COST)
    cost[unvoiced, unvoiced] = 0.0
    total, back = local[0], np.zeros((n, unvoiced + 1), dtype=np.int64)
    for i in range(1, n):
        cost[:unvoiced, :unvoiced] = _JUMP_COST * np.abs(octaves[i - 1][:, np.newaxis] - octaves[i])
        ways = total[:, np.newaxis] - cost
        back[i] = ways.argmax(axis=0)
        total = ways.max(axis=0) + local[i]
    path = np.empty(n, dtype=np.int64)
    path[-1] = total.argmax()
    for i in range(n - 1, 0, -1):
        path[i - 1] = back[i, path[i]]
    return path
