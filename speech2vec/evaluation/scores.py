"""The scores of an evaluation: shown as tables, written as ``evaluation.json`` and ``scores.csv``, and read back."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from speech2vec.evaluation.similarity import HEADLINE, ModelScores, Score
from speech2vec.runtime.display import Displayed, Table
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path, read_json, write_json
from speech2vec.runtime.guarded import guarded_cell
from speech2vec.runtime.output import FolderContents

EVALUATION_FILE = "evaluation.json"
SCORES_FILE = "scores.csv"
EVALUATION_CONTENTS = FolderContents(marks=(EVALUATION_FILE,), others=(SCORES_FILE,))


@dataclass(frozen=True)
class BenchmarkSize:
    """A benchmark that vectors are scored on."""

    name: str
    n_pairs: int


@dataclass(frozen=True)
class ScoredModel:
    """Vectors that were scored; `kind` is ``file``, or the control that it is: ``untrained``, ``text``, ``random``."""

    name: str
    kind: str
    path: str | None
    n_words: int
    vector_size: int


@dataclass(frozen=True)
class Level:
    """Scores over the words that occur at least `min_count` times; None if no word counts are known.

    `follows` has what the cosines of each model follow over random pairs (`random_pairs`), as far as it is known.
    """

    min_count: int | None
    results: dict[str, ModelScores]
    follows: dict[str, list[Score]] = field(default_factory=dict)


@dataclass(frozen=True)
class Published:
    """Published figures for vectors of about the same size: title of the column -> benchmark -> rho."""

    source: str = ""
    columns: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation(Displayed):
    """Scores of vectors beside their controls.

    Parameters
    ----------
    synthetic : bool or None
        Whether the speech that they come from is synthetic; None if no run tells.
    settings : dict
    benchmarks : list of BenchmarkSize
    models : list of ScoredModel
        The vectors that were given, then the controls.
    levels : list of Level
    published : Published
    environment : dict
        Machine and versions.
    """

    synthetic: bool | None
    settings: dict[str, Any]
    benchmarks: list[BenchmarkSize]
    models: list[ScoredModel]
    levels: list[Level]
    published: Published = field(default_factory=Published)
    environment: dict[str, Any] = field(default_factory=dict)

    def first_of(self, kind: str) -> str:
        """The name of the first model of a kind; empty if there is none."""
        return next((model.name for model in self.models if model.kind == kind), "")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def save(self, folder: str | Path) -> None:
        """Write ``evaluation.json`` (everything, missing words by name) and ``scores.csv`` (a row for each score).

        `RUN/evaluation` is where `report` looks for the evaluation of a run.

        Parameters
        ----------
        folder : path
            Made if need be; files of an earlier evaluation are replaced.
        """
        folder = Path(folder)
        write_json(folder / EVALUATION_FILE, self.to_dict())
        with atomic_path(folder / SCORES_FILE) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerows(_csv_rows(self))

    def display_parts(self) -> list[str | Table]:
        """Coverage first, every score with its interval, controls beside it."""
        parts: list[str | Table] = ["The speech behind these vectors is SYNTHETIC."] if self.synthetic else []
        parts.append(
            "Spearman's rho [95 % bootstrap interval over pairs; for random vectors the middle 95 % of draws].\n"
            "'-': under three pairs covered, or no variation. Published figures come without coverage and interval."
        )
        for level in self.levels:
            at = "" if level.min_count is None else f" at min_count {level.min_count}"
            words = ", ".join(f"{name} {result.n_words:,}" for name, result in level.results.items())
            own = {name: [*result.scores, result.mean] for name, result in level.results.items()}
            common = {name: [*result.common_scores, result.common_mean] for name, result in level.results.items()}
            columns = self.published.columns
            parts += [f"== words with a vector{at}: {words}", Table(_headline(own, columns), "Headline")]
            coverage = [[score.n_covered for score in scores] for scores in own.values()]
            if all(covered == coverage[0] for covered in coverage):
                parts.append(Table(_all_sets(own, columns, with_n=False), "All sets"))
            else:
                title = "All sets, each model over the pairs that it covers (n)"
                parts.append(Table(_all_sets(own, columns, with_n=True), title))
                title = "All sets, over the pairs that every model here covers"
                parts.append(Table(_all_sets(common, {}, with_n=False), title))
            if any(level.follows.values()):
                parts.append(Table(_followed(level.follows), "What the cosines follow over random pairs of words"))
        return parts


def _headline(columns: Mapping[str, list[Score]], published: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    """A row for each model: MEN and the mean, each with the pairs covered."""
    header, rows = [""], []
    for name, scores in columns.items():
        chosen = [score for score in scores[:-1] if score.benchmark == HEADLINE] + [scores[-1]]
        cells = [(f"{score.n_covered:,}/{score.n_pairs:,}", _cell(score)) for score in chosen]
        rows.append([name, *chain.from_iterable(cells)])
        header = ["", *chain.from_iterable(("pairs", score.benchmark) for score in chosen)]
    header[-1] += ", weighted by pairs"
    if HEADLINE in header:
        rows += [
            [title, "", f"{table[HEADLINE]:.3f}", "", ""] for title, table in published.items() if HEADLINE in table
        ]
    return [header, *rows]


def _all_sets(
    columns: Mapping[str, list[Score]], published: Mapping[str, Mapping[str, float]], with_n: bool
) -> list[list[str]]:
    """A row for each benchmark, a column for each model."""
    rows = [["", *([] if with_n else ["pairs"]), *columns, *published]]
    for scores in zip(*columns.values(), strict=True):
        name, n_pairs, n_covered = scores[0].benchmark, scores[0].n_pairs, scores[0].n_covered
        row = [f"{name} ({n_pairs:,})"] if with_n else [name, f"{n_covered:,}/{n_pairs:,}"]
        row += [_cell(score) + (f" ({score.n_covered:,})" if with_n else "") for score in scores]
        row += [f"{table[name]:.3f}" if name in table else "" for table in published.values()]
        rows.append(row)
    return rows


def _followed(follows: Mapping[str, list[Score]]) -> list[list[str]]:
    """A row for each model, a column for each thing that its cosines may follow, with the pairs."""
    known = list(dict.fromkeys(score.benchmark for scores in follows.values() for score in scores))
    rows = [["", *(cell for name in known for cell in ("pairs", name))]]
    for model, scores in follows.items():
        by_name = {score.benchmark: score for score in scores}
        cells = [(f"{one.n_covered:,}", _cell(one)) if (one := by_name.get(name)) else ("", "") for name in known]
        rows.append([model, *chain.from_iterable(cells)])
    return rows


def _cell(score: Score) -> str:
    if score.rho is None or score.low is None or score.high is None:
        return "-"
    return f"{score.rho:.3f} [{score.low:.2f}, {score.high:.2f}]"


def _csv_rows(evaluation: Evaluation) -> Iterator[list[object]]:
    """The header and the rows of ``scores.csv``."""
    yield ["min_count", "model", "over", "benchmark", "n_pairs", "n_covered", "rho", "low", "high"]
    for level in evaluation.levels:
        for name, result in level.results.items():
            for over, scores in (
                ("own", [*result.scores, result.mean]),
                ("common", [*result.common_scores, result.common_mean]),
            ):
                yield from (_csv_row(level, str(guarded_cell(name)), over, score) for score in scores)
        for name, scores in level.follows.items():
            yield from (_csv_row(level, str(guarded_cell(name)), "random pairs", score) for score in scores)
    for title, table in evaluation.published.columns.items():
        for benchmark in evaluation.benchmarks:
            if benchmark.name in table:
                rho = f"{table[benchmark.name]:.3f}"
                yield ["", title, "published", benchmark.name, benchmark.n_pairs, "", rho, "", ""]


def _csv_row(level: Level, model: str, over: str, score: Score) -> list[object]:
    numbers = ["" if value is None else f"{value:.6f}" for value in (score.rho, score.low, score.high)]
    return [level.min_count, model, over, score.benchmark, score.n_pairs, score.n_covered, *numbers]


def read_evaluation(path: Path) -> Evaluation:
    """Read an ``evaluation.json``.

    Raises
    ------
    UserError
        It cannot be read, or is not one.
    """
    try:
        return TypeAdapter(Evaluation).validate_python(read_json(path))
    except ValidationError as error:
        raise UserError(f"{path} is not what 'speech2vec evaluate' writes; remove it or evaluate again") from error
