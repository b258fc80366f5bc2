"""Average precision over all pairs of word instances, with its interval and its chance level.

Pairs that share a word are not independent, so words are resampled and not pairs (Snijders & Borgatti 1999,
"Non-parametric standard errors and tests for network statistics", with words as the vertices): a pair of instances of
word a counts as often as a was drawn, a pair of a and b ``times[a] * times[b]`` times. Recounting the pairs of two
words for every draw would be slow; their number above a similarity is estimated as if those of a and b were
proportional to the product of the two words' totals. A thousand draws then cost three matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import digamma

from speech2vec.evaluation.bootstrap import Estimate, draw_groups, percentile_interval
from speech2vec.evaluation.instance_pairs import (
    DifferentWordPairs,
    SameWordPairs,
    count_by_word,
    count_different_word_pairs,
    same_word_pairs,
)
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import WORD_BOOTSTRAP, generator
from speech2vec.vectors.word_vectors import unit_length

MIN_WORDS = 10  # resamples of fewer words are so alike that their spread says nothing


@dataclass(frozen=True)
class Precision:
    """Average precision over one set of pairs.

    Parameters
    ----------
    ap : float
        NaN if no pair is of one word.
    n_same, n_different : int
        Number of pairs of one word, and of two words.
    drawn : ndarray [shape=(n_resamples,)]
        Average precision of each bootstrap resample of the words, NaN for a resample without a pair of one word; empty
        if there is no interval (under `MIN_WORDS` words). Resamples are the same for all encoders of the same instances
        and seed.
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
        """Lower end of the 95 % interval; NaN if there is none."""
        return float(np.maximum(self._interval[0], 0.0))

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval; NaN if there is none."""
        return float(np.minimum(self._interval[1], 1.0))

    @property
    def chance(self) -> float:
        """Expected average precision of a random ranking of these pairs; NaN if no pair is of one word.

        Slightly more than the share of same-word pairs: for R of N pairs (H_N + (R - 1) / (N - 1) (N - H_N)) / N with
        the harmonic number H_N, since a pair that is ranked first has found itself.
        """
        n = self.n_same + self.n_different
        if self.n_same == 0:
            return float("nan")
        harmonic = float(digamma(n + 1) + np.euler_gamma)
        return (harmonic + (self.n_same - 1) / max(n - 1, 1) * (n - harmonic)) / n

    def difference(self, other: Precision) -> Estimate | None:
        """Average precision minus that of `other`, with the interval of the difference; None if there is none.

        Both are of the same instances and seed: each resample holds the same words for both, so that what makes words
        easy or hard for both cancels out.
        """
        if not len(self.drawn) or not len(other.drawn):
            return None
        return Estimate(self.ap - other.ap, *percentile_interval(self.drawn - other.drawn))


@dataclass(frozen=True)
class PairPrecision:
    """How well pairs of one word are told from pairs of two words.

    Parameters
    ----------
    n_instances : int
    all_pairs : Precision
        Over all pairs of instances.
    across_speakers : Precision
        Over the pairs of two speakers only, same and different word alike.
    """

    n_instances: int
    all_pairs: Precision
    across_speakers: Precision

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: None for NaN."""
        row: dict[str, Any] = {"n_instances": self.n_instances}
        for over, precision in (("", self.all_pairs), ("_cross_speaker", self.across_speakers)):
            for name in ("ap", "low", "high", "n_same", "n_different", "chance"):
                row[f"{name}{over}"] = getattr(precision, name)
        return {key: None if value != value else value for key, value in row.items()}


def precision_of_vectors(vectors: np.ndarray, word_id: np.ndarray, speaker: np.ndarray, seed: int = 0) -> PairPrecision:
    """Rank all pairs of instances by cosine. Memory stays at about 200 MB, however many instances there are.

    Parameters
    ----------
    vectors : ndarray [shape=(n_instances, vector_size)]
    word_id, speaker : ndarray [shape=(n_instances,)], int
    seed : int
        Of the bootstrap.

    Raises
    ------
    ValueError
        The numbers of vectors, words and speakers differ.
    UserError
        Every word has one instance, there are fewer than two words, or a vector holds NaN or infinity.

    Examples
    --------
    >>> vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    >>> precision_of_vectors(vectors, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])).all_pairs.ap
    1.0
    """
    vectors, word_id, speaker = np.asarray(vectors), np.asarray(word_id), np.asarray(speaker)
    if not len(vectors) == len(word_id) == len(speaker):
        raise ValueError(f"{len(vectors)} vectors, {len(word_id)} words and {len(speaker)} speakers differ in number")
    if not np.isfinite(vectors).all():
        raise UserError("vectors of instances hold NaN or infinity: the model has diverged")
    # Sorted by word, so that the pairs of one word are blocks on the diagonal.
    order = np.argsort(word_id, kind="stable")
    unit, speaker = vectors[order].astype(np.float64), speaker[order]
    unit_length(unit)
    types, starts, word = np.unique(word_id[order], return_index=True, return_inverse=True)
    _check_words(len(unit), len(types))
    same = same_word_pairs(unit, speaker, starts)
    different, one_speaker = count_different_word_pairs(unit, word, speaker, starts, same)
    return _pair_precision(len(unit), same, different, one_speaker, seed)


def precision_of_distances(
    distances: np.ndarray, word_id: np.ndarray, speaker: np.ndarray, seed: int = 0
) -> PairPrecision:
    """Rank all pairs of instances by distances computed elsewhere (dynamic time warping).

    Parameters
    ----------
    distances : ndarray [shape=(n_instances * (n_instances - 1) / 2,)]
        Of the pairs in the order of ``numpy.triu_indices(n_instances, 1)``.
    word_id, speaker : ndarray [shape=(n_instances,)], int
    seed : int
        Of the bootstrap.

    Raises
    ------
    UserError
        Every word has one instance, or there are fewer than two words.
    """
    types, word = np.unique(word_id, return_inverse=True)
    _check_words(len(word), len(types))
    rows, columns = np.triu_indices(len(word), k=1)
    is_same, is_cross = word[rows] == word[columns], speaker[rows] != speaker[columns]
    similarity = -np.asarray(distances)
    same = SameWordPairs(similarity[is_same], word[rows[is_same]], is_cross[is_same], len(types))
    level = np.searchsorted(same.levels, similarity, side="right")
    different, one_speaker = DifferentWordPairs.empty(same), DifferentWordPairs.empty(same)
    for pairs, chosen in ((different, ~is_same), (one_speaker, ~is_same & ~is_cross)):
        pairs.add(same.thresholds, similarity[chosen], level[chosen], word[rows[chosen]], word[columns[chosen]])
    return _pair_precision(len(word), same, different, one_speaker, seed)


def _check_words(n_instances: int, n_words: int) -> None:
    if n_words in (0, 1, n_instances):
        raise UserError(
            "same-different needs at least two words, and a word with two instances or more; "
            f"there are {n_instances} instances of {n_words} words"
        )


def _pair_precision(
    n_instances: int, same: SameWordPairs, different: DifferentWordPairs, one_speaker: DifferentWordPairs, seed: int
) -> PairPrecision:
    level = np.searchsorted(same.levels, same.similarity, side="right")

    def precision(chosen: np.ndarray, above: np.ndarray, by_word: np.ndarray, n_different: int) -> Precision:
        ap = _average_precision(same.similarity[chosen], same.thresholds, above)
        same_by_word = count_by_word(same.word[chosen], level[chosen], *by_word.shape)
        return Precision(ap, int(chosen.sum()), n_different, _resample_words(ap, same_by_word, by_word, seed))

    return PairPrecision(
        n_instances=n_instances,
        all_pairs=precision(np.ones_like(same.is_cross), different.above, different.by_word, different.n),
        across_speakers=precision(
            same.is_cross,
            different.above - one_speaker.above,
            different.by_word - one_speaker.by_word,
            different.n - one_speaker.n,
        ),
    )


def _average_precision(similarity: np.ndarray, thresholds: np.ndarray, different_above: np.ndarray) -> float:
    """From same-word similarities and the different-word pairs at or above each threshold; ties count together."""
    if len(similarity) == 0:
        return float("nan")
    same = np.bincount(np.searchsorted(thresholds, similarity), minlength=len(thresholds))
    above = np.cumsum(same[::-1])[::-1]
    counted = same > 0
    precision = above[counted] / (above[counted] + different_above[counted])
    return float((same[counted] * precision).sum() / len(similarity))


def _resample_words(ap: float, same: np.ndarray, different: np.ndarray, seed: int) -> np.ndarray:
    """Average precision of each bootstrap resample of the words [shape=(n_resamples,)]; see `Precision.drawn`.

    Parameters
    ----------
    ap : float
        The average precision itself.
    same, different : ndarray [shape=(n_words, n_levels)], int
        Pairs of each word at each level, with the word's own instances and with those of other words.
    seed : int
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
    # Counting at levels makes all of them slightly too low, by the same amount.
    return drawn[1:] - drawn[0] + ap
