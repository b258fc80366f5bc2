"""Same-different word discrimination: do two instances of one word lie closer than instances of two words?

Every pair of instances is ranked by its similarity and the ranking is scored by its average precision, with the
pairs of one word as the relevant ones (Carlin et al. 2011, "Rapid evaluation of speech representations for spoken
term discovery"). No classifier is trained, so the measure tells about the representation alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from speech2vec.errors import UserError
from speech2vec.precision_interval import count_by_word, levels_of, precision_interval
from speech2vec.runs import generator

# As in the studies that follow Carlin et al. (Kamper et al. 2016, for one): short words are too easily confused.
MIN_CHARACTERS = 5
MIN_SECONDS = 0.5
MAX_INSTANCES = 10_000

_PAIRS_A_BLOCK = 4_000_000
# A cosine of 1, counted in steps that a float32 holds.
_STEPS = 2**23


@dataclass(frozen=True)
class SameDifferent:
    """Average precision of telling pairs of one word from pairs of two.

    Parameters
    ----------
    ap, low, high : float
        Over all pairs of instances, and its 95 % interval (bootstrap over words, see `precision_interval`); NaN for the
        interval under ten words.
    ap_cross_speaker, low_cross_speaker, high_cross_speaker : float
        Over the pairs of two speakers only, same and different word alike; NaN where there is no such pair.
    n_instances : int
    n_same, n_different : int
        Pairs of one word, and of two.
    n_same_cross_speaker, n_different_cross_speaker : int
    """

    ap: float
    low: float
    high: float
    ap_cross_speaker: float
    low_cross_speaker: float
    high_cross_speaker: float
    n_instances: int
    n_same: int
    n_different: int
    n_same_cross_speaker: int
    n_different_cross_speaker: int

    @property
    def chance(self) -> float:
        """What a random ranking expects: the share of same-word pairs."""
        return self.n_same / (self.n_same + self.n_different)

    @property
    def chance_cross_speaker(self) -> float:
        """What a random ranking of the cross-speaker pairs expects; NaN where there is no such pair."""
        pairs = self.n_same_cross_speaker + self.n_different_cross_speaker
        return self.n_same_cross_speaker / pairs if pairs else float("nan")

    def to_json(self) -> dict[str, Any]:
        """As JSON takes it: None for NaN."""
        row = {**asdict(self), "chance": self.chance, "chance_cross_speaker": self.chance_cross_speaker}
        return {key: None if value != value else value for key, value in row.items()}


def select_instances(
    types: Sequence[str],
    word_id: np.ndarray,
    seconds: np.ndarray,
    min_characters: int = MIN_CHARACTERS,
    min_seconds: float = MIN_SECONDS,
    max_instances: int | None = MAX_INSTANCES,
    seed: int = 0,
) -> np.ndarray:
    """The instances that are compared: long words that are said at least twice, at most `max_instances` of them.

    Parameters
    ----------
    types : sequence of str
        The vocabulary.
    word_id : ndarray [shape=(n_words,)], int
        Each instance's index in `types`.
    seconds : ndarray [shape=(n_words,)]
        Each instance's duration.
    min_characters : int
        Letters of the spelling, apostrophes not counted.
    min_seconds : float, seconds
    max_instances : int or None
        A seeded random sample is drawn where there are more.

    Returns
    -------
    ndarray [shape=(n_instances,)], int64
        Indices of instances, ascending.
    """
    word_id, seconds = np.asarray(word_id), np.asarray(seconds)
    long_enough = np.array([len(word.replace("'", "")) >= min_characters for word in types], dtype=bool)
    # Word times are multiples of a hop: a word of exactly 0.5 s must not be lost to 0.49999999.
    candidates = np.flatnonzero(long_enough[word_id] & (seconds >= min_seconds - 1e-6))
    counts = np.bincount(word_id[candidates], minlength=len(types))
    candidates = candidates[counts[word_id[candidates]] >= 2]
    if max_instances is not None and len(candidates) > max_instances:
        candidates = np.sort(generator(seed).choice(candidates, max_instances, replace=False))
    return candidates.astype(np.int64)


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
    return _average_precision(counts, _at_or_above(thresholds, similarity[~relevant]))


def _at_or_above(thresholds: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How many of `values` are at or above each of the ascending `thresholds`."""
    # With both sides sorted, searchsorted walks through memory instead of jumping.
    return len(values) - np.searchsorted(np.sort(values), thresholds, side="left")


def _average_precision(relevant: np.ndarray, irrelevant_above: np.ndarray) -> float:
    """From the relevant pairs at each ascending threshold and the irrelevant pairs at or above it."""
    n_relevant = int(relevant.sum())
    if n_relevant == 0:
        return float("nan")
    above = np.cumsum(relevant[::-1])[::-1]
    counted = relevant > 0
    precision = above[counted] / (above[counted] + irrelevant_above[counted])
    return float((relevant[counted] * precision).sum() / n_relevant)


def _unit_length(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


def _cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    # In whole steps: pairs that are equal stay equal, in whichever order their products were summed.
    return np.rint((left @ right.T) * _STEPS).astype(np.float32)


def same_different(
    vectors: np.ndarray,
    word_id: np.ndarray,
    speaker: np.ndarray,
    max_instances: int | None = MAX_INSTANCES,
    seed: int = 0,
) -> SameDifferent:
    """Same-different average precision by cosine over all pairs of instances.

    Memory stays at some two hundred megabytes, whatever the number of instances.

    Parameters
    ----------
    vectors : ndarray [shape=(n_instances, vector_size)]
    word_id : ndarray [shape=(n_instances,)], int
    speaker : ndarray [shape=(n_instances,)], int
    max_instances : int or None
        A seeded random sample is drawn where there are more.
    seed : int
        Of the sample and of the interval.

    Raises
    ------
    ValueError
        The numbers of vectors, words and speakers differ.
    UserError
        No two instances are of one word, or all are: nothing can be told apart. Or a vector is not a finite number.

    Examples
    --------
    >>> vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    >>> same_different(vectors, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])).ap
    1.0
    """
    vectors, word_id, speaker = np.asarray(vectors), np.asarray(word_id), np.asarray(speaker)
    if not len(vectors) == len(word_id) == len(speaker):
        raise ValueError(f"{len(vectors)} vectors, {len(word_id)} words and {len(speaker)} speakers differ in number")
    if not np.isfinite(vectors).all():
        raise UserError("some instances' vectors are not finite numbers: the model they come from has diverged")
    if max_instances is not None and len(vectors) > max_instances:
        chosen = np.sort(generator(seed).choice(len(vectors), max_instances, replace=False))
        vectors, word_id, speaker = vectors[chosen], word_id[chosen], speaker[chosen]
    # By word, so that the pairs of one word are blocks on the diagonal.
    order = np.argsort(word_id, kind="stable")
    unit, speaker = _unit_length(vectors[order]), speaker[order]
    types, starts, word = np.unique(word_id[order], return_index=True, return_inverse=True)
    if len(types) in (0, 1, len(unit)):
        raise UserError(
            f"same-different needs words that are said at least twice, and at least two words; "
            f"here {len(unit)} instances are of {len(types)} words"
        )
    same = _same_word_pairs(unit, speaker, starts)
    thresholds, at_threshold, n_same = np.unique(same.similarity, return_inverse=True, return_counts=True)
    n_same_cross = np.bincount(at_threshold[same.is_cross], minlength=len(thresholds))
    levels = levels_of(same.similarity)
    different, one_speaker = _different_word_pairs(unit, word, speaker, starts, thresholds, levels)
    ap = _average_precision(n_same, different.above)
    ap_cross = _average_precision(n_same_cross, different.above - one_speaker.above)
    level = np.searchsorted(levels, same.similarity, side="right")
    by_word = count_by_word(same.word, level, len(types), len(levels))
    by_word_cross = count_by_word(same.word[same.is_cross], level[same.is_cross], len(types), len(levels))
    low, high = precision_interval(ap, by_word, different.by_word, seed)
    low_cross, high_cross = precision_interval(ap_cross, by_word_cross, different.by_word - one_speaker.by_word, seed)
    return SameDifferent(
        ap=ap,
        low=low,
        high=high,
        ap_cross_speaker=ap_cross,
        low_cross_speaker=low_cross,
        high_cross_speaker=high_cross,
        n_instances=len(unit),
        n_same=len(same.similarity),
        n_different=different.n,
        n_same_cross_speaker=int(same.is_cross.sum()),
        n_different_cross_speaker=different.n - one_speaker.n,
    )


@dataclass(frozen=True)
class _SameWordPairs:
    """The pairs of one word [shape=(n_pairs,)]: cosine, word, whether they are of two speakers."""

    similarity: np.ndarray
    word: np.ndarray
    is_cross: np.ndarray


def _same_word_pairs(unit: np.ndarray, speaker: np.ndarray, starts: np.ndarray) -> _SameWordPairs:
    """Of instances in the order of words, each of which begins at one of `starts`."""
    similarity, word, cross = [], [], []
    for number, (first, last) in enumerate(zip(starts, np.append(starts[1:], len(unit)), strict=True)):
        rows, columns = np.triu_indices(last - first, k=1)
        similarity.append(_cosines(unit[first:last], unit[first:last])[rows, columns])
        word.append(np.full(len(rows), number))
        cross.append(speaker[first + rows] != speaker[first + columns])
    return _SameWordPairs(np.concatenate(similarity), np.concatenate(word), np.concatenate(cross))


@dataclass
class _DifferentWordPairs:
    """How many pairs of two words lie at or above each threshold, and each word's at each level."""

    above: np.ndarray
    by_word: np.ndarray
    n: int = 0


def _different_word_pairs(
    unit: np.ndarray,
    word: np.ndarray,
    speaker: np.ndarray,
    starts: np.ndarray,
    thresholds: np.ndarray,
    levels: np.ndarray,
) -> tuple[_DifferentWordPairs, _DifferentWordPairs]:
    """All pairs of two words; and those of one speaker, so few that the many others need no ranking of their own."""
    n, n_words, n_levels = len(unit), len(starts), len(levels)
    all_pairs, one_speaker = (
        _DifferentWordPairs(np.zeros(len(thresholds), dtype=np.int64), np.zeros((n_words, n_levels), dtype=np.int64))
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
            pairs.above += _at_or_above(thresholds, cosines)
            pairs.by_word += count_by_word(word[first + row], level, n_words, n_levels)
            pairs.by_word += count_by_word(word[column + other], level, n_words, n_levels)
            pairs.n += len(cosines)
    return all_pairs, one_speaker


def same_different_from_distances(
    distances: np.ndarray, word_id: np.ndarray, speaker: np.ndarray, seed: int = 0
) -> SameDifferent:
    """The same measure from distances computed elsewhere (dynamic time warping).

    Parameters
    ----------
    distances : ndarray [shape=(n_instances * (n_instances - 1) / 2,)]
        Of the pairs in the order of ``numpy.triu_indices(n_instances, 1)``.
    word_id, speaker : ndarray [shape=(n_instances,)], int
    seed : int
        Of the interval.

    Raises
    ------
    UserError
        No two instances are of one word, or all are.
    """
    rows, columns = np.triu_indices(len(word_id), k=1)
    same, cross = word_id[rows] == word_id[columns], speaker[rows] != speaker[columns]
    if not same.any() or same.all():
        raise UserError("same-different needs words that are said at least twice, and at least two words")
    similarity = -np.asarray(distances)
    types, word = np.unique(word_id, return_inverse=True)
    levels = levels_of(similarity[same])
    level = np.searchsorted(levels, similarity, side="right")

    def measured(chosen: np.ndarray) -> tuple[float, float, float]:
        ap = average_precision(similarity[chosen], same[chosen])
        first, second, other = chosen & same, chosen & ~same, (len(types), len(levels))
        of_two = [count_by_word(word[of][second], level[second], *other) for of in (rows, columns)]
        of_one = count_by_word(word[rows][first], level[first], *other)
        return ap, *precision_interval(ap, of_one, of_two[0] + of_two[1], seed)

    ap, low, high = measured(np.ones_like(cross))
    ap_cross, low_cross, high_cross = measured(cross)
    return SameDifferent(
        ap=ap,
        low=low,
        high=high,
        ap_cross_speaker=ap_cross,
        low_cross_speaker=low_cross,
        high_cross_speaker=high_cross,
        n_instances=len(word_id),
        n_same=int(same.sum()),
        n_different=int((~same).sum()),
        n_same_cross_speaker=int((same & cross).sum()),
        n_different_cross_speaker=int((~same & cross).sum()),
    )


def mean_frames(frames: np.ndarray, first_frame: np.ndarray, n_frames: np.ndarray) -> np.ndarray:
    """The baseline that hears no order: each instance as the mean of its MFCC frames.

    Parameters
    ----------
    frames : ndarray [shape=(total_frames, n_mfcc)]
    first_frame, n_frames : ndarray [shape=(n_instances,)], int

    Returns
    -------
    ndarray [shape=(n_instances, n_mfcc)], float32
    """
    return np.array(
        [
            frames[first : first + n].mean(axis=0, dtype=np.float64)
            for first, n in zip(first_frame.tolist(), n_frames.tolist(), strict=True)
        ],
        dtype=np.float32,
    ).reshape(len(first_frame), frames.shape[1])
