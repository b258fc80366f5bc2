"""Pairs of centre and context words, and batches of them.

A batch consists of whole utterances: every word in it is a centre, and a context of its neighbours, so the encoder runs
once per word and not once per pair. Where windows cross utterances a batch is a contiguous part of the text; neighbours
of its first and last words that lie in the adjacent parts are included as context only.

min_count and subsampling decide which word instances take part, as in gensim.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np

from speech2vec.features.rows import rows_of_ranges, runs_of
from speech2vec.features.store import Store
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import EPOCH, HELD_OUT, generator


def keep_probability(counts: np.ndarray, min_count: int = 1, sample: float = 0.0) -> np.ndarray:
    """The probability of keeping an instance of each word.

    Parameters
    ----------
    counts : ndarray [shape=(n_types,)]
    min_count : int
        Rarer words are left out.
    sample : float
        Subsampling threshold: a word of relative frequency f is kept with probability
        ``sqrt(sample / f) + sample / f`` (Mikolov et al. 2013, as word2vec computes it); 0 disables subsampling.

    Returns
    -------
    ndarray [shape=(n_types,)], float64

    Examples
    --------
    >>> keep_probability(np.array([98, 2]), sample=0.1).round(3)
    array([0.421, 1.   ])
    """
    kept = np.where(counts >= min_count, 1.0, 0.0)
    total = counts[counts >= min_count].sum()
    if sample > 0 and total:
        ratio = sample * total / np.maximum(counts, 1)
        kept *= np.minimum(1.0, np.sqrt(ratio) + ratio)
    return kept


def subsample(word_id: np.ndarray, probability: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw which instances are kept [shape=(n_words,)], bool, given the probability of each word type."""
    chance = probability[word_id]
    if chance.min(initial=1.0) >= 1.0:
        return np.ones(len(word_id), dtype=bool)
    return generator.random(len(word_id)) < chance


@dataclass(frozen=True)
class Batch:
    """Words of some utterances, and the pairs of neighbours among them.

    Parameters
    ----------
    words : ndarray [shape=(n_words,)], int64
        Rows of the store; those of an utterance are adjacent.
    utterance : ndarray [shape=(n_words,)], int32
    centre, context : ndarray [shape=(n_pairs,)], int64
        Positions in `words`.
    """

    words: np.ndarray
    utterance: np.ndarray
    centre: np.ndarray
    context: np.ndarray


def neighbour_pairs(utterance: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """All (centre, context) pairs at most `window` words apart in the same utterance.

    Parameters
    ----------
    utterance : ndarray [shape=(n_words,)]
        Of each word; the words of an utterance are adjacent.
    window : int
        Words to either side.

    Returns
    -------
    centre, context : ndarray [shape=(n_pairs,)], int64
        Positions; each pair of neighbours is listed twice, once in each role.

    Examples
    --------
    >>> neighbour_pairs(np.array([0, 0, 1, 1]), window=3)
    (array([0, 2, 1, 3]), array([1, 3, 0, 2]))
    """
    lefts = [np.flatnonzero(utterance[:-offset] == utterance[offset:]) for offset in range(1, window + 1)]
    left = np.concatenate(lefts)
    right = np.concatenate([positions + offset for offset, positions in enumerate(lefts, start=1)])
    return np.concatenate([left, right]), np.concatenate([right, left])


@dataclass(frozen=True)
class BatchIndices:
    """The words of a batch, not yet paired.

    Parameters
    ----------
    positions : ndarray [shape=(n_words,)], int64
        Positions in the rows of a `Sampler`.
    centres : ndarray [shape=(n_centres,)], int64
        Positions in `positions`, ascending: the words whose pairs are in this batch; the others are context only.
    group : ndarray [shape=(n_centres,)]
        Centres to keep in one process where processes share the batch: those of an utterance, or each by itself where
        windows cross utterances.
    """

    positions: np.ndarray
    centres: np.ndarray
    group: np.ndarray

    def __getitem__(self, part: slice) -> BatchIndices:
        """Some of the centres, with all of their pairs."""
        return BatchIndices(self.positions, self.centres[part], self.group[part])


@dataclass(frozen=True)
class Sampler:
    """Batches of pairs from some rows of a store, in an order determined by seed and epoch alone.

    Parameters
    ----------
    rows : ndarray [shape=(n_rows,)], int64
        The instances that take part, in store order.
    word_id, utterance : ndarray [shape=(n_rows,)]
        Of these instances.
    keep : ndarray [shape=(n_types,)]
        Probability of keeping an instance of each word in an epoch.
    window : int
    batch_size : int
        Approximate number of pairs per batch: a batch ends with the utterance that fills it.
    seed : int
    subsample : str
        What is subsampled: `words` are removed from the text before windows are taken, as in word2vec; `centres`
        remain in the text as the context of others. Words of probability 0 are removed in both cases.
    across_utterances : bool
        Windows continue from the end of an utterance into the next one.
    """

    rows: np.ndarray
    word_id: np.ndarray
    utterance: np.ndarray
    keep: np.ndarray
    window: int
    batch_size: int
    seed: int
    subsample: Literal["words", "centres"] = "words"
    across_utterances: bool = False

    @classmethod
    def from_store(
        cls,
        store: Store,
        rows: np.ndarray,
        window: int,
        batch_size: int,
        seed: int,
        min_count: int = 1,
        sample: float = 0.0,
        subsample: Literal["words", "centres"] = "words",
        across_utterances: bool = False,
    ) -> Sampler:
        """A sampler over `rows` of `store`; words are counted in these rows."""
        counts = np.bincount(store.word_id[rows], minlength=len(store.types))
        keep = keep_probability(counts, min_count, sample)
        word_id, utterance = store.word_id[rows], store.utterance[rows]
        return cls(rows, word_id, utterance, keep, window, batch_size, seed, subsample, across_utterances)

    def n_pairs(self) -> int:
        """Number of pairs in an epoch that keeps every instance of probability > 0."""
        text = self._text(np.flatnonzero(self.keep[self.word_id] > 0))
        return sum(2 * int((text[:-o] == text[o:]).sum()) for o in range(1, self.window + 1))

    def n_singletons(self) -> int:
        """Number of words without a neighbour in their utterance, which are in no pair."""
        return int((np.bincount(self._text(np.flatnonzero(self.keep[self.word_id] > 0))) == 1).sum())

    def _text(self, positions: np.ndarray) -> np.ndarray:
        """The unit that windows do not cross, of each word: its utterance, or the whole text."""
        return np.zeros(len(positions), np.int32) if self.across_utterances else self.utterance[positions]

    def epoch(self, epoch: int, shuffle: bool = True) -> list[BatchIndices]:
        """The batches of an epoch."""
        draw = generator(self.seed, EPOCH, epoch)
        drawn = subsample(self.word_id, self.keep, draw)
        kept = np.flatnonzero(drawn if self.subsample == "words" else self.keep[self.word_id] > 0)
        is_centre = drawn[kept]
        if not len(kept):
            return []
        text = self._text(kept)
        begin, length = runs_of(text)
        before = np.arange(len(kept)) - np.repeat(begin, length)
        after = np.repeat(length, length) - 1 - before
        count = is_centre * (np.minimum(before, self.window) + np.minimum(after, self.window))  # pairs per centre
        if self.across_utterances:
            return self._contiguous_batches(kept, is_centre, count, draw if shuffle else None)
        order = draw.permutation(len(begin)) if shuffle else np.arange(len(begin))
        pairs_of = np.add.reduceat(count, begin)[order]
        order, pairs_of = order[pairs_of > 0], pairs_of[pairs_of > 0]  # an utterance of one word has no context
        batches = []
        for utterances in np.split(order, self._cuts(pairs_of)):
            if len(utterances):
                taken = rows_of_ranges(begin[utterances], length[utterances])
                centres = np.flatnonzero(is_centre[taken])
                batches.append(BatchIndices(kept[taken], centres, self.utterance[kept[taken[centres]]]))
        return batches

    def epochs(self, first: int, end: int) -> Iterator[list[BatchIndices]]:
        """The batches of each epoch from `first` up to `end` (exclusive).

        Those of the next epoch are drawn in a thread: on a full corpus that takes half a second, in which a GPU would
        be idle.
        """
        with ThreadPoolExecutor(1, "epoch") as thread:
            following = thread.submit(self.epoch, first)
            for epoch in range(first + 1, end + 1):
                batches = following.result()
                if epoch < end:
                    following = thread.submit(self.epoch, epoch)
                yield batches

    def _cuts(self, counts: np.ndarray) -> np.ndarray:
        """Where to cut a sequence of items with these counts of pairs into batches."""
        return np.flatnonzero(np.diff((np.cumsum(counts) - counts) // self.batch_size)) + 1

    def _contiguous_batches(
        self, kept: np.ndarray, is_centre: np.ndarray, count: np.ndarray, draw: np.random.Generator | None
    ) -> list[BatchIndices]:
        """Contiguous parts of the text, each with the words on either side that its windows reach."""
        if not count.any():
            return []
        bounds = np.concatenate([[0], self._cuts(count), [len(kept)]])
        batches = []
        for number in range(len(bounds) - 1) if draw is None else draw.permutation(len(bounds) - 1):
            begin, end = bounds[number], bounds[number + 1]
            first = max(0, begin - self.window)
            centres = begin - first + np.flatnonzero(is_centre[begin:end])
            if len(centres):
                batches.append(BatchIndices(kept[first : end + self.window], centres, centres))
        return batches

    def batch(self, chosen: BatchIndices) -> Batch:
        """The words and pairs of a batch of `epoch`, or of a part of one."""
        positions, centres = chosen.positions, chosen.centres
        centre, context = neighbour_pairs(self._text(positions), self.window)
        if len(centres) < len(positions):
            is_centre = np.zeros(len(positions), dtype=bool)
            is_centre[centres] = True
            centre, context = centre[is_centre[centre]], context[is_centre[centre]]
            used = np.zeros(len(positions), dtype=bool)
            used[centre] = used[context] = True
            place = np.cumsum(used) - 1
            positions, centre, context = positions[used], place[centre], place[context]
        return Batch(self.rows[positions], self.utterance[positions], centre, context)

    def __iter__(self) -> Iterator[Batch]:
        """The batches in store order, for evaluation."""
        for chosen in self.epoch(0, shuffle=False):
            yield self.batch(chosen)


@dataclass(frozen=True)
class Split:
    """Training and held-out rows of a store.

    Parameters
    ----------
    train, held_out : ndarray [shape=(n,)], int64
        Ascending rows.
    by : str
        What is either trained on or held out as a whole: `speakers` or `utterances`.
    n_held_out : int
        How many of these are held out.
    """

    train: np.ndarray
    held_out: np.ndarray
    by: str
    n_held_out: int


def voices(store: Store) -> tuple[str, np.ndarray]:
    """What is held out as a whole, `speakers` or, where there is only one, `utterances`, and that of each word.

    Returns
    -------
    str
    ndarray [shape=(n_words,)], int32
    """
    if (store.speaker != store.speaker[0]).any():
        return "speakers", store.speaker
    return "utterances", store.utterance


def split(store: Store, share: float, seed: int, *, limited: bool = True) -> Split:
    """Hold out random speakers, or utterances where there is only one speaker.

    A speaker with more words than are to be held out, and more than twice as many as the smallest has, is always
    trained on: drawn, it would take most of a corpus that it dominates.

    Parameters
    ----------
    store : Store
    share : float
        Fraction of the words to hold out, between 0 and 1; at least one speaker (utterance) is on each side.
    seed : int
    limited : bool
        False draws from all speakers, whatever they have, as for runs that do not record their words.

    Raises
    ------
    UserError
        If the store holds a single utterance.
    """
    by, of = voices(store)
    n_words = np.bincount(of)
    groups = np.flatnonzero(n_words)
    if len(groups) < 2:
        raise UserError(f"store {store.path} holds a single utterance: nothing can be held out to measure the loss on")
    order, wanted = generator(seed, HELD_OUT).permutation(groups), share * len(of)
    if limited:
        order = order[n_words[order] <= max(wanted, 2 * n_words[groups].min())]
    count = 1 + int(np.searchsorted(np.cumsum(n_words[order]), wanted))
    held_out = order[: min(count, len(groups) - 1)]
    chosen = np.isin(of, held_out)
    return Split(np.flatnonzero(~chosen), np.flatnonzero(chosen), by, len(held_out))
