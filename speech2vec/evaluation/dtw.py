"""Dynamic time warping of many pairs of segments at once: the classical way to compare two spoken words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

_CELLS_A_BATCH = 2_000_000


def dtw_distances(
    segments: Sequence[np.ndarray],
    pairs: np.ndarray,
    on_batch: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Path-normalised warping distances with the cosine distance between frames.

    The symmetric form of Sakoe and Chiba (1978), no slope constraint: a diagonal step weighs 2, the two others 1, so
    that every path weighs n + m and dividing by that is the exact normalisation of the best path.

    Parameters
    ----------
    segments : sequence of ndarray [shape=(n_frames_i, n_features)]
        Each at least one frame long.
    pairs : ndarray [shape=(n_pairs, 2)], int
        Indices into `segments`.
    on_batch : callable or None
        Told how many pairs were done since the last call (progress).

    Returns
    -------
    ndarray [shape=(n_pairs,)], float32
        Between 0 (alike) and 2.

    Raises
    ------
    ValueError
        A segment has no frames.

    Examples
    --------
    >>> slow = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> quick = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> float(dtw_distances([slow, quick], np.array([[0, 1]]))[0])
    0.0
    """
    pairs = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    lengths = np.array([len(segment) for segment in segments], dtype=np.int64)
    if (lengths == 0).any():
        raise ValueError(f"segment {int(np.flatnonzero(lengths == 0)[0])} has no frames")
    units = [_unit_frames(segment) for segment in segments]
    longest, shortest = lengths[pairs].max(axis=1), lengths[pairs].min(axis=1)
    # Pairs of like size share a batch, the longest first, so that little of it is padding.
    order = np.lexsort((shortest, longest))[::-1]
    distances = np.empty(len(pairs), dtype=np.float32)
    first = 0
    while first < len(order):
        batch = order[first : first + max(1, _CELLS_A_BATCH // int(longest[order[first]]) ** 2)]
        distances[batch] = _warp([units[i] for i in pairs[batch, 0]], [units[j] for j in pairs[batch, 1]])
        if on_batch is not None:
            on_batch(len(batch))
        first += len(batch)
    return distances


def _unit_frames(segment: np.ndarray) -> np.ndarray:
    segment = np.asarray(segment, dtype=np.float32)
    norms = np.linalg.norm(segment, axis=1, keepdims=True)
    return np.divide(segment, norms, out=np.zeros_like(segment), where=norms > 0)


def _padded(segments: list[np.ndarray]) -> np.ndarray:
    longest = max(len(segment) for segment in segments)
    batch = np.zeros((len(segments), longest, segments[0].shape[1]), dtype=np.float32)
    for row, segment in zip(batch, segments, strict=True):
        row[: len(segment)] = segment
    return batch


def _warp(left: list[np.ndarray], right: list[np.ndarray]) -> np.ndarray:
    """Distances of B pairs, one anti-diagonal of the B cost matrices at a time."""
    n = np.array([len(segment) for segment in left])
    m = np.array([len(segment) for segment in right])
    cosines = _padded(left) @ _padded(right).transpose(0, 2, 1)  # B, n, m
    # Pairs last: a cell of all pairs is then one stretch of memory. Rounding may push a cosine past 1.
    cost = np.maximum(1.0 - np.ascontiguousarray(cosines.transpose(1, 2, 0)), 0.0)  # n, m, B
    rows, columns, n_pairs = cost.shape
    # The two last diagonals by row; row 0 is the border no path may come from.
    before = np.full((rows + 1, n_pairs), np.inf, dtype=np.float32)
    last = before.copy()
    before[0] = 0.0  # where every path starts: its first cell is entered diagonally
    result = np.empty(n_pairs, dtype=np.float32)
    for diagonal in range(rows + columns - 1):
        top, bottom = max(0, diagonal - columns + 1), min(rows, diagonal + 1)
        row = np.arange(top, bottom)
        here = cost[row, diagonal - row]  # cells, B
        current = np.full_like(before, np.inf)
        straight = np.minimum(last[top:bottom], last[top + 1 : bottom + 1])
        current[top + 1 : bottom + 1] = np.minimum(straight, before[top:bottom] + here) + here
        ending = np.flatnonzero(n + m - 2 == diagonal)
        result[ending] = current[n[ending], ending]
        before, last = last, current
    return result / (n + m).astype(np.float32)
