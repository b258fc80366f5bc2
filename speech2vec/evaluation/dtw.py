"""Dynamic time warping of word instances: the classical way to compare two spoken words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import librosa
import numpy as np

from speech2vec.runtime.seeds import WARPED_SAMPLE, generator

_STEPS = np.array([[1, 1], [0, 1], [1, 0]])
_WEIGHTS = np.array([2.0, 1.0, 1.0])


def dtw_distances(segments: Sequence[np.ndarray], pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """Normalised DTW distances with the cosine distance between frames.

    The symmetric form of Sakoe & Chiba (1978) without a slope constraint: a diagonal step has a weight of 2, the two
    others of 1. The weights of every path then sum to n + m, by which the distance is divided.

    Parameters
    ----------
    segments : sequence of ndarray [shape=(n_frames_i, n_features)]
        Each at least one frame long.
    pairs : iterable of (int, int)
        Indices into `segments`.

    Returns
    -------
    ndarray [shape=(n_pairs,)], float32
        Between 0 (identical) and 2.

    Raises
    ------
    ValueError
        A segment has no frames.

    Examples
    --------
    >>> slow = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> fast = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> float(dtw_distances([slow, fast], [(0, 1)])[0])
    0.0
    """
    for number, segment in enumerate(segments):
        if len(segment) == 0:
            raise ValueError(f"segment {number} has no frames")
    units = [librosa.util.normalize(np.asarray(segment, dtype=np.float32), norm=2, axis=1) for segment in segments]
    distances = []
    for i, j in pairs:
        cost = np.maximum(1.0 - units[i] @ units[j].T, 0.0)  # rounding may push a cosine past 1
        total = librosa.sequence.dtw(C=cost, step_sizes_sigma=_STEPS, weights_mul=_WEIGHTS, backtrack=False)
        # librosa gives the first cell a weight of 1, the symmetric form one of 2.
        distances.append((total[-1, -1] + cost[0, 0]) / sum(cost.shape))
    return np.array(distances, dtype=np.float32)


def sample_whole_words(word_id: np.ndarray, max_instances: int, seed: int) -> np.ndarray:
    """A sample that has same-word pairs: all instances of one word after another, in seeded order.

    Parameters
    ----------
    word_id : ndarray [shape=(n_instances,)], int
    max_instances : int
        At most a tenth of them are of one word.
    seed : int

    Returns
    -------
    ndarray [shape=(n_chosen,)], int64
        Ascending indices.
    """
    draw = generator(seed, WARPED_SAMPLE)
    most = max(2, max_instances // 10)
    chosen: list[np.ndarray] = []
    left = max_instances
    for word in draw.permutation(np.unique(word_id)):
        if left < 2:
            break
        rows = draw.permutation(np.flatnonzero(word_id == word))[: min(most, left)]
        chosen.append(rows)
        left -= len(rows)
    return np.sort(np.concatenate(chosen))
