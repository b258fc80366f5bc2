"""Directions in which the same word from different voices differs little, and different words much."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

_ROWS_AT_ONCE, _COLUMNS_AT_ONCE = 2048, 16384
_RIDGE = 2e-3  # of the mean variance, on the diagonal of the covariance within pairs


def neighbour_pairs(
    vectors: np.ndarray, speaker: np.ndarray, asked: np.ndarray, kept: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of words that are probably the same: a word and its nearest neighbour among those of other speakers.

    Parameters
    ----------
    vectors : ndarray [shape=(n, vector_size)], float32
    speaker : ndarray [shape=(n,)], int
        Two or more speakers.
    asked : ndarray [shape=(m,)], int
        Positions of the words whose neighbours are searched for.
    kept : float
        Share of the pairs that is returned: those that lie closest.

    Returns
    -------
    first, second : ndarray [shape=(ceil(kept * m),)], int64
        Positions.
    """
    squares = (vectors**2).sum(axis=1)
    distance = np.full(len(asked), np.inf, dtype=np.float32)
    found = np.zeros(len(asked), dtype=np.int64)
    for start in range(0, len(asked), _ROWS_AT_ONCE):
        here = slice(start, start + _ROWS_AT_ONCE)
        query, best, at = asked[here], distance[here], found[here]
        for first in range(0, len(vectors), _COLUMNS_AT_ONCE):
            there = slice(first, first + _COLUMNS_AT_ONCE)
            squared = squares[query, None] + squares[there] - 2 * vectors[query] @ vectors[there].T
            squared[speaker[query, None] == speaker[there]] = np.inf
            column = squared.argmin(axis=1)
            value = squared[np.arange(len(query)), column]
            closer = value < best
            best[closer], at[closer] = value[closer], first + column[closer]
    order = np.argsort(distance, kind="stable")[: int(np.ceil(kept * len(asked)))]
    order = order[np.isfinite(distance[order])]
    return asked[order], found[order]


def named_pairs(
    word: np.ndarray, speaker: np.ndarray, n_pairs: int, draw: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of one word from two speakers, as many of a rare word as of a frequent one where there are enough.

    Parameters
    ----------
    word : ndarray [shape=(n,)], int
        Below 0 where the word is not known.
    speaker : ndarray [shape=(n,)], int
    n_pairs : int
        At most.
    draw : numpy Generator

    Returns
    -------
    first, second : ndarray [shape=(m,)], int64
        Positions; fewer than `n_pairs` where words are few.
    """
    known = draw.permutation(np.flatnonzero(word >= 0))
    known = known[np.argsort(word[known], kind="stable")]  # each word's instances in random order
    first, second = known[:-1], known[1:]
    pair = (word[first] == word[second]) & (speaker[first] != speaker[second])
    first, second = first[pair], second[pair]
    of_word = np.arange(len(first)) - np.searchsorted(word[first], word[first])
    chosen = np.argsort(of_word, kind="stable")[:n_pairs]
    return first[chosen], second[chosen]


def discriminant(vectors: np.ndarray, differences: np.ndarray, n_directions: int) -> np.ndarray:
    """Linear discriminant analysis from pairs of the same word: a map to where differences within pairs are white.

    Parameters
    ----------
    vectors : ndarray [shape=(n, vector_size)], float32
    differences : ndarray [shape=(n_pairs, vector_size)], float32
        Between the two words of each pair.
    n_directions : int
        How many directions of largest variance are kept, in the space where the covariance within pairs is 1.

    Returns
    -------
    ndarray [shape=(vector_size, min(n_directions, vector_size))], float32
    """
    within = differences.T.astype(np.float64) @ differences / (2 * len(differences))
    total = np.atleast_2d(np.cov(vectors.T.astype(np.float64)))
    within += _RIDGE * np.trace(total) / len(total) * np.eye(len(total))
    _, directions = eigh(total, within)
    return np.ascontiguousarray(directions[:, ::-1][:, :n_directions], dtype=np.float32)
