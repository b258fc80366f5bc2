"""Word similarity: Spearman's rho of cosines and human ratings, with coverage and interval.

A score means little without the number of pairs that it covers and its interval, so a `Score` holds both; models with
different vocabularies are also scored over the pairs that all of them cover.
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
MIN_PAIRS = 3  # fewer pairs have no meaningful rank correlation
MIN_RESAMPLED = 10  # resamples of fewer pairs are so alike that their spread says nothing
DRAWS = 100  # of random vectors
_VALUES_AT_ONCE = 1 << 19


@dataclass(frozen=True)
class Score:
    """The score of vectors on one benchmark, or the mean over all of them.

    Parameters
    ----------
    benchmark : str
    n_pairs : int
        Pairs in the benchmark.
    n_covered : int
        Pairs with a vector for both words, over which the score is measured.
    rho : float or None
        Spearman's rank correlation of cosines and ratings; None under three pairs or if one side is constant.
    low, high : float or None
        95 % bootstrap interval of rho over pairs; the uninformative [-1, 1] under ten pairs.
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
    """The scores of one model: over the pairs that it covers, and over those that all compared models cover."""

    n_words: int
    vector_size: int
    scores: list[Score]
    mean: Score
    common_scores: list[Score]
    common_mean: Score


def folded_index(vectors: WordVectors) -> dict[str, int]:
    """Case-folded word -> row; the first of equal words is kept, and zero vectors are left out."""
    index: dict[str, int] = {}
    for row in np.flatnonzero(vectors.has_direction).tolist():
        index.setdefault(vectors.words[row].casefold(), row)
    return index


def cosines(vectors: WordVectors, benchmark: Benchmark, index: Mapping[str, int]) -> np.ndarray:
    """Cosine of each pair's vectors, NaN if a word has none [shape=(n_pairs,)].

    Unit vectors and their products are float32, as in gensim, so that near ties rank alike.
    """
    rows = np.array([(index.get(a, -1), index.get(b, -1)) for a, b in benchmark.pairs], dtype=np.int64)
    covered = np.all(rows >= 0, axis=1)
    first, second = vectors.unit(rows[covered, 0]), vectors.unit(rows[covered, 1])
    result = np.full(len(benchmark), np.nan)
    result[covered] = np.matmul(first[:, None, :], second[:, :, None])[:, 0, 0]
    return result


def spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's rho over the last axis: the correlation of ranks, equal values sharing their mean rank.

    As `scipy.stats.spearmanr`, for many samples at once, and NaN without a warning if one side is constant.
    """
    middle = (x.shape[-1] + 1) / 2
    a, b = rankdata(x, axis=-1) - middle, rankdata(y, axis=-1) - middle
    with np.errstate(invalid="ignore"):
        rho = (a * b).sum(axis=-1) / np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return np.clip(rho, -1.0, 1.0)


def bootstrap_spearman(x: np.ndarray, y: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Spearman's rho of `resamples` samples of the pairs, drawn with replacement [shape=(resamples,)]."""
    size = max(1, _VALUES_AT_ONCE // len(x))
    result = []
    for start in range(0, resamples, size):
        drawn = rng.integers(0, len(x), size=(min(size, resamples - start), len(x)))
        result.append(spearman(x[drawn], y[drawn]))
    return np.concatenate(result)


def _score(
    benchmark: Benchmark, similarity: np.ndarray, missing: list[str], seed: int, resamples: int
) -> tuple[Score, np.ndarray]:
    """The score over the pairs whose similarity is not NaN, and its bootstrap sample."""
    covered = ~np.isnan(similarity)
    n_covered = int(covered.sum())
    x, y = similarity[covered], benchmark.ratings[covered]
    rho = float(spearman(x, y)) if n_covered >= MIN_PAIRS else float("nan")
    if np.isnan(rho):
        empty = Score(benchmark.name, len(benchmark), n_covered, None, None, None, missing)
        return empty, np.full(resamples, np.nan)
    # Seeded by the benchmark's name, so that a score does not depend on the other benchmarks.
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
    """Mean rho over the benchmarks that have one, weighted by covered pairs; the interval assumes independence."""
    n_pairs, name = sum(score.n_pairs for score in scores), f"mean of {len(scores)}"
    used = [(score, sample) for score, sample in zip(scores, samples, strict=True) if score.rho is not None]
    n_covered = sum(score.n_covered for score, _ in used)
    if not used:
        return Score(name, n_pairs, n_covered, None, None, None)
    weights = np.array([score.n_covered for score, _ in used], dtype=float)
    weights /= weights.sum()
    rho = float(weights @ np.array([score.rho for score, _ in used]))
    # A sample of one pair repeated has no rho; 0 is then the neutral value.
    stacked = np.nan_to_num(np.stack([sample for _, sample in used]))
    low, high = _interval(weights @ stacked)
    return Score(name, n_pairs, n_covered, rho, low, high)


def chance_scores(
    vocabulary: Collection[str], vector_size: int, benchmarks: Sequence[Benchmark], seed: int = 0, draws: int = DRAWS
) -> tuple[list[Score], Score]:
    """The scores of random vectors: the mean over `draws` sets of them, and the middle 95 % of draws as the interval.

    A benchmark's pairs share words, so scores of random vectors vary more than as many independent pairs would; this
    interval is the chance level of these very pairs.

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
    """Score every model on every benchmark, over the pairs that it covers and over those that all models cover.

    Words are compared case folded. All models share their resamples, so that over common pairs differences between
    models are not differences between draws.
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
