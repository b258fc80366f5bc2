"""Pairs of words matched by frequency with random pairs: the control of every claim about pairs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import HALVES, RANDOM_PAIRS, generator
from speech2vec.vectors.instances import Instances
from speech2vec.vectors.word_vectors import WordVectors

MIN_COUNT = 5
MAX_PAIRS = 2_000
RANDOM_PER_PAIR = 10


@dataclass(frozen=True)
class Pairs:
    """Pairs of words (rows of the vectors) with random pairs matched to them by frequency.

    Parameters
    ----------
    first, second : ndarray [shape=(n_pairs,)], int
        The more frequent word, and the less frequent.
    random : ndarray [shape=(n_pairs, n_random)], int
        Words about as frequent as `second`, to pair with `first`.
    group : ndarray [shape=(n_pairs,)], int
        Pairs of one pronunciation share a group, as they are not independent.
    n_found : int
        Number of pairs before subsampling.
    """

    first: np.ndarray
    second: np.ndarray
    random: np.ndarray
    group: np.ndarray
    n_found: int

    def __len__(self) -> int:
        return len(self.first)

    def rows(self) -> np.ndarray:
        """All rows of the vectors that occur in pairs, ascending."""
        return np.unique(np.concatenate([self.first, self.second, self.random.ravel()]))

    def subset(self, kept: np.ndarray) -> Pairs:
        """Some of the pairs, by mask or index."""
        return Pairs(self.first[kept], self.second[kept], self.random[kept], self.group[kept], self.n_found)


def match_pairs(
    candidates: np.ndarray, usable: np.ndarray, group: np.ndarray, max_pairs: int = MAX_PAIRS, seed: int = 0
) -> Pairs:
    """Match each pair with random words: from the usable rows near the second word's, which are about as frequent.

    Parameters
    ----------
    candidates : ndarray [shape=(n_pairs, 2)], int
        Rows of the vectors, which are sorted by frequency.
    usable : ndarray [shape=(n_usable,)], int
        Rows that may be drawn, ascending.
    group : ndarray [shape=(n_pairs,)], int
    max_pairs : int
        Subsample (seeded) above this many.
    seed : int

    Raises
    ------
    UserError
        Too few words: all those about as frequent as a pair's second word are partners of its first.
    """
    draw = generator(seed, RANDOM_PAIRS)
    n_found = len(candidates)
    if n_found > max_pairs:
        chosen = np.sort(draw.choice(n_found, max_pairs, replace=False))
        candidates, group = candidates[chosen], group[chosen]
    pairs = np.sort(candidates.reshape(-1, 2), axis=1)
    partners: dict[int, set[int]] = {}
    for first, second in pairs.tolist():
        partners.setdefault(first, {first}).add(second)
    position = np.searchsorted(usable, pairs[:, 1])
    random = np.empty((len(pairs), RANDOM_PER_PAIR), dtype=np.int64)
    for i, first in enumerate(pairs[:, 0].tolist()):
        reach = max(25, int(position[i]) // 10)
        nearby = usable[max(0, position[i] - reach) : position[i] + reach + 1]
        allowed = nearby[~np.isin(nearby, list(partners[first]))]
        if len(allowed) == 0:
            raise UserError(f"{len(usable)} words are too few to match pairs of words with random pairs")
        random[i] = draw.choice(allowed, RANDOM_PER_PAIR, replace=len(allowed) < RANDOM_PER_PAIR)
    return Pairs(pairs[:, 0], pairs[:, 1], random, np.asarray(group), n_found)


def usable_rows(vectors: WordVectors, pronunciations: Mapping[str, Hashable], min_count: int) -> np.ndarray:
    """Rows with a nonzero vector, a pronunciation and, if counts are known, at least `min_count` instances."""
    usable = vectors.has_direction & np.array([word in pronunciations for word in vectors.words], dtype=bool)
    if vectors.counts is not None:
        usable &= vectors.counts >= min_count
    return np.flatnonzero(usable)


def pair_cosines(vectors: WordVectors, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of the pairs [shape=(n_pairs,)] and of their random pairs [shape=(n_pairs, n_random)]."""
    first, second = vectors.unit(pairs.first), vectors.unit(pairs.second)
    cosine = (first * second).sum(axis=1)
    random = np.stack([(first * vectors.unit(column)).sum(axis=1) for column in pairs.random.T], axis=1)
    return cosine, random


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.divide((a * b).sum(axis=-1), norms, out=np.zeros_like(norms), where=norms > 0)


def instance_cosines(
    pairs: Pairs, instances: Mapping[int, Instances], seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosines of pairs, of halves of the more frequent words, and of random pairs, which differ in nothing else.

    Each is between the mean of some instances of the more frequent word, in some voices, and the mean of instances in
    other voices: of its partner, of the same word, of a random word (in any voice, if none of the others said it). Of
    all means but the random word's, which may have fewer, the voices are as many, and as many instances are of the
    first, the second, ... of them: a mean over few voices keeps more of each. They are averaged over several draws.

    Parameters
    ----------
    pairs : Pairs
    instances : mapping of int to Instances
        By row, for all of ``pairs.rows()``.
    seed : int

    Returns
    -------
    pair, halves : ndarray [shape=(n_pairs,)]
        NaN where no draw has an instance for all three means.
    random : ndarray [shape=(n_pairs, n_random)]
    """
    draw = generator(seed, HALVES)
    n_draws = pairs.random.shape[1]  # one random word for each draw
    partner, split = np.full((2, len(pairs), n_draws), np.nan)
    random = np.full((len(pairs), n_draws), np.nan)
    for i in range(len(pairs)):
        words = [instances[int(row)] for row in (pairs.first[i], pairs.second[i])]
        more, fewer = words if len(words[0]) >= len(words[1]) else words[::-1]
        voices = np.unique(np.concatenate([more.voice, fewer.voice]))
        for n in range(n_draws):
            some = draw.permutation(voices)[: len(voices) // 2]
            first, second = (_Drawn.of(more, in_some, draw) for in_some in _both(more, some))
            other = _Drawn.of(fewer, ~np.isin(fewer.voice, some), draw)
            n_voices = min(len(first.counts), len(second.counts), len(other.counts))
            if not n_voices:
                continue
            counts = np.min([drawn.counts[:n_voices] for drawn in (first, second, other)], axis=0)
            word = instances[int(pairs.random[i, n])]
            same, others = (_Drawn.of(word, in_some, draw) for in_some in _both(word, some))
            half = first.mean(counts)
            sides = second, other, others if len(others.counts) else same
            split[i, n], partner[i, n], random[i, n] = (_cosine(half, side.mean(counts)) for side in sides)
    return _mean_known(partner), _mean_known(split), np.where(np.isnan(random), _mean_known(random)[:, None], random)


def _mean_known(values: np.ndarray) -> np.ndarray:
    """The mean of each row's values that are not NaN; NaN without any."""
    known = ~np.isnan(values)
    total, n = np.where(known, values, 0).sum(axis=1), known.sum(axis=1)
    return np.divide(total, n, out=np.full(len(values), np.nan), where=n > 0)


def _both(instances: Instances, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the instances in some voices, and of those in others."""
    in_some = np.isin(instances.voice, some)
    return in_some, ~in_some


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Instances in random order within voices: the voices that said the word most often first.

    `vectors` [shape=(n, vector_size)] is float64, `counts` [shape=(n_voices,)] how many each voice has.
    """

    vectors: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, instances: Instances, marked: np.ndarray, draw: np.random.Generator) -> _Drawn:
        rows = draw.permutation(np.flatnonzero(marked))
        _, voice, counts = np.unique(instances.voice[rows], return_inverse=True, return_counts=True)
        by_count = np.lexsort((draw.random(len(counts)), -counts))
        order = np.argsort(np.argsort(by_count)[voice], kind="stable")
        return cls(instances.vectors[rows[order]].astype(np.float64), counts[by_count])

    def mean(self, counts: np.ndarray) -> np.ndarray:
        """The mean of so many of each voice's instances."""
        wanted = np.zeros_like(self.counts)
        wanted[: len(counts)] = counts[: len(self.counts)]
        place = np.arange(len(self.vectors)) - np.repeat(np.cumsum(self.counts) - self.counts, self.counts)
        return self.vectors[place < np.repeat(wanted, self.counts)].mean(axis=0)
