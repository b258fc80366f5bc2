"""The homophone check: do vectors that are said to come from sound treat equal sounds as equal?

To an encoder that hears a word and nothing else, two homophones (ate, eight) are one word said by others. So they must
be as close as two halves of the SAME word's instances, and far closer than random pairs; vectors that took their
knowledge from the spelling (text) fail both. The argument is that of arXiv 2209.10791 (ICASSP 2023); here it is
measured against its controls.

Pairs of words, each with random pairs matched to it by frequency: the control of every claim about pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from speech2vec.corpus.pronunciations import Phones, homophone_groups
from speech2vec.evaluation.bootstrap import Estimate, decimals_needed
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import HALVES, RANDOM_PAIRS, generator
from speech2vec.vectors.word_vectors import WordVectors

MIN_COUNT = 5


MAX_PAIRS = 2_000


RANDOM_A_PAIR = 10


@dataclass(frozen=True)
class Pairs:
    """Pairs of words (rows of the vectors) with random pairs matched to them by frequency.

    Parameters
    ----------
    first, second : ndarray [shape=(n_pairs,)], int
        The more frequent word, and the other.
    random : ndarray [shape=(n_pairs, n_random)], int
        Words about as frequent as `second`, to be paired with `first`.
    group : ndarray [shape=(n_pairs,)], int
        Pairs of one pronunciation share a group: they are not independent.
    n_found : int
        Pairs before a sample was drawn.
    """

    first: np.ndarray
    second: np.ndarray
    random: np.ndarray
    group: np.ndarray
    n_found: int

    def __len__(self) -> int:
        return len(self.first)

    def rows(self) -> np.ndarray:
        """All words that take part, ascending."""
        return np.unique(np.concatenate([self.first, self.second, self.random.ravel()]))

    def subset(self, kept: np.ndarray) -> Pairs:
        """The pairs that a mask or an index keeps."""
        return Pairs(self.first[kept], self.second[kept], self.random[kept], self.group[kept], self.n_found)


def match_pairs(
    candidates: np.ndarray, usable: np.ndarray, group: np.ndarray, max_pairs: int = MAX_PAIRS, seed: int = 0
) -> Pairs:
    """Give each pair its random words: of the usable rows next to the second word's, which are about as frequent.

    Parameters
    ----------
    candidates : ndarray [shape=(n_pairs, 2)], int
        Rows of the vectors, which lie in the order of frequency.
    usable : ndarray [shape=(n_usable,)], int
        Ascending rows that may be drawn.
    group : ndarray [shape=(n_pairs,)], int
    max_pairs : int
        A seeded random sample is drawn where there are more.
    seed : int

    Raises
    ------
    UserError
        The usable words about as frequent as a pair's second are all partners of its first: too few words.
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
    random = np.empty((len(pairs), RANDOM_A_PAIR), dtype=np.int64)
    for i, first in enumerate(pairs[:, 0].tolist()):
        reach = max(25, int(position[i]) // 10)
        nearby = usable[max(0, position[i] - reach) : position[i] + reach + 1]
        allowed = nearby[~np.isin(nearby, list(partners[first]))]
        if len(allowed) == 0:
            raise UserError(f"{len(usable)} words are too few to match pairs of words with random ones")
        random[i] = draw.choice(allowed, RANDOM_A_PAIR, replace=len(allowed) < RANDOM_A_PAIR)
    return Pairs(pairs[:, 0], pairs[:, 1], random, np.asarray(group), n_found)


def usable_rows(vectors: WordVectors, pronunciations: Mapping[str, Phones], min_count: int) -> np.ndarray:
    """Rows with a direction, a pronunciation and (where counts are known) at least `min_count` instances."""
    usable = vectors.has_direction & np.array([word in pronunciations for word in vectors.words], dtype=bool)
    if vectors.counts is not None:
        usable &= vectors.counts >= min_count
    return np.flatnonzero(usable)


def pair_cosines(vectors: WordVectors, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of the pairs [shape=(n_pairs,)], and of the random pairs beside them [shape=(n_pairs, n_random)]."""
    first, second = vectors.unit(pairs.first), vectors.unit(pairs.second)
    cosine = (first * second).sum(axis=1)
    random = np.stack([(first * vectors.unit(column)).sum(axis=1) for column in pairs.random.T], axis=1)
    return cosine, random


# Homophones of vectors that come from sound beat matched random pairs nearly always; those of text hardly ever do.
SOUND_AUC = 0.8


MIN_PAIRS = 10


def homophone_pairs(
    vectors: WordVectors, pronunciations: Mapping[str, Phones], min_count: int = MIN_COUNT, seed: int = 0
) -> Pairs:
    """All pairs of homophones among the vectors' words, matched with random pairs.

    Raises
    ------
    UserError
        There is no such pair.
    """
    usable = usable_rows(vectors, pronunciations, min_count)
    groups = homophone_groups([vectors.words[row] for row in usable], pronunciations)
    found = [
        (vectors.index[a], vectors.index[b], number)
        for number, group in enumerate(groups)
        for a, b in combinations(group, 2)
    ]
    if not found:
        said = "" if vectors.counts is None else f" with {min_count} instances or more"
        raise UserError(f"no two of the {len(usable):,} words{said} are homophones: the check needs a larger corpus")
    table = np.array(found)
    return match_pairs(table[:, :2], usable, table[:, 2], seed=seed)


@dataclass(frozen=True)
class HomophoneCheck:
    """What the check measured.

    Parameters
    ----------
    n_pairs, n_found : int
        Pairs that were compared, and those in the vocabulary.
    n_words : int
        Words among which homophones are ranked.
    from_instances : bool
        Whether there is a split-half row; then all cosines are between means of equally many instances.
    homophones, random : Estimate
        Mean cosine of homophones, and of random pairs matched by frequency.
    split_halves : Estimate or None
        Mean cosine of two halves of one word's instances.
    auc_random : Estimate
        Probability that a homophone pair is closer than a matched random pair: 1 if vectors come from sound.
    auc_split : Estimate or None
        Probability that a homophone pair is closer than two halves of one word: .5 if vectors come from sound.
    median_rank : float
        Of a word's homophone among its neighbours (1 is the nearest); chance is half of `n_words`.
    nearest, in_top_10 : float
        Share of words whose homophone is their nearest neighbour, and among the nearest 10.
    examples : list of dict
        The pairs with cosine and rank, most frequent first.
    verdict : str
    """

    n_pairs: int
    n_found: int
    n_words: int
    from_instances: bool
    homophones: Estimate
    random: Estimate
    split_halves: Estimate | None
    auc_random: Estimate
    auc_split: Estimate | None
    median_rank: float
    nearest: float
    in_top_10: float
    examples: list[dict[str, Any]]
    verdict: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check_homophones(
    vectors: WordVectors,
    pairs: Pairs,
    instances: Mapping[int, np.ndarray] | None = None,
    seed: int = 0,
) -> HomophoneCheck:
    """Compare homophones with their controls.

    Parameters
    ----------
    vectors : WordVectors
    pairs : Pairs
    instances : mapping or None
        Row of a word -> the vectors of its instances [shape=(n, vector_size)], for all of ``pairs.rows()``. With them
        every cosine is taken between means over equally many instances (k of each; of a random word that has fewer,
        over all of its), so that halves, homophones and random pairs differ in nothing but what is compared. Pairs
        whose words have too few for halves are left out.
    seed : int

    Raises
    ------
    UserError
        With `instances`: no pair has enough of them for halves.
    """
    ranks = _ranks(vectors, pairs)
    split: np.ndarray | None = None
    if instances is None:
        homophone, random = pair_cosines(vectors, pairs)
    else:
        kept = np.array(
            [_half_size(instances[a], instances[b]) > 0 for a, b in zip(pairs.first, pairs.second, strict=True)]
        )
        if not kept.any():
            raise UserError("no homophone has the two instances that halves need: the check needs a larger corpus")
        pairs, ranks = pairs.subset(kept), ranks[kept]
        homophone, split, random = _instance_cosines(pairs, instances, seed)
    auc_random = Estimate.of_auc(homophone, random, pairs.group, seed)
    auc_split = None if split is None else Estimate.of_auc(homophone, split[:, None], pairs.group, seed)
    homophones = Estimate.of_mean(homophone, pairs.group, seed)
    randoms = Estimate.of_mean(random.mean(axis=1), pairs.group, seed)
    halves = None if split is None else Estimate.of_mean(split, pairs.group, seed)
    median_rank = float(np.median(ranks))
    n_words = int(vectors.has_direction.sum())
    examples = [
        {
            "words": [vectors.words[pairs.first[i]], vectors.words[pairs.second[i]]],
            "cosine": float(homophone[i]),
            "random": float(random[i].mean()),
            "split_halves": None if split is None else float(split[i]),
            "ranks": ranks[i].tolist(),
        }
        for i in np.lexsort((pairs.second, pairs.first))
    ]
    return HomophoneCheck(
        n_pairs=len(pairs),
        n_found=pairs.n_found,
        n_words=n_words,
        from_instances=split is not None,
        homophones=homophones,
        random=randoms,
        split_halves=halves,
        auc_random=auc_random,
        auc_split=auc_split,
        median_rank=median_rank,
        nearest=float((ranks == 1).mean()),
        in_top_10=float((ranks <= 10).mean()),
        examples=examples,
        verdict=_verdict(len(pairs), homophones, randoms, halves, auc_random, auc_split, median_rank, n_words),
    )


def _half_size(first: np.ndarray, second: np.ndarray) -> int:
    """k: as many instances as each of the two words has, and the more frequent one twice."""
    fewer, more = sorted((len(first), len(second)))
    return min(fewer, more // 2)


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.divide((a * b).sum(axis=-1), norms, out=np.zeros_like(norms), where=norms > 0)


def _instance_cosines(
    pairs: Pairs, instances: Mapping[int, np.ndarray], seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosines of means over k instances each, averaged over several draws: homophones, halves, random pairs."""
    draw = generator(seed, HALVES)
    homophone, split = np.zeros(len(pairs)), np.zeros(len(pairs))
    random = np.zeros(pairs.random.shape)
    for i in range(len(pairs)):
        words = [np.asarray(instances[int(row)], dtype=np.float64) for row in (pairs.first[i], pairs.second[i])]
        more, fewer = words if len(words[0]) >= len(words[1]) else words[::-1]
        k = _half_size(more, fewer)
        for n in range(RANDOM_A_PAIR):
            halves = draw.permutation(len(more))
            half = more[halves[:k]].mean(axis=0)
            split[i] += _cosine(half, more[halves[k : 2 * k]].mean(axis=0))
            homophone[i] += _cosine(half, fewer[draw.permutation(len(fewer))[:k]].mean(axis=0))
            # One random word a draw: ten words give each pair's controls.
            other = np.asarray(instances[int(pairs.random[i, n])], dtype=np.float64)
            random[i, n] = _cosine(half, other[draw.permutation(len(other))[:k]].mean(axis=0))
    return homophone / RANDOM_A_PAIR, split / RANDOM_A_PAIR, random


def _ranks(vectors: WordVectors, pairs: Pairs) -> np.ndarray:
    """Rank of each word's homophone among the word's neighbours, both ways [shape=(n_pairs, 2)]."""
    rows = np.flatnonzero(vectors.has_direction)
    unit = vectors.unit(rows)
    place = np.empty(len(vectors), dtype=np.int64)
    place[rows] = np.arange(len(rows))
    ranks = np.empty((len(pairs), 2), dtype=np.int64)
    for direction, (words, homophones) in enumerate(((pairs.first, pairs.second), (pairs.second, pairs.first))):
        for start in range(0, len(pairs), 256):
            block = slice(start, start + 256)
            cosines = unit[place[words[block]]] @ unit.T
            line = np.arange(len(cosines))
            cosines[line, place[words[block]]] = -np.inf
            target = cosines[line, place[homophones[block]]]
            ranks[block, direction] = (cosines > target[:, None]).sum(axis=1) + 1
    return ranks


def _verdict(
    n_pairs: int,
    homophones: Estimate,
    random: Estimate,
    halves: Estimate | None,
    auc_random: Estimate,
    auc_split: Estimate | None,
    median_rank: float,
    n_words: int,
) -> str:
    digits = decimals_needed([homophones, random, halves])
    numbers = (
        f"{n_pairs} homophone pairs have a mean cosine of {homophones.value:.{digits}f}, matched random pairs "
        f"{random.value:.{digits}f} (AUC {auc_random}), and a word's homophone is its neighbour number "
        f"{median_rank:.0f} of {n_words - 1:,} in the median"
    )
    if halves is not None and auc_split is not None:
        if auc_split.low <= 0.5 <= auc_split.high:
            relation = "not distinguishably further apart than"
        elif auc_split.value < 0.5:
            relation = "further apart than"
        else:
            relation = "closer than"
        numbers += f"; they are {relation} two halves of one word ({halves.value:.{digits}f}, AUC {auc_split})"
    if n_pairs < MIN_PAIRS:
        return f"Too few homophones to tell: {numbers}."
    if auc_random.low >= SOUND_AUC:
        return f"These vectors behave as vectors from sound must: {numbers}."
    if auc_random.high < SOUND_AUC:
        return f"These vectors do not behave as vectors from sound must: {numbers}."
    return f"Undecided whether these vectors come from sound: {numbers}."
