"""Rows that lie together: where each run of equal values begins, and the rows of many ranges at once."""

from __future__ import annotations

import numpy as np


def starts_of_runs(values: np.ndarray) -> np.ndarray:
    """Where values that differ from the one before begin [shape=(n_runs,)], int64.

    Examples
    --------
    >>> starts_of_runs(np.array([7, 7, 3, 3, 3, 7]))
    array([0, 2, 5])
    """
    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])[: len(values)])


def rows_of_ranges(first: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The rows of ranges, one range after the other [shape=(sum of lengths,)], int64.

    Examples
    --------
    >>> rows_of_ranges(np.array([5, 0]), np.array([3, 2]))
    array([5, 6, 7, 0, 1])
    """
    return np.repeat(first - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
