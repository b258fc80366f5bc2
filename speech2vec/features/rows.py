"""Contiguous rows of tables, such as the words of an utterance and the frames of a word, indexed without loops."""

from __future__ import annotations

import numpy as np


def starts_of_runs(values: np.ndarray) -> np.ndarray:
    """Start index of each run of equal values [shape=(n_runs,)], int64.

    Examples
    --------
    >>> starts_of_runs(np.array([7, 7, 3, 3, 3, 7]))
    array([0, 2, 5])
    """
    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])[: len(values)])


def runs_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start index and length of each run of equal values [shape=(n_runs,)], int64.

    Examples
    --------
    >>> runs_of(np.array([7, 7, 3, 3, 3, 7]))
    (array([0, 2, 5]), array([2, 3, 1]))
    """
    starts = starts_of_runs(values)
    return starts, np.diff(np.append(starts, len(values)))


def rows_of_ranges(first: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The indices of all rows in some ranges, range after range [shape=(lengths.sum(),)], int64.

    Examples
    --------
    >>> rows_of_ranges(np.array([5, 0]), np.array([3, 2]))
    array([5, 6, 7, 0, 1])
    """
    return np.repeat(first - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
