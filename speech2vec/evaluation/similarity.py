"""Word similarity: Spearman's rho of cosines and human ratings, with coverage and interval.

A score is nothing without how many of the pairs it covers and how far chance alone would carry it; so a `Score`
holds both, and models with different vocabularies are also scored over the pairs that all of them cover.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import rankdata

from speech2vec.evaluation.benchmarks import Benchmark
from speech2vec.evaluation.bootstrap import RESAMPLES, percentile_interval
from speech2vec.runtime.seeds import generator
from speech2vec.vectors.word_vectors import WordVectors

HEADLINE = "MEN"


MIN_PAIRS = 3  # fewer pairs have no rank correlation worth the name


MIN_RESAMPLED = 10  # resamples of fewer pairs are so alike that their spread says nothing


DRAWS = 100


_BLOCK = 1 << 19  # elements that the bootstrap holds at a time


@dataclass(frozen=True)
class Score:
    """What vectors score on one benchmark, or on all of them together.

    Parameters
    ----------
    benchmark : str
    n_pairs : int
        Pairs in the benchmark.
    n_covered : int
        Pairs with a vector for both words: what the score is measured on.
    rho : float or None
        Spearman's rank correlation of cosines and ratings; None under three pairs or where one side is constant.
    low, high : float or None
        Bootstrap percentile interval of rho (95 %), pairs resampled; the uninformative [-1, 1] under ten pairs.
    missing : list of str
        Words without a vector.
    """

    benchmark: str
    n_pairs: int
    n_covered: int
    rho: float | None
    low: float | None
    high: float | None
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ModelScores:
    """One model's scores: over the pairs it covers, and over those that every compared model covers."""

    n_words: int
    vector_size: int
    scores: list[Score]
    mean: Score
    common_scores: list[Score]
    common_mean: Score


def folded_index(vectors: WordVectors) -> dict[str, int]:
    """Case-folded word -> row; the first of equal words counts, and zero vectors are left out."""
    index: dict[str, int] = {}
    for row in np.flatnonzero(vectors.has_direction).tolist():
        index.setdefault(vectors.words[row].casefold(), row)
    return index


def cosines(vectors: WordVectors, benchmark: Benchmark, index: Mapping[str, int]) -> np.ndarray:
    """Cosine of each pair's vectors, NaN where a word has none [shape=(n_pairs,)].

    Unit vectors and their products are float32 by BLAS, as gensim computes them, so that near ties rank alike.
    """
    rows = np.array([(index.get(a, -1), index.get(b, -1)) for a, b in benchmark.pairs], dtype=np.int64)
    covered = np.all(rows >= 0, axis=1)
    first, second = vectors.unit(rows[covered, 0]), vectors.unit(rows[covered, 1])
    result = np.full(len(benchmark), np.nan)
    result[covered] = np.matmul(first[:, None, :], second[:, :, None])[:, 0, 0]
    return result


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rho: Pearson's correlation of ranks, equal values sharing their mean rank; NaN if one is constant."""
    ranks = np.stack([rankdata(x), rankdata(y)]) - (len(x) + 1) / 2
    squares = np.sqrt((ranks**2).sum(axis=1))
    if squares.min() == 0:
        return float("nan")
    return float(np.clip((ranks[0] / squares[0]) @ (ranks[1] / squares[1]), -1.0, 1.0))


def bootstrap_spearman(x: np.ndarray, y: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Spearman's rho of `resamples` samples of the pairs, drawn with replacement [shape=(resamples,)].

    A sample is how often each pair was drawn; ranks then follow from running sums over the pairs in sorted order,
    the same as ranking each sample anew, without sorting it. NaN where a sample is constant.
    """
    n = len(x)
    ranked = [_Groups(x), _Groups(y)]
    result = np.empty(resamples)
    step = max(1, _BLOCK // n)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.integers(0, n, size=(size, n)) + np.arange(size)[:, None] * n
        times = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        centred = [groups.ranks(times) - (n + 1) / 2 for groups in ranked]
        weighted = [times * ranks for ranks in centred]
        products = np.einsum("rn,rn->r", weighted[0], centred[1])
        squares = [np.einsum("rn,rn->r", w, ranks) for w, ranks in zip(weighted, centred, strict=True)]
        with np.errstate(invalid="ignore", divide="ignore"):
            result[start : start + size] = products / np.sqrt(squares[0] * squares[1])
    return result


class _Groups:
    """Values sorted once: which are equal, and where each lies."""

    def __init__(self, values: np.ndarray) -> None:
        self.order = np.argsort(values, kind="stable")
        in_order = values[self.order]
        is_last = np.append(in_order[1:] != in_order[:-1], True)
        self.last = np.flatnonzero(is_last)
        self.group = np.empty(len(values), dtype=np.int64)
        self.group[self.order] = np.concatenate([[0], np.cumsum(is_last)[:-1]])

    def ranks(self, times: np.ndarray) -> np.ndarray:
        """Mean rank of each value in samples that hold it `times` times [shape=(n_samples, n_values)]."""
        up_to = np.cumsum(times[:, self.order], axis=1)[:, self.last]
        before = np.concatenate([np.zeros((len(times), 1), dtype=up_to.dtype), up_to[:, :-1]], axis=1)
        return ((before + up_to + 1) / 2)[:, self.group]


def _score(
    benchmark: Benchmark, similarity: np.ndarray, missing: list[str], seed: int, resamples: int
) -> tuple[Score, np.ndarray]:
    """The score over the pairs whose similarity is not NaN, and its bootstrap sample."""
    covered = ~np.isnan(similarity)
    n_covered = int(covered.sum())
    x, y = similarity[covered], benchmark.ratings[covered]
    rho = spearman(x, y) if n_covered >= MIN_PAIRS else float("nan")
    if np.isnan(rho):
        empty = Score(benchmark.name, len(benchmark), n_covered, None, None, None, missing)
        return empty, np.full(resamples, np.nan)
    # Seeded by the benchmark's name: a score does not depend on which other benchmarks are there.
    rng = generator(seed, *benchmark.name.encode())
    sample = bootstrap_spearman(x, y, rng, resamples)
    low, high = _interval(sample) if n_covered >= MIN_RESAMPLED else (-1.0, 1.0)
    return Score(benchmark.name, len(benchmark), n_covered, rho, low, high, missing), sample


def _interval(sample: np.ndarray) -> tuple[float | None, float | None]:
    low, high = percentile_interval(sample)
    if np.isnan(low):
        return None, None
    return float(np.clip(low, -1, 1)), float(np.clip(high, -1, 1))


def _weighted_mean(scores: Sequence[Score], samples: Sequence[np.ndarray]) -> Score:
    """Mean rho over all benchmarks that have one, weighted by covered pairs; the interval takes them as independent."""
    n_pairs, name = sum(score.n_pairs for score in scores), f"mean of {len(scores)}"
    used = [(score, sample) for score, sample in zip(scores, samples, strict=True) if score.rho is not None]
    n_covered = sum(score.n_covered for score, _ in used)
    if not used:
        return Score(name, n_pairs, n_covered, None, None, None)
    weights = np.array([score.n_covered for score, _ in used], dtype=float)
    weights /= weights.sum()
    rho = float(weights @ np.array([score.rho for score, _ in used]))
    # A sample that drew one pair over and over has no rho; chance is then the neutral value.
    stacked = np.nan_to_num(np.stack([sample for _, sample in used]))
    low, high = _interval(weights @ stacked)
    return Score(name, n_pairs, n_covered, rho, low, high)


def chance_scores(
    vocabulary: Collection[str], vector_size: int, benchmarks: Sequence[Benchmark], seed: int = 0, draws: int = DRAWS
) -> tuple[list[Score], Score]:
    """What random vectors score: the mean over `draws` sets of them, and the range of the middle 95 % of draws.

    A benchmark's pairs share words, so scores of vectors that know nothing scatter more widely than as many
    independent pairs would; this range is what chance reaches on these very pairs.

    Parameters
    ----------
    vocabulary : collection of str
        The words that have vectors, case folded.
    vector_size : int
    benchmarks : sequence of Benchmark
    seed, draws : int

    Returns
    -------
    list of Score
        One for each benchmark.
    Score
        Their mean, weighted by pairs.
    """
    known = set(vocabulary)
    asked = sorted({word for benchmark in benchmarks for pair in benchmark.pairs for word in pair})
    index = {word: row for row, word in enumerate(word for word in asked if word in known)}
    rows = [
        np.array([(index[a], index[b]) for a, b in benchmark.pairs if a in index and b in index], dtype=np.int64)
        for benchmark in benchmarks
    ]
    rhos = np.full((draws, len(benchmarks)), np.nan)
    rng = generator(seed)
    ratings = [
        np.array([r for (a, b), r in zip(benchmark.pairs, benchmark.ratings, strict=True) if a in index and b in index])
        for benchmark in benchmarks
    ]
    for draw in range(draws):
        drawn = rng.standard_normal((len(index), vector_size), dtype=np.float32)
        drawn /= np.maximum(np.linalg.norm(drawn, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        for i, pairs in enumerate(rows):
            if len(pairs) >= MIN_PAIRS:
                similarity = np.einsum("nd,nd->n", drawn[pairs[:, 0]], drawn[pairs[:, 1]])
                rhos[draw, i] = spearman(similarity, ratings[i])
    scores = []
    for i, benchmark in enumerate(benchmarks):
        rho = None if np.isnan(rhos[:, i]).any() else float(rhos[:, i].mean())
        low, high = (None, None) if rho is None else _interval(rhos[:, i])
        missing = sorted({word for pair in benchmark.pairs for word in pair if word not in index})
        scores.append(Score(benchmark.name, len(benchmark), len(rows[i]), rho, low, high, missing))
    return scores, _weighted_mean(scores, list(rhos.T))


def evaluate_vectors(
    models: Mapping[str, WordVectors], benchmarks: Sequence[Benchmark], seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, ModelScores]:
    """Score every model on every benchmark, over its own pairs and over the pairs that all models cover.

    Words are compared case folded. The same seed resamples the same pairs for every model, so that over common pairs
    differences between models are not differences between draws.
    """
    similarities: dict[str, list[np.ndarray]] = {}
    missing: dict[str, list[list[str]]] = {}
    for name, vectors in models.items():
        index = folded_index(vectors)
        similarities[name] = [cosines(vectors, benchmark, index) for benchmark in benchmarks]
        missing[name] = [
            sorted({word for pair in benchmark.pairs for word in pair if word not in index}) for benchmark in benchmarks
        ]
    common = [
        np.logical_and.reduce([~np.isnan(similarities[name][i]) for name in models]) for i in range(len(benchmarks))
    ]
    results = {}
    for name, vectors in models.items():
        own, shared = [], []
        for i, benchmark in enumerate(benchmarks):
            similarity = similarities[name][i]
            own.append(_score(benchmark, similarity, missing[name][i], seed, resamples))
            in_common = np.where(common[i], similarity, np.nan)
            same = np.array_equal(np.isnan(in_common), np.isnan(similarity))
            shared.append(own[-1] if same else _score(benchmark, in_common, [], seed, resamples))
        results[name] = ModelScores(
            n_words=len(vectors),
            vector_size=vectors.vector_size,
            scores=[score for score, _ in own],
            mean=_weighted_mean(*zip(*own, strict=True)),
            common_scores=[score for score, _ in shared],
            common_mean=_weighted_mean(*zip(*shared, strict=True)),
        )
    return results
