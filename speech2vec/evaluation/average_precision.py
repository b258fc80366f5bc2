"""Average precision over pairs of instances, what it may vary by, and what chance would give.

Pairs that share a word are not independent, so words are drawn with replacement and not pairs (Snijders & Borgatti
1999, "Non-parametric standard errors and tests for network statistics", as the vertices of a network): a pair within
the word a counts as often as a was drawn, a pair of a and b ``times[a] * times[b]`` times. Counting the pairs of two
words anew for each draw would be slow; their number above a similarity is estimated as if those of a and b were
proportional to the product of the two words' totals. A thousand draws then cost three products of matrices.

All pairs of instances by their cosine: of one word, and of two words, counted without holding them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.special import digamma

from speech2vec.evaluation.bootstrap import Estimate, draw_groups, percentile_interval
from speech2vec.runtime.seeds import WORD_BOOTSTRAP, generator

# Draws of fewer words are so alike that their spread says nothing.
MIN_WORDS = 10


# Similarities at which pairs are counted: a level fits into a byte, and 0 is below all.
_MOST_LEVELS = 250


@dataclass(frozen=True)
class Precision:
    """Average precision over one set of pairs.

    Parameters
    ----------
    ap : float
        NaN where no pair is of one word.
    n_same, n_different : int
        Pairs of one word, and of two.
    drawn : ndarray [shape=(n_resamples,)]
        Average precisions of words drawn with replacement, NaN for a draw without a pair of one word; empty where there
        is no interval (under `MIN_WORDS` words). The same for all representations of the same instances and seed.
    """

    ap: float
    n_same: int
    n_different: int
    drawn: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False, compare=False)

    @cached_property
    def _interval(self) -> tuple[float, float]:
        return percentile_interval(self.drawn)

    @property
    def low(self) -> float:
        """The lower end of the 95 % interval; NaN if there is none."""
        return float(np.maximum(self._interval[0], 0.0))

    @property
    def high(self) -> float:
        """The upper end of the 95 % interval; NaN if there is none."""
        return float(np.minimum(self._interval[1], 1.0))

    @property
    def chance(self) -> float:
        """What a random ranking of these pairs has in the mean; NaN where no pair is of one word.

        A little more than the share of same-word pairs: for R of N pairs (H_N + (R - 1) / (N - 1) (N - H_N)) / N with
        the harmonic number H_N, since a pair that is found first has found itself.
        """
        n = self.n_same + self.n_different
        if self.n_same == 0:
            return float("nan")
        harmonic = float(digamma(n + 1) + np.euler_gamma)
        return (harmonic + (self.n_same - 1) / max(n - 1, 1) * (n - harmonic)) / n

    def difference(self, other: Precision) -> Estimate | None:
        """How much higher than `other`'s this is, with the interval of the difference; None if there is none.

        Both are of the same instances and seed: the words of each draw are the same, so that what makes words easy or
        hard for both drops out.
        """
        if not len(self.drawn) or not len(other.drawn):
            return None
        return Estimate(self.ap - other.ap, *percentile_interval(self.drawn - other.drawn))


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


def drawn_precisions(ap: float, same: np.ndarray, different: np.ndarray, seed: int) -> np.ndarray:
    """The average precisions of words drawn with replacement.

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
    ndarray [shape=(n_resamples,)]
        NaN for a draw without a pair of one word; empty with fewer than `MIN_WORDS` words, or without any such pair.
    """
    if len(same) < MIN_WORDS or not same.any():
        return np.empty(0)
    _, times = draw_groups(np.arange(len(same)), generator(seed, WORD_BOOTSTRAP))
    times = np.concatenate([np.ones((1, len(same))), times])  # the first: the words as they are
    at_level = times @ same
    same_above = np.cumsum(at_level[:, ::-1], axis=1)[:, ::-1]
    each_above = np.cumsum(different[:, ::-1], axis=1)[:, ::-1].astype(np.float64)
    # Different-word pairs of a draw, those of a and b taken as proportional to each[a] * each[b]; scaled so that the
    # words as they are have exactly all of theirs.
    shared = (times @ each_above) ** 2 - times**2 @ each_above**2
    whole = each_above.sum(axis=0) / 2
    different_above = np.divide(shared * whole, shared[0], out=np.zeros_like(shared), where=shared[0] > 0)
    above = same_above + different_above
    precision = np.divide(same_above, above, out=np.zeros_like(above), where=above > 0)
    n_same = at_level.sum(axis=1)
    summed = (at_level * precision).sum(axis=1)
    drawn = np.divide(summed, n_same, out=np.full(len(times), np.nan), where=n_same > 0)
    # Counted at levels, all are a little too low, and alike.
    return drawn[1:] - drawn[0] + ap


_PAIRS_A_BLOCK = 4_000_000


# A cosine of 1, counted in steps that a float32 holds.
_STEPS = 2**23


def _cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    # In whole steps: pairs that are equal stay equal, in whichever order their products were summed.
    return np.rint((left @ right.T) * _STEPS).astype(np.float32)


@dataclass(frozen=True)
class SameWordPairs:
    """The pairs of one word [shape=(n_pairs,)]: cosine, word, whether they are of two speakers."""

    similarity: np.ndarray
    word: np.ndarray
    is_cross: np.ndarray


def same_word_pairs(unit: np.ndarray, speaker: np.ndarray, starts: np.ndarray) -> SameWordPairs:
    """Of instances in the order of words, each of which begins at one of `starts`."""
    similarity, word, cross = [], [], []
    for number, (first, last) in enumerate(zip(starts, np.append(starts[1:], len(unit)), strict=True)):
        rows, columns = np.triu_indices(last - first, k=1)
        similarity.append(_cosines(unit[first:last], unit[first:last])[rows, columns])
        word.append(np.full(len(rows), number))
        cross.append(speaker[first + rows] != speaker[first + columns])
    return SameWordPairs(np.concatenate(similarity), np.concatenate(word), np.concatenate(cross))


@dataclass
class DifferentWordPairs:
    """How many pairs of two words lie at or above each threshold, and each word's at each level."""

    above: np.ndarray
    by_word: np.ndarray
    n: int = 0


def different_word_pairs(
    unit: np.ndarray,
    word: np.ndarray,
    speaker: np.ndarray,
    starts: np.ndarray,
    thresholds: np.ndarray,
    levels: np.ndarray,
) -> tuple[DifferentWordPairs, DifferentWordPairs]:
    """All pairs of two words; and those of one speaker, so few that the many others need no ranking of their own."""
    n, n_words, n_levels = len(unit), len(starts), len(levels)
    all_pairs, one_speaker = (
        DifferentWordPairs(np.zeros(len(thresholds), dtype=np.int64), np.zeros((n_words, n_levels), dtype=np.int64))
        for _ in range(2)
    )
    level_of = np.repeat(  # of every value that a cosine in steps can have
        np.arange(n_levels + 1, dtype=np.uint8), np.diff([-_STEPS, *levels.astype(np.int64), _STEPS + 1])
    )
    # Each instance against all of later words: the upper triangle without the blocks of one word.
    later = np.append(starts[1:], n)[word]
    step = max(1, _PAIRS_A_BLOCK // n)
    for first in range(0, int(starts[-1]), step):
        last, column = min(first + step, n), int(later[first])
        similarity = _cosines(unit[first:last], unit[column:])
        different = np.arange(column, n) >= later[first:last, None]
        one = different & (speaker[column:] == speaker[first:last, None])
        for pairs, chosen in ((all_pairs, different), (one_speaker, one)):
            row, other = np.nonzero(chosen)
            cosines = similarity[row, other]
            level = level_of[cosines.astype(np.int64) + _STEPS]
            pairs.above += at_or_above(thresholds, cosines)
            pairs.by_word += count_by_word(word[first + row], level, n_words, n_levels)
            pairs.by_word += count_by_word(word[column + other], level, n_words, n_levels)
            pairs.n += len(cosines)
    return all_pairs, one_speaker
