"""All pairs of word instances: those of one word are kept; those of two words, which are far more, are only counted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

_MAX_LEVELS = 250  # similarities at which pairs are counted: a level fits into a byte, and 0 is below all
_PAIRS_AT_ONCE = 4_000_000
_STEPS = 2**23  # a cosine of 1, counted in steps that a float32 represents exactly


@dataclass(frozen=True)
class SameWordPairs:
    """The pairs of one word [shape=(n_pairs,)]: similarity, word, whether they are of two speakers."""

    similarity: np.ndarray
    word: np.ndarray
    is_cross: np.ndarray
    n_words: int

    @cached_property
    def thresholds(self) -> np.ndarray:
        """The distinct similarities, ascending: where precision is measured."""
        return np.unique(self.similarity)

    @cached_property
    def levels(self) -> np.ndarray:
        """Quantiles of the similarities, ascending [shape=(n_levels,)]: where resampled pairs are counted."""
        ordered = np.sort(self.similarity)
        return np.unique(ordered[np.arange(_MAX_LEVELS) * len(ordered) // _MAX_LEVELS])


@dataclass
class DifferentWordPairs:
    """Counts of pairs of two words.

    Parameters
    ----------
    above : ndarray [shape=(n_thresholds,)], int64
        Pairs at or above each threshold.
    by_word : ndarray [shape=(n_words, n_levels)], int64
        Pairs of each word at each level; so each pair is counted twice.
    n : int
    """

    above: np.ndarray
    by_word: np.ndarray
    n: int = 0

    @classmethod
    def empty(cls, same: SameWordPairs) -> DifferentWordPairs:
        """No pairs yet, for the thresholds and levels of `same`."""
        shape = (same.n_words, len(same.levels))
        return cls(np.zeros(len(same.thresholds), dtype=np.int64), np.zeros(shape, dtype=np.int64))

    def add(
        self, thresholds: np.ndarray, similarity: np.ndarray, level: np.ndarray, first: np.ndarray, second: np.ndarray
    ) -> None:
        """Count pairs of the words `first` and `second` [shape=(n_pairs,)]."""
        # With both sides sorted, searchsorted walks through memory instead of jumping.
        self.above += len(similarity) - np.searchsorted(np.sort(similarity), thresholds, side="left")
        self.by_word += count_by_word(first, level, *self.by_word.shape)
        self.by_word += count_by_word(second, level, *self.by_word.shape)
        self.n += len(similarity)


def count_by_word(word: np.ndarray, level: np.ndarray, n_words: int, n_levels: int) -> np.ndarray:
    """Pairs of each word at each level [shape=(n_words, n_levels)], int64; level 0 is below all and not counted."""
    cells = np.bincount(word * (n_levels + 1) + level, minlength=n_words * (n_levels + 1))
    return cells.reshape(n_words, n_levels + 1)[:, 1:]


def _cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    # In whole steps: equal pairs stay equal, in whichever order their products were summed.
    return np.rint((left @ right.T) * _STEPS).astype(np.float32)


def same_word_pairs(unit: np.ndarray, speaker: np.ndarray, starts: np.ndarray) -> SameWordPairs:
    """The pairs of one word among instances sorted by word, where each word begins at one of `starts`."""
    similarity, word, cross = [], [], []
    for number, (first, last) in enumerate(zip(starts, np.append(starts[1:], len(unit)), strict=True)):
        rows, columns = np.triu_indices(last - first, k=1)
        similarity.append(_cosines(unit[first:last], unit[first:last])[rows, columns])
        word.append(np.full(len(rows), number))
        cross.append(speaker[first + rows] != speaker[first + columns])
    return SameWordPairs(np.concatenate(similarity), np.concatenate(word), np.concatenate(cross), len(starts))


def count_different_word_pairs(
    unit: np.ndarray, word: np.ndarray, speaker: np.ndarray, starts: np.ndarray, same: SameWordPairs
) -> tuple[DifferentWordPairs, DifferentWordPairs]:
    """All pairs of two words, and those of one speaker: so few that the many others need no count of their own."""
    n, thresholds, levels = len(unit), same.thresholds, same.levels.astype(np.int64)
    all_pairs, one_speaker = DifferentWordPairs.empty(same), DifferentWordPairs.empty(same)
    level_of = np.repeat(  # for every value that a cosine in steps can have
        np.arange(len(levels) + 1, dtype=np.uint8), np.diff([-_STEPS, *levels, _STEPS + 1])
    )
    # Each instance with all those of later words: the upper triangle without the blocks of one word.
    later = np.append(starts[1:], n)[word]
    step = max(1, _PAIRS_AT_ONCE // n)
    for first in range(0, int(starts[-1]), step):
        last, column = min(first + step, n), int(later[first])
        cosines = _cosines(unit[first:last], unit[column:])
        different = np.arange(column, n) >= later[first:last, None]
        one = different & (speaker[column:] == speaker[first:last, None])
        for pairs, chosen in ((all_pairs, different), (one_speaker, one)):
            row, other = np.nonzero(chosen)
            similarity = cosines[row, other]
            level = level_of[similarity.astype(np.int64) + _STEPS]
            pairs.add(thresholds, similarity, level, word[first + row], word[column + other])
    return all_pairs, one_speaker
