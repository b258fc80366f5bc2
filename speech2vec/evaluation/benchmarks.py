"""Word-similarity benchmarks: word pairs with human ratings, and the scores that the Speech2Vec paper published."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import require_file
from speech2vec.runtime.progress import log

SOURCE = "Chung & Glass, Interspeech 2018 (arXiv 1803.08976), Tables 1 and 2"


@dataclass(frozen=True)
class PublishedScore:
    """One score from the paper's tables.

    Parameters
    ----------
    benchmark : str
        One of the names in `BENCHMARK_NAMES`.
    model : str
        ``speech2vec`` or ``word2vec`` (trained on the transcripts of the same speech).
    method : str
        ``skipgram`` or ``cbow``.
    vector_size : int
    percent_of_corpus : int
        Share of the corpus that it was trained on.
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
    """All published scores."""
    text = (resources.files("speech2vec.evaluation.data") / "published_scores.csv").read_text(encoding="utf-8")
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


def published_table(model: str, vector_size: int) -> tuple[int, dict[str, float]]:
    """The published scores (skip-gram, whole corpus) of the vector size nearest to `vector_size`.

    Returns
    -------
    int
        The published vector size.
    dict
        Benchmark -> rho.
    """
    rows = [
        score
        for score in published_scores()
        if score.model == model and score.method == "skipgram" and score.percent_of_corpus == 100
    ]
    nearest = min({row.vector_size for row in rows}, key=lambda size: (abs(size - vector_size), size))
    return nearest, {row.benchmark: row.rho for row in rows if row.vector_size == nearest}


def published_columns(vector_size: int) -> dict[str, dict[str, float]]:
    """The published figures for vectors of about this size: title of the column -> benchmark -> rho."""
    columns = {}
    for model, title in (("speech2vec", "Speech2Vec"), ("word2vec", "Word2Vec")):
        size, table = published_table(model, vector_size)
        columns[f"{title} d={size} (published)"] = table
    return columns


# File names in the collection of Faruqui & Dyer (2014) and in gensim -> names in the literature.
BENCHMARK_NAMES = {
    "EN-VERB-143": "Verb-143",
    "EN-SIMLEX-999": "SimLex-999",
    "EN-MC-30": "MC-30",
    "EN-WS-353-ALL": "WS-353",
    "EN-WS-353-SIM": "WS-353-SIM",
    "EN-WS-353-REL": "WS-353-REL",
    "EN-RG-65": "RG-65",
    "EN-MEN-TR-3k": "MEN",
    "EN-MTurk-287": "MTurk-287",
    "EN-MTurk-771": "MTurk-771",
    "EN-SimVerb-3500": "SimVerb-3500",
    "EN-RW-STANFORD": "Rare-Word",
    "EN-YP-130": "YP-130",
    "wordsim353": "WS-353",
    "simlex999": "SimLex-999",
}


@dataclass(frozen=True)
class Benchmark:
    """Word pairs and their human ratings.

    Parameters
    ----------
    name : str
    pairs : list of (str, str)
        As written in the file, case folded.
    ratings : np.ndarray [shape=(n_pairs,)]
        Mean human ratings, in the benchmark's own scale; higher is more similar.
    """

    name: str
    pairs: list[tuple[str, str]]
    ratings: np.ndarray

    def __len__(self) -> int:
        return len(self.pairs)


def read_benchmark(path: Path) -> Benchmark:
    """Read a file of word pairs: ``word1 word2 rating`` in columns separated by tabs or spaces.

    Lines that start with ``#``, empty lines and a header (a first line without a rating) are skipped, and columns after
    the third ignored. Text that is not UTF-8 is read as Latin-1.

    Raises
    ------
    UserError
        Naming file and line: fewer than three columns, or a rating that is not a finite number.
    """
    path = Path(path)
    try:
        content = require_file(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    pairs: list[tuple[str, str]] = []
    ratings: list[float] = []
    header_may_come = True
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        columns = [column.strip() for column in line.split("\t")] if "\t" in line else line.split()
        if len(columns) < 3 or not columns[0] or not columns[1]:
            raise UserError(f"{path}, line {number}: expected 'word1 word2 rating', not '{line.strip()[:60]}'")
        try:
            rating = float(columns[2])
        except ValueError as error:
            if header_may_come:
                header_may_come = False
                log.info("%s, line %d: taken for a header: %s", path, number, line.strip()[:60])
                continue
            raise UserError(f"{path}, line {number}: the rating '{columns[2]}' is not a number") from error
        if not np.isfinite(rating):
            raise UserError(f"{path}, line {number}: the rating '{columns[2]}' is not a finite number")
        header_may_come = False
        pairs.append((columns[0].casefold(), columns[1].casefold()))
        ratings.append(rating)
    if not pairs:
        raise UserError(f"{path} holds no word pairs")
    return Benchmark(BENCHMARK_NAMES.get(path.stem, path.stem), pairs, np.array(ratings))


def read_benchmarks(source: str | Path | None = None) -> list[Benchmark]:
    """All benchmarks of a folder (``*.txt``, ``*.tsv``), or of one file; None is the two that gensim ships.

    Known benchmarks are in the order of the Speech2Vec paper's Table 1, others follow by name.
    """
    source = None if source is None else Path(source)
    if source is None:
        shipped = resources.files("gensim") / "test" / "test_data"
        paths = []
        for name in ("wordsim353.tsv", "simlex999.txt"):
            with resources.as_file(shipped / name) as path:
                paths.append(path)
    elif source.is_dir():
        paths = sorted(
            path
            for path in source.iterdir()
            if path.suffix.lower() in {".txt", ".tsv"} and not path.stem.lower().startswith(("readme", "license"))
        )
        if not paths:
            raise UserError(
                f"{source} holds no word-similarity files (*.txt, *.tsv); 'speech2vec download wordsim' fetches them"
            )
    else:
        paths = [source]
    benchmarks = [read_benchmark(path) for path in paths]
    names = [benchmark.name for benchmark in benchmarks]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{source} holds the benchmark '{name}' more than once")
    order = {name: place for place, name in enumerate(dict.fromkeys(BENCHMARK_NAMES.values()))}
    return sorted(benchmarks, key=lambda benchmark: (order.get(benchmark.name, len(order)), benchmark.name))
