"""The figures of the Speech2Vec paper, as data: what was published, beside what is measured."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

SOURCE = "Chung & Glass, Interspeech 2018 (arXiv 1803.08976), Tables 1 and 2"


@dataclass(frozen=True)
class PublishedScore:
    """One cell of the paper's tables.

    Parameters
    ----------
    benchmark : str
        By the names of `benchmarks.BENCHMARK_NAMES`.
    model : str
        ``speech2vec`` or ``word2vec`` (trained on the transcripts of the same speech).
    method : str
        ``skipgram`` or ``cbow``.
    vector_size : int
    percent_of_corpus : int
        How much of the corpus it was trained on.
    rho : float
        Spearman's rank correlation. The paper gives neither coverage nor interval.
    """

    benchmark: str
    model: str
    method: str
    vector_size: int
    percent_of_corpus: int
    rho: float


@cache
def published_scores() -> tuple[PublishedScore, ...]:
    """All published figures."""
    text = (resources.files("speech2vec.data") / "published_scores.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(
        PublishedScore(
            row["benchmark"],
            row["model"],
            row["method"],
            int(row["dim"]),
            int(row["percent_of_corpus"]),
            float(row["rho"]),
        )
        for row in rows
    )


def published_table(model: str, vector_size: int, method: str = "skipgram") -> tuple[int, dict[str, float]]:
    """The published column (whole corpus) whose vector size is nearest to `vector_size`.

    Returns
    -------
    int
        The vector size that was published.
    dict
        Benchmark -> rho.
    """
    rows = [
        score
        for score in published_scores()
        if score.model == model and score.method == method and score.percent_of_corpus == 100
    ]
    nearest = min({row.vector_size for row in rows}, key=lambda size: (abs(size - vector_size), size))
    return nearest, {row.benchmark: row.rho for row in rows if row.vector_size == nearest}
