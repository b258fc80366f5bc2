"""One vector for a recording: statistics of the contours of its voice, none of which depends on its loudness."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import scipy.signal

from emotion.features.level import NOMINAL
from emotion.features.voice import HOP, N_MFCC, Voice, voice_contours

VERSION = 3  # raised when the values change, so that stored ones are computed again
OLDEST = 2  # still computed, for runs that were trained on it
N_REGIONS = 4  # of the spectrum, whose modulation is measured
MODULATION = (1, 3, 6, 12, 25)  # Hz
_SPEECH = NOMINAL - 25.0  # dB re full scale; quieter frames are pauses
_STEEPEST = 3.0  # semitones in 10 ms; beyond, pitch jumped
_PROMINENCE = 3.0  # dB, of the peaks of the level that count as syllables
_RANGE = 50.0  # dB below its maximum, of the bands whose modulation is measured


def functionals(signal: np.ndarray, version: int = VERSION) -> tuple[np.ndarray, tuple[str, ...]]:
    """Statistics of the contours of a levelled recording at 16 kHz (`emotion.features.voice.voice_contours`).

    Speech is what is within 25 dB of the active level, and a voiced frame one with a pitch.

    - Pitch: median; ranges 5 to 95 %, 25 to 75 % and 50 to 95 %, and standard deviation; mean magnitude, mean and
      deviation of its change per frame.
    - Level re the active level: percentiles, deviation and change over speech; mean, deviation and percentiles over
      voiced frames.
    - Time: share of voiced frames, of all and of speech; number of voiced stretches per second, mean and deviation of
      their length and of that of the others; share of speech; syllables per second, as peaks of the smoothed level.
    - Voice quality: mean, deviation and percentiles of the harmonicity; mean magnitude of the second difference of
      pitch (jitter) and of the change of the level of voiced frames (shimmer).
    - Balance: mean, deviation and percentiles over voiced frames of alpha ratio, Hammarberg index, three slopes and
      centroid; mean and deviation of bands over voiced frames, and of alpha ratio and centroid over unvoiced speech.
    - MFCC, without the first of the means: mean and deviation over voiced frames, and deviation of the change over
      speech; flux over speech and voiced frames.
    - Modulation: logarithm of the share of the spectrum of each of four regions' level in 1-3, 3-6, 6-12 and 12-25 Hz.
    - Correlation over voiced frames of pitch, level and alpha ratio.

    Parameters
    ----------
    signal : ndarray [shape=(n_samples,)]
    version : int
        2 has in the jitter the jumps of pitch across pauses.

    Returns
    -------
    values : ndarray [shape=(134,)], float64
        A statistic of no frames is 0.
    names : tuple of str
    """
    voice = voice_contours(signal)
    voiced, speech = voice.voiced, voice.level > _SPEECH
    level = voice.level - NOMINAL
    found: dict[str, np.ndarray] = {}
    _pitch(found, voice.pitch)
    found["level"] = np.concatenate(
        [_percentiles(level[speech], 5, 25, 50, 75, 95), _moments(level[speech])[1:], _change(level, speech)]
    )
    found["voiced level"] = np.concatenate([_moments(level[voiced]), _percentiles(level[voiced], 5, 95)])
    _time(found, voiced, speech, level)
    found["harmonicity"] = np.concatenate(
        [_moments(voice.harmonicity[voiced]), _percentiles(voice.harmonicity[voiced], 5, 50, 95)]
    )
    found["jitter"] = _magnitude(_finite(np.diff(voice.pitch if version > 2 else voice.pitch[voiced], 2)))
    found["shimmer"] = _magnitude(_finite(np.diff(np.where(voiced, level, np.nan))))
    for name in ("alpha", "hammarberg", "slope_low", "slope_middle", "slope_high", "centroid"):
        values = getattr(voice, name)[voiced]
        found[name] = np.concatenate([_moments(values), _percentiles(values, 10, 90)])
    found["bands"] = _moments(voice.bands[voiced])
    unvoiced = speech & ~voiced
    found["unvoiced"] = np.concatenate([_moments(voice.alpha[unvoiced]), _moments(voice.centroid[unvoiced])])
    found["mfcc"] = _moments(voice.mfcc[voiced][:, 1:])
    change = voice.mfcc[2:] - voice.mfcc[:-2]
    found["mfcc change"] = _moments(change[speech[1:-1]])[N_MFCC:]
    found["flux"] = np.concatenate([_moments(voice.flux[speech]), _moments(voice.flux[voiced])])
    found["modulation"] = _modulation(voice)
    triple = (voice.pitch[voiced], level[voiced], voice.alpha[voiced])
    found["correlation"] = np.array([_correlation(triple[i], triple[j]) for i, j in ((0, 1), (0, 2), (1, 2))])
    names = tuple(f"{name} {i}" for name, values in found.items() for i in range(1, len(values) + 1))
    return np.concatenate(list(found.values())), names


def _pitch(found: dict[str, np.ndarray], pitch: np.ndarray) -> None:
    heard = _finite(pitch)
    low, lower, median, upper, high = _percentiles(heard, 5, 25, 50, 75, 95)
    change = _finite(np.diff(pitch))
    change = change[np.abs(change) < _STEEPEST]
    found["pitch"] = np.array([median])
    found["pitch range"] = np.array([high - low, upper - lower, high - median, _moments(heard)[1]])
    found["pitch change"] = np.concatenate([_magnitude(change), _moments(change)])


def _time(found: dict[str, np.ndarray], voiced: np.ndarray, speech: np.ndarray, level: np.ndarray) -> None:
    seconds = len(voiced) * HOP
    stretches, gaps = _stretches(voiced) * HOP, _stretches(~voiced) * HOP
    smooth = np.convolve(level, np.hanning(9) / np.hanning(9).sum(), mode="same")
    syllables, _ = scipy.signal.find_peaks(smooth.clip(min=_SPEECH - NOMINAL), prominence=_PROMINENCE)
    found["voiced"] = np.array([voiced.mean(), (voiced & speech).sum() / max(1, speech.sum())])
    found["stretches"] = np.concatenate(
        [[len(stretches) / seconds], _moments(stretches), _moments(gaps), [speech.mean()]]
    )
    found["syllables"] = np.array([len(syllables) / seconds])


def _modulation(voice: Voice) -> np.ndarray:
    floored = np.maximum(voice.mel, voice.mel.max() - _RANGE)
    n = len(floored)
    found = []
    for bands in np.array_split(np.arange(floored.shape[1]), N_REGIONS):
        contour = floored[:, bands].mean(axis=1)
        size = max(1024, n)
        power = np.abs(np.fft.rfft((contour - contour.mean()) * np.hanning(n), size)) ** 2
        frequency = np.fft.rfftfreq(size, HOP)
        shares = [
            power[(low <= frequency) & (high > frequency)].sum() / (power.sum() + 1e-9)
            for low, high in pairwise(MODULATION)
        ]
        found.append(np.log(np.array(shares) + 1e-4))
    return np.concatenate(found)


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _moments(values: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over frames: [shape=(n,)] -> [shape=(2,)], [shape=(n, d)] -> [shape=(2 * d,)]."""
    if not len(values):
        return np.zeros(2 * (values.shape[1] if values.ndim > 1 else 1))
    return np.hstack([values.mean(axis=0), values.std(axis=0)])


def _percentiles(values: np.ndarray, *which: float) -> np.ndarray:
    return np.percentile(values, which) if len(values) else np.zeros(len(which))


def _magnitude(values: np.ndarray) -> np.ndarray:
    return np.array([np.abs(values).mean() if len(values) else 0.0])


def _change(values: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Mean magnitude and deviation of the change to each of some frames from the one before."""
    change = np.diff(values)[frames[1:]]
    return np.concatenate([_magnitude(change), _moments(change)[1:]])


def _stretches(marked: np.ndarray) -> np.ndarray:
    """Lengths of the runs of true values."""
    edges = np.diff(np.concatenate([[0], marked.astype(np.int64), [0]]))
    return np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 3 and a.std() > 0 and b.std() > 0 else 0.0
