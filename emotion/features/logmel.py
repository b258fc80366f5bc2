"""Log-mel energies: spectral envelope including its level, which the 34 features lack."""

from __future__ import annotations

import warnings
from functools import lru_cache

import librosa
import numpy as np
import scipy.fft
import scipy.signal

from speech2vec.runtime.errors import UserError

_BLOCK = 256  # windows per FFT call
_FLOOR = 1e-6  # added to energies before the logarithm: about 80 dB below the loudest bands at full scale


def log_mel(signal: np.ndarray, sampling_rate: int, window: float, hop: float, n_mels: int) -> np.ndarray:
    """Logarithms of the energies of triangular filters on the mel scale.

    The windows are those of `emotion.features.pyaudioanalysis.extract` (no padding, an incomplete last window is
    dropped) with a Hann taper; the filters have equal area (Slaney, Auditory Toolbox, 1998) and extend to half the
    sampling rate. The signal is not normalised, so the energies reflect its loudness.

    Parameters
    ----------
    signal : ndarray [shape=(n_samples,)]
        In [-1, 1].
    sampling_rate : int, Hz
    window, hop : float, seconds
    n_mels : int

    Returns
    -------
    ndarray [shape=(n_windows, n_mels)], float64

    Raises
    ------
    UserError
        The window is too short for this many filters: at least one would contain no FFT bin.
    """
    length, step = round(window * sampling_rate), round(hop * sampling_rate)
    filters = _filters(sampling_rate, length, n_mels)
    n_windows = max(0, (len(signal) - length) // step + 1)
    result = np.empty((n_windows, n_mels))
    if n_windows == 0:
        return result
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(signal, dtype=np.float32), length)[::step]
    shape = scipy.signal.windows.hann(length, sym=False).astype(np.float32)
    for first in range(0, n_windows, _BLOCK):
        spectrum = scipy.fft.rfft(frames[first : first + _BLOCK] * shape, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        result[first : first + _BLOCK] = np.log(power @ filters + _FLOOR)
    return result


@lru_cache(maxsize=16)
def _filters(sampling_rate: int, length: int, n_mels: int) -> np.ndarray:
    """Filters [shape=(n_bins, n_mels)], float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # empty filters, an error below
        filters = librosa.filters.mel(sr=sampling_rate, n_fft=length, n_mels=n_mels).T
    empty = int((filters.max(axis=0) == 0).sum())
    if empty:
        raise UserError(
            f"{empty} of {n_mels} mel filters contain no FFT bin of a window of {length} samples: reduce "
            "features.n_mels or increase features.window"
        )
    return np.ascontiguousarray(filters)
