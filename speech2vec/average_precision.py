"""Average precision over pairs, and its interval: words are drawn again, and with them all pairs that they are in.

The pairs of a word are not independent of one another, nor are those of two words of others with the same words; so
words are drawn with replacement, as the vertices of a network are (Snijders & Borgatti 1999, "Non-parametric standard
errors and tests for network statistics"): a pair of one word counts as often as the word was drawn, a pair of two
words as often as the one times as often as the other. How many pairs of two words lie above a similarity is told from
how many each word is in, as if each shared them with all others; so a thousand draws cost three products of matrices.
"""

from __future__ import annotations

import numpy as np

from speech2vec.estimates import draw_groups
from speech2vec.seeds import generator

# Draws of fewer words are so alike that their spread says nothing.
MIN_WORDS = 10

# Similarities at which pairs are counted: a level fits into a byte, and 0 is below all.
_MOST_LEVELS = 250


def average_precision(similarity: np.ndarray, relevant: np.ndarray) -> float:
    """Average precision of a ranking, pairs of equal similarity counted together.

    Parameters
    ----------
    similarity : ndarray [shape=(n_pairs,)]
    relevant : ndarray [shape=(n_pairs,)], bool

    Returns
    -------
    float
        NaN where no pair is relevant.
    """
    similarity, relevant = np.asarray(similarity), np.asarray(relevant, dtype=bool)
    thresholds, counts = np.unique(similarity[relevant], return_counts=True)
    return precision_of_counts(counts, at_or_above(thresholds, similarity[~relevant]))


def at_or_above(thresholds: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How many of `values` are at or above each of the ascending `thresholds`."""
    # With both sides sorted, searchsorted walks through memory instead of jumping.
    return len(values) - np.searchsorted(np.sort(values), thresholds, side="left")


def precision_of_counts(relevant: np.ndarray, irrelevant_above: np.ndarray) -> float:
    """From the relevant pairs at each ascending threshold and the irrelevant pairs at or above it."""
    n_relevant = int(relevant.sum())
    if n_relevant == 0:
        return float("nan")
    above = np.cumsum(relevant[::-1])[::-1]
    counted = relevant > 0
    precision = above[counted] / (above[counted] + irrelevant_above[counted])
    return float((relevant[counted] * precision).sum() / n_relevant)


def levels_of(similarity: np.ndarray) -> np.ndarray:
    """Similarities that cut the pairs of one word into parts of like size, ascending [shape=(n_levels,)]."""
    ordered = np.sort(similarity)
    return np.unique(ordered[np.arange(_MOST_LEVELS) * len(ordered) // _MOST_LEVELS])


def count_by_word(word: np.ndarray, level: np.ndarray, n_words: int, n_levels: int) -> np.ndarray:
    """How many pairs each word has at each level.

    Parameters
    ----------
    word : ndarray [shape=(n_pairs,)], int
    level : ndarray [shape=(n_pairs,)], int
        How many of the levels lie at or below the pair's similarity; a pair of 0 is not counted.
    n_words, n_levels : int

    Returns
    -------
    ndarray [shape=(n_words, n_levels)], int64
    """
    cells = np.bincount((word * (n_levels + 1) + level).ravel(), minlength=n_words * (n_levels + 1))
    return cells.reshape(n_words, n_levels + 1)[:, 1:]


def precision_interval(ap: float, same: np.ndarray, different: np.ndarray, seed: int) -> tuple[float, float]:
    """The middle 95 % of the average precisions of words drawn with replacement.

    Parameters
    ----------
    ap : float
        The average precision itself.
    same : ndarray [shape=(n_words, n_levels)], int
        A word's pairs of two of its instances at each level.
    different : ndarray [shape=(n_words, n_levels)], int
        A word's pairs with instances of other words; so each pair is there twice.
    seed : int

    Returns
    -------
    low, high : float
        NaN with fewer than `MIN_WORDS` words, or without a pair of one word.
    """
    if len(same) < MIN_WORDS or not same.any():
        return float("nan"), float("nan")
    _, times = draw_groups(np.arange(len(same)), generator(seed, 8))
    times = np.concatenate([np.ones((1, len(same))), times])  # the first: the words as they are
    at_level = times @ same
    same_above = np.cumsum(at_level[:, ::-1], axis=1)[:, ::-1]
    each_above = np.cumsum(different[:, ::-1], axis=1)[:, ::-1].astype(np.float64)
    # Twice what two words share, were the pairs of each spread over all others; of the words as they are, all pairs.
    shared = (times @ each_above) ** 2 - times**2 @ each_above**2
    whole = each_above.sum(axis=0) / 2
    different_above = np.divide(shared * whole, shared[0], out=np.zeros_like(shared), where=shared[0] > 0)
    above = same_above + different_above
    precision = np.divide(same_above, above, out=np.zeros_like(above), where=above > 0)
    n_same = at_level.sum(axis=1)
    drawn = (at_level * precision).sum(axis=1)[n_same > 0] / n_same[n_same > 0]
    # Counted at levels, all are a little too low, and alike.
    low, high = np.quantile(drawn[1:] - drawn[0], [0.025, 0.975]) + ap
    return float(max(low, 0.0)), float(min(high, 1.0))
