"""Tables 1 to 3 of Krishna & Reddy (2019) on any corpus, beside the published figures and random vectors.

The published figures are on IEMOCAP, four classes, session 5, "unweighted accuracy".
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotion.data.dataset import Prepared, data_warning
from emotion.evaluation.evaluate import Predictions, Score, score_predictions
from emotion.evaluation.table_rows import Row, TableSystem, read_published
from emotion.metrics import Resampling, confusion_matrix, interval, measures
from emotion.training.run import RUN_CONTENTS
from speech2vec.evaluation.bootstrap import Estimate
from speech2vec.runtime.display import Displayed, Table
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path
from speech2vec.runtime.output import FolderContents

TABLES_CONTENTS = FolderContents(
    marks=("runs", "tables.txt"), others=("tables.csv", "differences.csv", *RUN_CONTENTS.below("runs/*"))
)
PUBLISHED_N = 1241  # test utterances of every published figure
PUBLISHED_CORPUS = "IEMOCAP, session 5"
COMPARED = ("WA", "UA")
QUESTIONS = ("audio", "words", "vectors")  # the paper's questions; the text shows differences in these only


@dataclass(frozen=True)
class Difference:
    """A measure of one system minus that of another on the same utterances.

    Parameters
    ----------
    first, second : str
    measure : {"WA", "UA"}
    points : Estimate
    about : str
        The only thing in which the systems differ: "audio", "words", "vectors" or "vector size"; "" for several.
    """

    first: str
    second: str
    measure: str
    points: Estimate
    about: str = ""

    @property
    def significant(self) -> bool:
        """Whether the interval excludes zero."""
        return not self.points.low <= 0.0 <= self.points.high

    @property
    def shown(self) -> bool:
        """Whether the text shows it: UA of systems that differ in one thing; ``differences.csv`` has all."""
        return self.measure == "UA" and self.about in QUESTIONS


def differ_in(first: TableSystem, second: TableSystem) -> str:
    """The only thing in which two systems differ; "" for several."""
    if first.model == second.model and first.vector_size == second.vector_size:
        return "vectors"
    if (first.model, first.kind) == (second.model, second.kind):
        return "vector size"
    if (first.kind, first.vector_size) == (second.kind, second.vector_size):
        return "audio"  # the dual model and the embedding model
    return "words" if {first.model, second.model} == {"dual", "acoustic"} else ""


def compare_systems(results: Mapping[TableSystem, Predictions]) -> list[Difference]:
    """Differences between all pairs of systems (later minus earlier, means over seeds), by a paired bootstrap.

    Raises
    ------
    UserError
        The systems were tested on different utterances.
    """
    systems = list(results)
    ids = [results[system].utterance_id for system in systems]
    if any(not np.array_equal(ids[0], other) for other in ids):
        raise UserError("two systems were tested on different utterances and cannot be compared")
    if not systems:
        return []
    draws = Resampling.make(np.arange(len(ids[0])))
    values, samples = {}, {}
    for system, one in results.items():
        n_classes = len(one.labels)
        confusions = np.array([confusion_matrix(one.true, row, n_classes) for row in one.predicted])
        values[system] = {name: float(of_seeds.mean()) for name, of_seeds in measures(confusions).items()}
        samples[system] = draws.sample(one.true, one.predicted, n_classes)
    found = []
    for i, second in enumerate(systems):
        for first in systems[i + 1 :]:
            for name in COMPARED:
                points = interval(
                    values[first][name] - values[second][name], samples[first][name] - samples[second][name]
                )
                found.append(Difference(first.title, second.title, name, points, differ_in(first, second)))
    return found


def published_differences() -> list[str]:
    """Differences between published figures, with intervals for 1,241 utterances."""
    figures = {(line["system"], line["vector_size"]): float(line["accuracy"]) for line in read_published()}
    speech, word = "dual encoder with speech embeddings", "dual encoder with word embeddings"
    compared = [
        ("dual, speech minus word vectors, d = 50", (speech, "50"), (word, "50")),
        ("dual, speech vectors minus E-vector + MCNN + LSTM", (speech, "50"), ("E-vector + MCNN + LSTM", "")),
        ("embedding only, speech minus word vectors", ("speech embedding only", "50"), ("word embedding only", "50")),
    ]
    text = []
    for title, first, second in compared:
        a, b = figures[first], figures[second]
        error = 100 * math.sqrt((a / 100 * (1 - a / 100) + b / 100 * (1 - b / 100)) / PUBLISHED_N)
        low, high = a - b - 1.96 * error, a - b + 1.96 * error
        verdict = "not significant" if low <= 0 <= high else "significant"
        text.append(f"{title}: {a - b:+.2f} [{low:+.2f}, {high:+.2f}], {verdict}")
    return text


@dataclass(frozen=True)
class Tables(Displayed):
    """Three tables and the differences between their systems; prints as text.

    Parameters
    ----------
    corpus, protocol : str
    n_seeds, n_test : int
        Number of seeds and of test utterances.
    rows : list of (Row, dict of str to Score or None)
        Each line with its scores by measure; None for published figures only.
    differences : list of Difference
    """

    corpus: str
    protocol: str
    n_seeds: int
    n_test: int
    rows: list[tuple[Row, dict[str, Score] | None]]
    differences: list[Difference]

    def display_parts(self) -> list[str | Table]:
        """The text of the report."""
        lines = [self.heading]
        for number in (1, 2, 3):
            rows = [(row, scores) for row, scores in self.rows if row.table == number]
            width = max(len(row.title) for row, _ in rows)
            lines += ["", f"Table {number}", f"{'':{width}}  published  {'WA':>26}  {'UA':>26}"]
            for row, scores in rows:
                cells = [_cell(scores[name]) if scores else "" for name in ("WA", "UA")]
                lines.append(f"{row.title:{width}}  {_figure(row.published):>9}  {cells[0]:>26}  {cells[1]:>26}")
        lines += ["", "Differences in points, 95 % interval (paired bootstrap over test utterances)"]
        lines += [_difference_line(d) for d in self.differences if d.shown]
        lines += ["", f"Differences between published figures ({PUBLISHED_N:,} utterances, independent samples)"]
        return ["\n".join(lines + published_differences())]

    @property
    def heading(self) -> str:
        warning = data_warning(self.corpus)
        caution = f" ({warning})" if warning else ""
        what = "mean ± deviation over seeds " if self.n_seeds > 1 else ""
        return (
            f"{self.corpus}{caution}, {self.protocol}, {self.n_test:,} test utterances, {self.n_seeds} seed(s): "
            f"{what}[95 % over utterances]; published: {PUBLISHED_CORPUS}"
        )

    def csv_rows(self) -> list[list[Any]]:
        """Header and rows of ``tables.csv``; every figure is accompanied by the name of its corpus."""
        header = ["table", "system", "published corpus", "published", "corpus"]
        header += [f"{m} {part}" for m in ("WA", "UA", "macro F1") for part in ("mean", "deviation", "low", "high")]
        body: list[list[Any]] = [header]
        for row, scores in self.rows:
            published = ["", ""] if row.published is None else [PUBLISHED_CORPUS, row.published]
            line: list[Any] = [row.table, row.title, *published, self.corpus if scores else ""]
            for name in ("WA", "UA", "macro F1"):
                score = scores[name] if scores else None
                values: list[float | None] = [None] * 4
                if score is not None:
                    values = [score.mean, score.deviation, score.by_utterance.low, score.by_utterance.high]
                line += ["" if value is None else round(100 * value, 2) for value in values]
            body.append(line)
        return body

    def difference_rows(self) -> list[list[Any]]:
        """Header and rows of ``differences.csv``, in points."""
        body: list[list[Any]] = [
            ["corpus", "first", "second", "differ in", "measure", "first less second", "low", "high", "significant"]
        ]
        for d in self.differences:
            points = (round(100 * number, 2) for number in (d.points.value, d.points.low, d.points.high))
            verdict = "yes" if d.significant else "no"
            body.append([self.corpus, d.first, d.second, d.about or "several", d.measure, *points, verdict])
        return body

    def to_dict(self) -> dict[str, Any]:
        return {
            "corpus": self.corpus,
            "protocol": self.protocol,
            "n_seeds": self.n_seeds,
            "n_test": self.n_test,
            "tables": _records(self.csv_rows()),
            "differences": _records(self.difference_rows()),
        }


def _records(rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    header, *body = rows
    return [dict(zip(header, row, strict=True)) for row in body]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _cell(score: Score) -> str:
    low, high = 100 * score.by_utterance.low, 100 * score.by_utterance.high
    deviation = "" if score.deviation is None else f" ± {100 * score.deviation:.1f}"
    return f"{100 * score.mean:.1f}{deviation} [{low:.1f}, {high:.1f}]"


def _difference_line(d: Difference) -> str:
    value, low, high = (100 * number for number in (d.points.value, d.points.low, d.points.high))
    verdict = "significant" if d.significant else "not significant"
    return f"{d.measure}: {d.first} minus {d.second}: {value:+.1f} [{low:+.1f}, {high:+.1f}], {verdict}"


def make_tables(
    rows: Sequence[Row], results: Mapping[TableSystem, Predictions], prepared: Prepared, protocol: str, n_seeds: int
) -> Tables:
    """Scores and differences of trained systems."""
    scores = {system: score_predictions(predictions).scores for system, predictions in results.items()}
    n_test = len(next(iter(results.values())).true)
    lines = [(row, scores[row.system] if row.system else None) for row in rows]
    return Tables(
        corpus=prepared.name,
        protocol=protocol,
        n_seeds=n_seeds,
        n_test=n_test,
        rows=lines,
        differences=compare_systems(results),
    )


def write_tables(tables: Tables, folder: Path) -> None:
    """Write tables.txt, tables.csv and differences.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("tables.txt", f"{tables}\n"),
        ("tables.csv", _csv(tables.csv_rows())),
        ("differences.csv", _csv(tables.difference_rows())),
    ):
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
