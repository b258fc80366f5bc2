"""Centres and contexts: which words are paired, inside one utterance only, and which utterances make a batch.

A batch is made of whole utterances: every word in it is a centre and the context of its neighbours, so the encoder runs
once for each word and not once for each pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from speech2vec.runs import generator
from speech2vec.store import Store
from speech2vec.vocabulary import keep_instances, keep_probability


@dataclass(frozen=True)
class Batch:
    """Some utterances' words, and which of them are neighbours.

    Parameters
    ----------
    words : ndarray [shape=(n_words,)], int64
        Rows of the store, utterance after utterance.
    utterance : ndarray [shape=(n_words,)], int32
    centre, context : ndarray [shape=(n_pairs,)], int64
        Positions in `words`.
    """

    words: np.ndarray
    utterance: np.ndarray
    centre: np.ndarray
    context: np.ndarray


def pairs(utterance: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """All (centre, context) pairs at most `window` words apart in the same utterance.

    Parameters
    ----------
    utterance : ndarray [shape=(n_words,)]
        Of each word; an utterance's words lie together.
    window : int
        Words to either side.

    Returns
    -------
    centre, context : ndarray [shape=(n_pairs,)], int64
        Each pair of neighbours comes twice, once in each role.

    Examples
    --------
    >>> pairs(np.array([0, 0, 1, 1]), window=3)
    (array([0, 2, 1, 3]), array([1, 3, 0, 2]))
    """
    lefts = [np.flatnonzero(utterance[:-offset] == utterance[offset:]) for offset in range(1, window + 1)]
    left = np.concatenate(lefts)
    right = np.concatenate([positions + offset for offset, positions in enumerate(lefts, start=1)])
    return np.concatenate([left, right]), np.concatenate([right, left])


@dataclass(frozen=True)
class Sampler:
    """Batches of the pairs of some rows of a store, in an order that epoch and seed alone determine.

    Parameters
    ----------
    rows : ndarray [shape=(n_rows,)], int64
        The instances that take part, in store order.
    word_id, utterance : ndarray [shape=(n_rows,)]
        Of these instances.
    keep : ndarray [shape=(n_types,)]
        Probability that an instance of each word takes part in an epoch.
    window : int
    batch_size : int
        Pairs to a batch, about: a batch ends with the utterance that fills it.
    seed : int
    """

    rows: np.ndarray
    word_id: np.ndarray
    utterance: np.ndarray
    keep: np.ndarray
    window: int
    batch_size: int
    seed: int

    @classmethod
    def of(
        cls,
        store: Store,
        rows: np.ndarray,
        window: int,
        batch_size: int,
        seed: int,
        min_count: int = 1,
        sample: float = 0.0,
    ) -> Sampler:
        """A sampler over `rows` of `store`; counts are those of these rows."""
        counts = np.bincount(store.word_id[rows], minlength=len(store.types))
        keep = keep_probability(counts, min_count, sample)
        return cls(rows, store.word_id[rows], store.utterance[rows], keep, window, batch_size, seed)

    def n_pairs(self) -> int:
        """Pairs of an epoch in which every instance of probability > 0 takes part."""
        kept = self.utterance[self.keep[self.word_id] > 0]
        return sum(2 * int((kept[:-o] == kept[o:]).sum()) for o in range(1, self.window + 1))

    def epoch(self, epoch: int, shuffle: bool = True) -> list[np.ndarray]:
        """The batches of an epoch, each as the positions in `rows` of its words [shape=(n_words,)]."""
        draw = generator(self.seed, 1, epoch)
        kept = np.flatnonzero(keep_instances(self.word_id, self.keep, draw))
        if not len(kept):
            return []
        utterance = self.utterance[kept]
        begin = np.flatnonzero(np.concatenate([[True], utterance[1:] != utterance[:-1]]))
        length = np.diff(np.append(begin, len(kept)))
        count = sum(2 * np.maximum(length - offset, 0) for offset in range(1, self.window + 1))
        order = draw.permutation(len(begin)) if shuffle else np.arange(len(begin))
        order = order[count[order] > 0]  # an utterance of one word has no context
        batch = (np.cumsum(count[order]) - count[order]) // self.batch_size
        cuts = np.flatnonzero(np.diff(batch)) + 1
        batches = []
        for utterances in np.split(order, cuts):
            if len(utterances):
                n = length[utterances]
                first = np.repeat(begin[utterances] - (np.cumsum(n) - n), n)
                batches.append(kept[first + np.arange(n.sum())])
        return batches

    def batch(self, positions: np.ndarray) -> Batch:
        """Words and pairs of one of the batches of `epoch`."""
        utterance = self.utterance[positions]
        centre, context = pairs(utterance, self.window)
        return Batch(self.rows[positions], utterance, centre, context)

    def __iter__(self) -> Iterator[Batch]:
        """The batches in store order, each instance of probability 1 once (for evaluation)."""
        for positions in self.epoch(0, shuffle=False):
            yield self.batch(positions)
