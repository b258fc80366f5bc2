"""The matrices behind the 34 features, as in the reference or corrected: mel-like filters, cosine transform, chroma."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import scipy.fft

from speech2vec.errors import UserError

Compat = Literal["pyaudioanalysis", "corrected"]

N_MFCC = 13
SUB_BLOCKS = 10  # of both entropies
_LOWEST_A = 27.5  # Hz, A0: chroma index 0


@dataclass(frozen=True)
class Bank:
    """All that depends on the settings alone.

    Parameters
    ----------
    n_lines : int
        Spectral lines, half the window's length.
    moments : ndarray [shape=(n_lines, 3)]
        1, f and f squared of each line, with f as a share of half the sampling rate.
    filters : ndarray [shape=(n_used_lines, 40)]
    dct : ndarray [shape=(40, 13)]
    chroma_lines : ndarray [shape=(n_chroma_lines,)], int
        The lines that count for chroma.
    chroma : ndarray [shape=(n_chroma_lines, 12)]
        Their weights.
    """

    n_lines: int
    moments: np.ndarray
    filters: np.ndarray
    dct: np.ndarray
    chroma_lines: np.ndarray
    chroma: np.ndarray


@lru_cache(maxsize=16)
def make_bank(sampling_rate: int, length: int, compat: Compat) -> Bank:
    """The matrices for windows of `length` samples.

    Parameters
    ----------
    sampling_rate : int, Hz
    length : int, samples
    compat : {"pyaudioanalysis", "corrected"}
        The reference's filters, chroma and place of the spectral lines as they are, or corrected.

    Raises
    ------
    UserError
        The window is too short or the sampling rate too low for the features, or `compat` is unknown.
    """
    if compat not in get_args(Compat):
        raise UserError(f"compat is 'pyaudioanalysis' or 'corrected', not '{compat}'")
    n_lines = length // 2
    if n_lines < SUB_BLOCKS:
        raise UserError(f"a window of {length} samples is too short for these features: take a longer one")
    if compat == "corrected":
        line_frequency = np.arange(n_lines) * (sampling_rate / length)
        share = line_frequency / (sampling_rate / 2)
        lines, weights = _chroma_of_all_lines(line_frequency)
    else:
        line_frequency = np.arange(n_lines) * (sampling_rate / n_lines)  # for the filters: twice the true one
        share = np.arange(1, n_lines + 1) / n_lines  # for the rest: one line too high
        lines, weights = _chroma_of_last_lines(share * (sampling_rate / 2))
    filters = _triangles(line_frequency, sampling_rate, clip=compat == "corrected")
    n_used = int(np.flatnonzero(filters.any(axis=1))[-1]) + 1
    return Bank(
        n_lines=n_lines,
        moments=np.stack([np.ones(n_lines), share, share**2], axis=1),
        filters=np.ascontiguousarray(filters[:n_used]),
        dct=scipy.fft.dct(np.eye(filters.shape[1]), type=2, norm="ortho", axis=1)[:, :N_MFCC].copy(),
        chroma_lines=lines,
        chroma=weights,
    )


def _triangles(line_frequency: np.ndarray, sampling_rate: int, clip: bool) -> np.ndarray:
    """40 triangular filters of equal area [shape=(n_lines, 40)]: 13 spaced evenly, 27 logarithmically.

    Slaney's spacing (Auditory Toolbox, 1998): 133.33 Hz, then 66.67 Hz apart, then each 1.0711703 times the one before.
    """
    corners = np.empty(42)
    corners[:13] = 133.33 + np.arange(13) * (200 / 3)
    corners[13:] = corners[12] * 1.0711703 ** np.arange(1, 30)
    if not clip and corners[-1] >= sampling_rate:
        raise UserError(f"the filters reach {corners[-1]:.0f} Hz: a sampling rate of {sampling_rate} Hz is too low")
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    frequency = line_frequency[:, np.newaxis]
    rising = (frequency - low) / (centre - low)
    falling = (high - frequency) / (high - centre)
    return np.maximum(np.minimum(rising, falling), 0) * (2 / (high - low))


def _chroma_of_all_lines(frequency: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean power of each semitone's lines, summed over octaves; the constant (line 0) has no pitch."""
    lines = np.arange(1, len(frequency))
    semitone = np.round(12 * np.log2(frequency[1:] / _LOWEST_A)).astype(int)
    _, which, counts = np.unique(semitone, return_inverse=True, return_counts=True)
    weights = np.zeros((len(lines), 12))
    weights[np.arange(len(lines)), semitone % 12] = 1 / counts[which]
    return lines, weights


def _chroma_of_last_lines(frequency: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The reference's table: entry i holds the LAST line of index i, over the count of the index that line i has."""
    n_lines = len(frequency)
    index = np.round(12 * np.log2(frequency / _LOWEST_A)).astype(int)
    if index.max() >= n_lines:
        shortest = math.ceil(2 * (index.max() + 1))
        raise UserError(
            f"a window of {2 * n_lines} samples is too short for these chroma features: "
            f"take {shortest} samples or more, or compat='corrected'"
        )
    _, which, counts = np.unique(index, return_inverse=True, return_counts=True)
    count_of_line = counts[which]
    last_line = np.full(n_lines, -1)
    last_line[index] = np.arange(n_lines)  # negative indices wrap, later lines overwrite earlier ones
    entries = np.flatnonzero(last_line >= 0)
    weights = np.zeros((len(entries), 12))
    weights[np.arange(len(entries)), entries % 12] = 1 / count_of_line[index[entries]]
    return last_line[entries], weights
