"""All pairs of instances by their cosine: of one word, and of two words, counted without holding them all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from speech2vec.average_precision import at_or_above, count_by_word

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
