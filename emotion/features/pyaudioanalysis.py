"""The 34 short-term features: 8 temporal and spectral features, 13 MFCC, 12 chroma bins and their deviation.

They are the features of Krishna & Reddy (AVSP 2019, section 3), computed there with pyAudioAnalysis (Giannakopoulos,
"pyAudioAnalysis: An Open-Source Python Library for Audio Signal Analysis", PLoS ONE 10(12), 2015). The library's
values are reproduced, errors included, unless ``compat="corrected"``.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import scipy.fft

from speech2vec.runtime.errors import UserError

Compat = Literal["pyaudioanalysis", "corrected"]

N_MFCC = 13
FEATURE_NAMES: tuple[str, ...] = (  # of the 34 columns, as in pyAudioAnalysis
    "zcr",
    "energy",
    "energy_entropy",
    "spectral_centroid",
    "spectral_spread",
    "spectral_entropy",
    "spectral_flux",
    "spectral_rolloff",
    *(f"mfcc_{i}" for i in range(1, N_MFCC + 1)),
    *(f"chroma_{i}" for i in range(1, 13)),
    "chroma_std",
)

_SUB_BLOCKS = 10  # per window, for both entropies
_ROLLOFF = 0.90  # fraction of the spectral energy below the rolloff frequency
_LOWEST_A = 27.5  # Hz, A0: chroma index 0
_EPS = sys.float_info.epsilon
_BLOCK = 64  # windows processed at a time, so that their spectra stay in the cache


def extract(
    signal: np.ndarray,
    sampling_rate: int,
    window: float = 0.1,
    hop: float = 0.1,
    compat: Compat = "pyaudioanalysis",
) -> np.ndarray:
    """The 34 features of each window.

    The mean of the whole signal is subtracted and its peak normalised to 1; windows are rectangular and not padded,
    and an incomplete last window is dropped.

    Parameters
    ----------
    signal : ndarray [shape=(n_samples,)]
        In [-1, 1].
    sampling_rate : int, Hz
    window, hop : float, seconds
    compat : {"pyaudioanalysis", "corrected"}
        "pyaudioanalysis" gives the values of its release 0.3.14 (within 1e-6, for a signal scaled to the range of
        int16): its mel-like filters are at half their nominal frequencies; of the FFT bins of one chroma index only
        the last contributes, divided by the number of bins of ANOTHER index; and centroid, spread and chroma take bin
        k (from 0) to be at k + 1 times the resolution (sampling rate / window length). "corrected" has the filters at
        their nominal frequencies and bin k at k times the resolution, and averages the bins of an index.

    Returns
    -------
    ndarray [shape=(n_windows, 34)], float64
        Columns as in `FEATURE_NAMES`; no rows if the signal is shorter than one window.

    Raises
    ------
    UserError
        The signal is not one-dimensional or not finite, or the settings do not permit these features (windows under
        about 12 ms at 16 kHz, a sampling rate below the filters' highest frequency).

    Examples
    --------
    >>> extract(np.sin(np.arange(16000) / 10), 16000).shape
    (10, 34)
    """
    signal = np.array(signal, dtype=np.float64)
    if signal.ndim != 1:
        raise UserError(f"features need one channel [shape=(n_samples,)], not an array of shape {signal.shape}")
    length, step = round(window * sampling_rate), round(hop * sampling_rate)
    bank = make_bank(sampling_rate, length, compat)
    if step < 1:
        raise UserError(f"a hop of {hop} s is less than one sample at {sampling_rate} Hz")
    n_windows = max(0, (len(signal) - length) // step + 1)
    features = np.empty((n_windows, len(FEATURE_NAMES)))
    if n_windows == 0:
        return features
    mean = signal.mean()
    if not np.isfinite(mean):
        raise UserError("the signal contains NaN or infinite samples")
    signal -= mean
    signal /= max(signal.max(), -signal.min()) + 1e-10
    frames = np.lib.stride_tricks.sliding_window_view(signal, length)[::step]
    previous = None
    for first in range(0, n_windows, _BLOCK):
        block, out = frames[first : first + _BLOCK], features[first : first + _BLOCK]
        samples = signal[first * step : (first + len(block) - 1) * step + length]
        out[:, 0] = _zero_crossing_rate(samples, length, step, len(block))
        previous = _block_features(block, bank, previous, out)
    return features


def _zero_crossing_rate(samples: np.ndarray, length: int, step: int, n_windows: int) -> np.ndarray:
    """Half the sum of abs(diff(sign)) in each window; a step from or to 0 counts as half a crossing."""
    starts = np.arange(n_windows) * step
    changes = np.zeros(n_windows, dtype=np.int64)
    for side in (samples > 0, samples < 0):
        at = np.flatnonzero(side[1:] != side[:-1])
        changes += np.searchsorted(at, starts + length - 1) - np.searchsorted(at, starts)
    return changes / (2 * (length - 1))


def _block_features(frames: np.ndarray, bank: Bank, previous: np.ndarray | None, out: np.ndarray) -> np.ndarray:
    """Compute columns 2 to 34 of a block of windows.

    Parameters
    ----------
    frames : ndarray [shape=(n_windows, length)]
    bank : Bank
    previous : ndarray [shape=(n_bins,)] or None
        Spectrum of the window before this block.
    out : ndarray [shape=(n_windows, 34)]

    Returns
    -------
    ndarray [shape=(n_bins,)]
        Spectrum of the last window.
    """
    length, n_bins = frames.shape[1], bank.n_bins
    block_energies, energy = _sub_block_energies(frames)
    out[:, 1] = energy / length
    out[:, 2] = _entropy(block_energies, energy)

    spectrum = np.abs(scipy.fft.rfft(frames, axis=1)[:, :n_bins])
    spectrum /= n_bins
    power = spectrum * spectrum
    block_energies, energy = _sub_block_energies(spectrum)
    moments = spectrum @ bank.moments  # sums of X, f X, f^2 X, with f as a fraction of half the sampling rate
    out[:, 3], out[:, 4] = _centroid_and_spread(moments, spectrum.max(axis=1))
    out[:, 5] = _entropy(block_energies, energy)
    out[:, 6] = _flux(spectrum, energy, moments[:, 0] + n_bins * _EPS, previous)
    out[:, 7] = _rolloff(power, block_energies, _ROLLOFF * energy) / n_bins

    mel = spectrum[:, : len(bank.filters)] @ bank.filters
    out[:, 8:21] = np.log10(mel + _EPS) @ bank.dct
    chroma = (power[:, bank.chroma_bins] @ bank.chroma) / np.where(energy == 0, _EPS, energy)[:, np.newaxis]
    out[:, 21:33] = chroma
    out[:, 33] = chroma.std(axis=1)
    return spectrum[-1]


def _sub_block_energies(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energy of ten equal sub-blocks [shape=(n, 10)] (excluding a remainder) and of all samples [shape=(n,)]."""
    n, length = values.shape
    whole = length // _SUB_BLOCKS * _SUB_BLOCKS
    parts = values[:, :whole].reshape(n, _SUB_BLOCKS, -1)
    energies = np.einsum("nij,nij->ni", parts, parts)
    rest = values[:, whole:]
    return energies, energies.sum(axis=1) + np.einsum("ni,ni->n", rest, rest)


def _entropy(energies: np.ndarray, total: np.ndarray) -> np.ndarray:
    shares = energies / (total + _EPS)[:, np.newaxis]
    return -(shares * np.log2(shares + _EPS)).sum(axis=1)


def _rolloff(power: np.ndarray, block_energies: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """First bin whose cumulative power exceeds the threshold [shape=(n,)]; only its block is summed bin by bin."""
    n_bins = power.shape[1]
    size = n_bins // _SUB_BLOCKS
    before = np.zeros((len(power), _SUB_BLOCKS + 1))
    np.cumsum(block_energies, axis=1, out=before[:, 1:])
    limit = threshold[:, np.newaxis] - _EPS
    block = (before[:, 1:] <= limit).sum(axis=1, keepdims=True)
    bins = np.minimum(block * size + np.arange(max(size, n_bins - _SUB_BLOCKS * size)), n_bins - 1)
    cumulated = np.take_along_axis(before, block, axis=1) + np.cumsum(np.take_along_axis(power, bins, axis=1), axis=1)
    return np.minimum(block[:, 0] * size + (cumulated <= limit).sum(axis=1), n_bins - 1)


def _centroid_and_spread(moments: np.ndarray, largest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    zeroth, first, second = (moments / np.where(largest == 0, _EPS, largest)[:, np.newaxis]).T
    total = zeroth + _EPS
    centroid = first / total
    variance = (second - 2 * centroid * first + centroid**2 * zeroth) / total
    return centroid, np.sqrt(np.maximum(variance, 0))


def _flux(spectrum: np.ndarray, energy: np.ndarray, total: np.ndarray, previous: np.ndarray | None) -> np.ndarray:
    """Squared distance between consecutive spectra, each divided by its sum; 0 for the first of a signal."""
    before = spectrum[:1] if previous is None else previous[np.newaxis]
    dots = np.empty(len(spectrum))
    dots[0] = spectrum[0] @ before[0]
    np.einsum("ni,ni->n", spectrum[1:], spectrum[:-1], out=dots[1:])
    energies = np.concatenate([np.einsum("ni,ni->n", before, before), energy])
    totals = np.concatenate([before.sum(axis=1) + spectrum.shape[1] * _EPS, total])
    norms = energies / totals**2
    # |a - b|^2 expanded: the rounding error stays below 1e-15, and no third spectrum is allocated.
    return np.maximum(norms[1:] + norms[:-1] - 2 * dots / (totals[1:] * totals[:-1]), 0)


@dataclass(frozen=True)
class Bank:
    """The matrices of the features, which depend on the settings only.

    Parameters
    ----------
    n_bins : int
        Number of FFT bins, half the window length.
    moments : ndarray [shape=(n_bins, 3)]
        1, f and f squared of each bin, with f as a fraction of half the sampling rate.
    filters : ndarray [shape=(n_used_bins, 40)]
        Mel-like filters.
    dct : ndarray [shape=(40, 13)]
    chroma_bins : ndarray [shape=(n_chroma_bins,)], int
        The FFT bins that contribute to chroma.
    chroma : ndarray [shape=(n_chroma_bins, 12)]
        Their weights.
    """

    n_bins: int
    moments: np.ndarray
    filters: np.ndarray
    dct: np.ndarray
    chroma_bins: np.ndarray
    chroma: np.ndarray


@lru_cache(maxsize=16)
def make_bank(sampling_rate: int, length: int, compat: Compat) -> Bank:
    """The matrices for windows of `length` samples.

    Parameters
    ----------
    sampling_rate : int, Hz
    length : int, samples
    compat : {"pyaudioanalysis", "corrected"}
        Filters, chroma and bin frequencies as in pyAudioAnalysis, or corrected.

    Raises
    ------
    UserError
        The window is too short or the sampling rate too low for the features, or `compat` is unknown.
    """
    if compat not in get_args(Compat):
        raise UserError(f"compat must be 'pyaudioanalysis' or 'corrected', not '{compat}'")
    n_bins = length // 2
    if n_bins < _SUB_BLOCKS:
        raise UserError(f"a window of {length} samples is too short for these features: use a longer window")
    if compat == "corrected":
        bin_frequency = np.arange(n_bins) * (sampling_rate / length)
        fraction = bin_frequency / (sampling_rate / 2)
        bins, weights = _chroma_of_all_bins(bin_frequency)
    else:
        bin_frequency = np.arange(n_bins) * (sampling_rate / n_bins)  # for the filters: twice the true frequency
        fraction = np.arange(1, n_bins + 1) / n_bins  # elsewhere: one bin too high
        bins, weights = _chroma_of_last_bins(fraction * (sampling_rate / 2))
    filters = _triangles(bin_frequency, sampling_rate, clip=compat == "corrected")
    n_used = int(np.flatnonzero(filters.any(axis=1))[-1]) + 1
    return Bank(
        n_bins=n_bins,
        moments=np.stack([np.ones(n_bins), fraction, fraction**2], axis=1),
        filters=np.ascontiguousarray(filters[:n_used]),
        dct=scipy.fft.dct(np.eye(filters.shape[1]), type=2, norm="ortho", axis=1)[:, :N_MFCC].copy(),
        chroma_bins=bins,
        chroma=weights,
    )


def _triangles(bin_frequency: np.ndarray, sampling_rate: int, clip: bool) -> np.ndarray:
    """40 triangular filters of equal area [shape=(n_bins, 40)]: 13 spaced evenly, 27 logarithmically.

    Slaney's spacing (Auditory Toolbox, 1998): 133.33 Hz, then 66.67 Hz apart, then each 1.0711703 times the one before.
    """
    corners = np.empty(42)
    corners[:13] = 133.33 + np.arange(13) * (200 / 3)
    corners[13:] = corners[12] * 1.0711703 ** np.arange(1, 30)
    if not clip and corners[-1] >= sampling_rate:
        raise UserError(f"the filters reach {corners[-1]:.0f} Hz: a sampling rate of {sampling_rate} Hz is too low")
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    frequency = bin_frequency[:, np.newaxis]
    rising = (frequency - low) / (centre - low)
    falling = (high - frequency) / (high - centre)
    return np.maximum(np.minimum(rising, falling), 0) * (2 / (high - low))


def _chroma_of_all_bins(frequency: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean power of each semitone's bins, summed over octaves; bin 0 has no pitch."""
    bins = np.arange(1, len(frequency))
    semitone = np.round(12 * np.log2(frequency[1:] / _LOWEST_A)).astype(int)
    _, which, counts = np.unique(semitone, return_inverse=True, return_counts=True)
    weights = np.zeros((len(bins), 12))
    weights[np.arange(len(bins)), semitone % 12] = 1 / counts[which]
    return bins, weights


def _chroma_of_last_bins(frequency: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As pyAudioAnalysis: entry i is the LAST bin of index i over the bin count of ANOTHER index, that of bin i."""
    n_bins = len(frequency)
    index = np.round(12 * np.log2(frequency / _LOWEST_A)).astype(int)
    if index.max() >= n_bins:
        shortest = math.ceil(2 * (index.max() + 1))
        raise UserError(
            f"a window of {2 * n_bins} samples is too short for these chroma features: "
            f"use at least {shortest} samples, or compat='corrected'"
        )
    _, which, counts = np.unique(index, return_inverse=True, return_counts=True)
    count_of_bin = counts[which]
    last_bin = np.full(n_bins, -1)
    last_bin[index] = np.arange(n_bins)  # negative indices wrap, later bins overwrite earlier ones
    entries = np.flatnonzero(last_bin >= 0)
    weights = np.zeros((len(entries), 12))
    weights[np.arange(len(entries)), entries % 12] = 1 / count_of_bin[index[entries]]
    return last_bin[entries], weights
