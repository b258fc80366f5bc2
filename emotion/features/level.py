"""Recordings levelled to their active speech, without the silence around it."""

from __future__ import annotations

import math

import numpy as np
import scipy.ndimage
import scipy.signal

NOMINAL = -26.0  # dB re full scale: the usual level of active speech in telephony (ITU-T P.56, G.191)

_TIME_CONSTANT = 0.03  # seconds, of each of the envelope's two filters (P.56)
_HANGOVER = 0.2  # seconds that speech stays active after its envelope falls below the threshold (P.56)
_MARGIN = 15.9  # dB from the active level down to the threshold of activity (P.56)
_EDGE = 30.0  # dB from the active level down to the silence that is trimmed
_EDGE_WINDOW = 0.02  # seconds, in which the level of the edges is measured
_STEP = 0.001  # seconds between the values of the envelope that are counted


def active_power(signal: np.ndarray, sampling_rate: int) -> float:
    """Mean square of the active parts of a signal, after method B of ITU-T P.56 (2011).

    The envelope is the magnitude, smoothed twice with a time constant of 30 ms. A sample is active if the envelope has
    exceeded a threshold within the last 0.2 s, and the active power is the signal's energy divided by the number of
    active samples. Of all thresholds, the lowest is used that is at most 15.9 dB below the active power itself. P.56
    interpolates between thresholds 6 dB apart; here each value of the envelope (every millisecond) is one, so the
    result is proportional to the power of the signal. Pauses of up to 0.2 s count as speech, longer ones do not.

    Parameters
    ----------
    signal : ndarray [shape=(n_samples,)]
    sampling_rate : int, Hz

    Returns
    -------
    float
        0 if the signal is constant.

    Examples
    --------
    >>> tone = np.sin(np.arange(16000))
    >>> round(active_power(np.concatenate([tone, np.zeros(64000)]), 16000), 2)
    0.42
    """
    if not np.ptp(signal):
        return 0.0
    signal = signal - signal.mean(dtype=np.float64)
    energy = float(signal @ signal)
    decay = math.exp(-1 / (sampling_rate * _TIME_CONSTANT))
    smoothed = scipy.signal.lfilter([(1 - decay) ** 2], [1, -2 * decay, decay**2], np.abs(signal))
    step = max(1, round(_STEP * sampling_rate))
    envelope = smoothed[::step]
    hangover = min(len(envelope), round(_HANGOVER * sampling_rate / step))
    # The filter's window is moved so that it ends at each value instead of being centred on it.
    held = scipy.ndimage.maximum_filter1d(envelope, hangover + 1, mode="constant", origin=hangover // 2)
    thresholds = np.sort(held)[::-1]
    power = energy / (step * np.arange(1, len(thresholds) + 1))
    with np.errstate(divide="ignore"):
        margins = 10 * np.log10(power / thresholds**2)
    within = np.flatnonzero(margins <= _MARGIN)
    return float(power[within[-1] if len(within) else margins.argmin()])


def level_speech(signal: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Trim the silence at both ends and scale active speech to -26 dB re full scale.

    What remains starts and ends where the level in 20 ms exceeds the active level minus 30 dB. Levels within it keep
    their ratios. The result does not depend on the gain of the recording or on the length of the silence around it, as
    long as that is 30 dB below the speech. It can exceed 1; it is not clipped.

    Parameters
    ----------
    signal : ndarray [shape=(n_samples,)]
    sampling_rate : int, Hz

    Returns
    -------
    ndarray [shape=(n_kept,)], float64
        Empty if the signal is constant: silence has no level.
    """
    signal = np.asarray(signal, dtype=np.float64)
    power = active_power(signal, sampling_rate) if len(signal) else 0.0
    if power == 0:
        return np.zeros(0)
    window = max(1, round(_EDGE_WINDOW * sampling_rate))
    # A recording that starts with speech is treated like one with silence before it, whose window reaches into both.
    signal = np.pad(signal - signal.mean(), window // 2)
    local = scipy.ndimage.uniform_filter1d(signal**2, window, mode="constant")
    loud = np.flatnonzero(local > power * 10 ** (-_EDGE / 10))
    return signal[loud[0] : loud[-1] + 1] * math.sqrt(10 ** (NOMINAL / 10) / power)
