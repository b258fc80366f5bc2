"""Word vectors beside their controls: what `speech2vec evaluate` measures, writes and prints.

The controls of an evaluation: each run's encoder untrained, and how often its corpus holds each word.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from speech2vec.evaluation.benchmarks import SOURCE, Benchmark, published_table
from speech2vec.evaluation.bootstrap import CONFIDENCE, RESAMPLES
from speech2vec.evaluation.similarity import (
    DRAWS,
    HEADLINE,
    ModelScores,
    Score,
    chance_scores,
    evaluate_vectors,
    folded_index,
)
from speech2vec.runtime.environment import environment
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path, write_json
from speech2vec.runtime.progress import log
from speech2vec.training.run import Run, checkpoint_file, is_run
from speech2vec.vectors.instances import word_vectors
from speech2vec.vectors.word_vectors import WordVectors

RANDOM = f"random ({DRAWS} draws)"


EVALUATION_FILE = "evaluation.json"


@dataclass(frozen=True, eq=False)
class NamedVectors:
    """Vectors that take part in a comparison.

    Parameters
    ----------
    name : str
    kind : str
        ``file``, or the control that it is: ``untrained``.
    vectors : WordVectors
    path : Path or None
    counts : mapping or None
        How often the corpus that they come from, or are measured by, holds each word.
    """

    name: str
    kind: str
    vectors: WordVectors
    path: Path | None = None
    counts: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Level:
    """All scores over the words that the models' corpora hold at least `min_count` times; None where none is known."""

    min_count: int | None
    results: dict[str, ModelScores]


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that tell them apart; suffixes are left out where they do not matter.

    Examples
    --------
    >>> distinct_names([Path("a/vectors.txt"), Path("b/vectors.txt")])
    ['a/vectors', 'b/vectors']
    """
    parts = [path.resolve().with_suffix("").parts for path in paths]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def keep_frequent(vectors: WordVectors, counts: Mapping[str, int], min_count: int) -> WordVectors:
    """Without the words that the corpus holds, but fewer than `min_count` times; words it lacks altogether stay."""
    rows = [i for i, word in enumerate(vectors.words) if counts.get(word, min_count) >= min_count]
    return WordVectors([vectors.words[i] for i in rows], vectors.vectors[rows])


def only_words(vectors: WordVectors, words: Sequence[str]) -> WordVectors:
    """The vectors of some words, in their order; words without a vector are left out."""
    kept = [word for word in words if word in vectors]
    rows = np.array([vectors.index[word] for word in kept], dtype=np.int64)
    return WordVectors(kept, vectors.vectors[rows])


def evaluate_levels(
    models: Sequence[NamedVectors],
    benchmarks: Sequence[Benchmark],
    min_counts: Sequence[int] = (1, 5),
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[Level]:
    """Score all models and the random control, once for each minimum count where a model's counts are known.

    A model whose counts are not known keeps all its words.
    """
    levels = []
    counted = any(model.counts is not None for model in models)
    for min_count in min_counts if counted else [None]:
        kept = {
            model.name: model.vectors
            if model.counts is None or min_count is None
            else keep_frequent(model.vectors, model.counts, min_count)
            for model in models
        }
        results = evaluate_vectors(kept, benchmarks, seed, resamples)
        results[RANDOM] = _random_control(list(kept.values()), benchmarks, seed)
        levels.append(Level(min_count, results))
    return levels


def _random_control(compared: Sequence[WordVectors], benchmarks: Sequence[Benchmark], seed: int) -> ModelScores:
    """Random vectors for the words of the first of those compared, of its size."""
    first = compared[0]
    vocabularies = [set(folded_index(vectors)) for vectors in compared]
    own = chance_scores(vocabularies[0], first.vector_size, benchmarks, seed)
    shared = set.intersection(*vocabularies)
    common = own if shared == vocabularies[0] else chance_scores(shared, first.vector_size, benchmarks, seed)
    return ModelScores(len(first), first.vector_size, *own, *common)


def published_columns(vector_size: int) -> dict[str, dict[str, float]]:
    """The published figures that stand beside vectors of this size: column title -> benchmark -> rho."""
    columns = {}
    for model, title in (("speech2vec", "Speech2Vec"), ("word2vec", "Word2Vec")):
        size, table = published_table(model, vector_size)
        columns[f"{title} d={size} (published)"] = table
    return columns


def _size(model: NamedVectors) -> dict[str, int]:
    return {"n_words": len(model.vectors), "vector_size": model.vectors.vector_size}


def write_evaluation(
    folder: Path,
    models: Sequence[NamedVectors],
    benchmarks: Sequence[Benchmark],
    levels: Sequence[Level],
    synthetic: bool | None,
    settings: Mapping[str, Any],
) -> None:
    """Write ``evaluation.json`` (everything, missing words by name) and ``scores.csv`` (a row for each score)."""
    published = published_columns(models[0].vectors.vector_size)
    write_json(
        folder / EVALUATION_FILE,
        {
            "synthetic": synthetic,
            "settings": {**settings, "confidence": CONFIDENCE},
            "benchmarks": [{"name": benchmark.name, "n_pairs": len(benchmark)} for benchmark in benchmarks],
            "models": [
                {
                    "name": model.name,
                    "kind": model.kind,
                    "path": None if model.path is None else str(model.path),
                    **_size(model),
                }
                for model in models
            ]
            + [{"name": RANDOM, "kind": "random", "path": None, **_size(models[0])}],
            "levels": [
                {"min_count": level.min_count, "results": {name: asdict(r) for name, r in level.results.items()}}
                for level in levels
            ],
            "published": {"source": SOURCE, "columns": published},
            "environment": environment(),
        },
    )
    with atomic_path(folder / "scores.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow(["min_count", "model", "over", "benchmark", "n_pairs", "n_covered", "rho", "low", "high"])
        for level in levels:
            for name, result in level.results.items():
                for over, scores in (
                    ("own", [*result.scores, result.mean]),
                    ("common", [*result.common_scores, result.common_mean]),
                ):
                    for s in scores:
                        numbers = ["" if value is None else f"{value:.6f}" for value in (s.rho, s.low, s.high)]
                        rows.writerow([level.min_count, name, over, s.benchmark, s.n_pairs, s.n_covered, *numbers])
        for title, table in published.items():
            for benchmark in benchmarks:
                if benchmark.name in table:
                    rho = f"{table[benchmark.name]:.3f}"
                    rows.writerow(["", title, "published", benchmark.name, len(benchmark), "", rho, "", ""])


def format_evaluation(models: Sequence[NamedVectors], levels: Sequence[Level], synthetic: bool | None) -> str:
    """The tables for a terminal: coverage first, every score with its interval, controls beside it."""
    published = published_columns(models[0].vectors.vector_size)
    lines = []
    if synthetic:
        lines += ["The speech behind these vectors is SYNTHETIC.", ""]
    lines += [
        "Spearman's rho [95 % bootstrap interval over pairs; for random vectors the middle 95 % of draws].",
        "'-': under three pairs covered, or no variation. Published figures come without coverage and interval.",
    ]
    for level in levels:
        lines.append("")
        words = ", ".join(f"{name} {result.n_words:,}" for name, result in level.results.items())
        lines.append(f"== words with a vector{_at(level)}: {words}")
        own = {name: [*result.scores, result.mean] for name, result in level.results.items()}
        common = {name: [*result.common_scores, result.common_mean] for name, result in level.results.items()}
        lines += ["", "Headline", *_headline(own, published)]
        coverage = [[score.n_covered for score in scores] for scores in own.values()]
        same = all(covered == coverage[0] for covered in coverage)
        title = "All sets" if same else "All sets, each model over the pairs that it covers (n)"
        lines += ["", title, *_all_sets(own, published, with_n=not same)]
        if not same:
            lines += ["", "All sets, over the pairs that every model here covers", *_all_sets(common, {}, with_n=False)]
    return "\n".join(lines)


def _at(level: Level) -> str:
    return "" if level.min_count is None else f" at min_count {level.min_count}"


def _headline(columns: Mapping[str, Sequence[Score]], published: Mapping[str, Mapping[str, float]]) -> list[str]:
    """A row for each model: MEN and the mean, pairs covered beside each."""
    rows = []
    for name, scores in columns.items():
        chosen = [score for score in scores if score.benchmark == HEADLINE] + [scores[-1]]
        row = [name]
        for score in chosen:
            row += [f"{score.n_covered:,}/{score.n_pairs:,}", _cell(score)]
        rows.append(row)
    shown = [score.benchmark for score in next(iter(columns.values()))]
    chosen_names = [HEADLINE] * (HEADLINE in shown) + [f"{shown[-1]}, weighted by pairs"]
    for name, table in published.items():
        if HEADLINE in shown:
            rows.append([name, "", f"{table[HEADLINE]:.3f}", "", ""])
    header = ["", *(title for name in chosen_names for title in ("pairs", name))]
    return _align([header, *rows])


def _all_sets(
    columns: Mapping[str, Sequence[Score]], published: Mapping[str, Mapping[str, float]], with_n: bool
) -> list[str]:
    """A row for each benchmark, a column for each model."""
    first = next(iter(columns.values()))
    header = ["", *([] if with_n else ["pairs"]), *columns, *published]
    rows = []
    for i, score in enumerate(first):
        row = [f"{score.benchmark} ({score.n_pairs:,})"] if with_n else [score.benchmark]
        if not with_n:
            row.append(f"{score.n_covered:,}/{score.n_pairs:,}")
        for scores in columns.values():
            row.append(_cell(scores[i]) + (f" ({scores[i].n_covered:,})" if with_n else ""))
        for table in published.values():
            row.append(f"{table[score.benchmark]:.3f}" if score.benchmark in table else "")
        rows.append(row)
    return _align([header, *rows])


def _cell(score: Score) -> str:
    if score.rho is None or score.low is None or score.high is None:
        return "-"
    return f"{score.rho:.3f} [{score.low:.2f}, {score.high:.2f}]"


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns set under one another, the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    return [
        "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(pairs)).rstrip()
        for pairs in ([*zip(row, widths, strict=False)] for row in rows)
    ]


def find_run(vectors: Path) -> Path | None:
    """The run folder that a vectors file lies in, or None."""
    for folder in list(vectors.resolve().parents)[:3]:
        if is_run(folder) and checkpoint_file(folder).parent.is_dir():
            return folder
    return None


@dataclass(frozen=True)
class Control:
    """A run's encoder untrained, with the counts of the run's corpus, and whether its speech is synthetic."""

    model: NamedVectors
    synthetic: bool


def untrained_controls(
    models: Sequence[NamedVectors], runs: Sequence[Path | None], store: Path | None, device: str, required: bool
) -> dict[Path, Control]:
    """One control for each run whose store can be read, on the words of the run's first vectors file.

    Parameters
    ----------
    models : sequence of Model
    runs : sequence of Path or None
        The run of each model.
    store : Path or None
        In place of the stores that the runs record.
    device : str
    required : bool
        Whether a run that cannot be loaded is an error, and not a warning.

    Raises
    ------
    UserError
        A required run cannot be loaded.
    """
    of_run: dict[Path, list[NamedVectors]] = {}
    for model, folder in zip(models, runs, strict=True):
        if folder is not None:
            of_run.setdefault(folder, []).append(model)
    controls = {}
    for name, (folder, own) in zip(distinct_names(list(of_run)), of_run.items(), strict=True):
        try:
            loaded = Run.load(folder, store, device=device, trained=False)
        except UserError as error:
            if required:
                raise
            named = ", ".join(f"'{model.name}'" for model in own)
            log.warning("no untrained encoder and no counts stand beside %s: %s", named, error)
            continue
        corpus = loaded.store
        log.info("encoding %s words with the untrained encoder", f"{corpus.n_words:,}")
        vectors = only_words(word_vectors(loaded), own[0].vectors.words)
        counts = dict(zip(corpus.types, corpus.counts.tolist(), strict=True))
        controls[folder] = Control(
            NamedVectors(f"untrained {name}", "untrained", vectors, counts=counts), corpus.synthetic
        )
    return controls


def with_counts_of_runs(
    models: Sequence[NamedVectors], runs: Sequence[Path | None], controls: Mapping[Path, Control]
) -> list[NamedVectors]:
    """The models with the word counts of their runs; files of no run take those that all runs have in common."""
    every = [control.model.counts for control in controls.values()]
    common = every[0] if every and all(counts == every[0] for counts in every) else None
    counted = []
    for model, folder in zip(models, runs, strict=True):
        if folder is not None:
            counts = controls[folder].model.counts if folder in controls else None
        else:
            counts = common
            if every and common is None:
                log.warning(
                    "'%s' comes from no run, and the runs are of different corpora: it keeps its rare words", model.name
                )
        counted.append(replace(model, counts=counts))
    return counted
