"""Recordings levelled to their active speech, without the silence around it."""

from __future__ import annotations

import math

import numpy as np
import scipy.ndimage
import scipy.signal

NOMINAL = -26.0  # dB re full scale: the usual level of active speech in telephony (ITU-T P.56, G.191)

_TIME_CONSTANT = 0.03  # seconds, of each of the envelope's two filters (P.56)
_HANGOVER = 0.2  # seconds that speech stays active after its envelope falls below the threshold (P.56)
_AFTER = 0.5  # seconds, in which activity ends
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
    0.39
    """
    if not np.ptp(signal):
        return 0.0
    signal = signal - signal.mean(dtype=np.float64)
    energy = float(signal @ signal)
    signal = np.pad(signal, (0, round(_AFTER * sampling_rate)))  # speech that the recording's end cuts has its hangover
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

    What remains starts 10 ms after the level in 20 ms first exceeds the active level minus 30 dB, and ends 10 ms before
    it last does, so that abrupt speech is cut where it starts. Levels within it keep their ratios. The result depends
    neither on the gain of the recording nor on the silence around it, if that is 30 dB below the speech. It can exceed
    1; it is not clipped.

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
    signal = np.pad(signal - signal.mean(), window)  # as if each recording had silence around it
    local = scipy.ndimage.uniform_filter1d(signal**2, window, mode="constant")
    loud = np.flatnonzero(local > power * 10 ** (-_EDGE / 10))
    first, last = loud[0] + window // 2, loud[-1] - window // 2  # in the middle of a window, half of it is silent
    return signal[first : max(first, last) + 1] * math.sqrt(10 ** (NOMINAL / 10) / power)
