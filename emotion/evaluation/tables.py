"""Tables 1 to 3 of Krishna & Reddy (2019) on any corpus, and a fourth with every other classifier.

Published figures stand beside them (on IEMOCAP, four classes, session 5, "unweighted accuracy"), and random vectors.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from emotion.data.dataset import Prepared, data_warning
from emotion.evaluation.evaluate import Score, score_predictions
from emotion.evaluation.predictions import MIN_SEEDS, Predictions, Resampled, paired_difference
from emotion.evaluation.table_rows import MODERN_TABLE, Row, TableSystem, read_published
from emotion.training.member import member_facts
from emotion.training.run import RUN_CONTENTS, Run
from speech2vec.evaluation.bootstrap import Estimate
from speech2vec.runtime.display import Displayed, Table
from speech2vec.runtime.files import atomic_path
from speech2vec.runtime.guarded import guarded_cell
from speech2vec.runtime.output import FolderContents

TABLES_CONTENTS = FolderContents(
    marks=("runs", "tables.txt"), others=("tables.csv", "differences.csv", *RUN_CONTENTS.below("runs/*"))
)
PUBLISHED_N = 1241  # test utterances of every published figure
PUBLISHED_CORPUS = "IEMOCAP, session 5"
COMPARED = ("WA", "UA")
NETWORKS = {"acoustic", "embedding", "dual"}  # of the paper
QUESTIONS = ("audio", "words", "vectors", "system")  # the text shows differences in these only


@dataclass(frozen=True)
class Difference:
    """A measure of one system minus that of another on the same utterances.

    Parameters
    ----------
    first, second : str
    measure : {"WA", "UA"}
    points : Estimate
    about : str
        The only thing in which the systems differ: "audio", "words", "vectors" or "vector size"; "system" for another
        classifier and the first dual encoder (the acoustic model where there is none); "" for several.
    seeds : int
        The smaller number of the two.
    """

    first: str
    second: str
    measure: str
    points: Estimate
    about: str = ""
    seeds: int = MIN_SEEDS

    @property
    def significant(self) -> bool:
        """Whether the interval, which has the variance over seeds in it, excludes zero, with five seeds or more."""
        return self.seeds >= MIN_SEEDS and not self.points.low <= 0.0 <= self.points.high

    @property
    def verdict(self) -> str:
        """In words."""
        if self.seeds < MIN_SEEDS:
            return f"not judged: fewer than {MIN_SEEDS} seeds"
        return "significant" if self.significant else "not significant"

    @property
    def shown(self) -> bool:
        """Whether the text shows it: UA of systems that differ in one thing; ``differences.csv`` has all."""
        return self.measure == "UA" and self.about in QUESTIONS


def differ_in(first: TableSystem, second: TableSystem, reference: TableSystem | None = None) -> str:
    """The only thing in which two systems differ; "system" if one is the reference; "" for several."""
    if first.model == second.model:
        if first.vector_size == second.vector_size:
            return "vectors"
        return "vector size" if first.kind == second.kind else ""
    models = {first.model, second.model}
    if models == {"dual", "embedding"} and (first.kind, first.vector_size) == (second.kind, second.vector_size):
        return "audio"
    if models == {"dual", "acoustic"}:
        return "words"
    return "system" if reference in (first, second) and not models <= NETWORKS else ""


def compare_systems(results: Mapping[TableSystem, Predictions]) -> list[Difference]:
    """Differences between all pairs of systems (later minus earlier, means over seeds); see `paired_difference`.

    Raises
    ------
    UserError
        The systems were tested on different utterances.
    """
    systems = list(results)
    of_model = {system.model: system for system in reversed(systems)}
    reference = of_model.get("dual", of_model.get("acoustic"))
    drawn = {system: Resampled.of(predictions) for system, predictions in results.items()}
    found = []
    for i, second in enumerate(systems):
        for first in systems[i + 1 :]:
            about = differ_in(first, second, reference)
            seeds = min(MIN_SEEDS if one.deterministic else len(results[one].seeds) for one in (first, second))
            for name in COMPARED:
                points = paired_difference(drawn[first], drawn[second], name)
                found.append(Difference(first.title, second.title, name, points, about, seeds))
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
class Effort:
    """What a system takes: trained parameters, and seconds of training by the clock, of one fold and seed."""

    parameters: int
    seconds: float

    @classmethod
    def of(cls, run: Run) -> Effort:
        """The means over the folds and seeds of a run; 0 where a run made before does not say."""
        facts = [member_facts(run.model_folder(fold, seed)) for fold, seed in run.fold_seeds()]
        parameters, seconds = (float(np.mean([one.get(key, 0) for one in facts])) for key in ("parameters", "seconds"))
        return cls(round(parameters), seconds)

    def __str__(self) -> str:
        return f"  {self.parameters:>11,}  {self.seconds:>8.1f}"


@dataclass(frozen=True)
class Tables(Displayed):
    """All tables and the differences between their systems; prints as text.

    Parameters
    ----------
    corpus, protocol : str
    n_seeds, n_test : int
        Number of seeds and of test utterances.
    rows : list of (Row, dict of str to Score or None)
        Each line with its scores by measure; None for published figures only.
    differences : list of Difference
    efforts : dict of TableSystem to Effort
    """

    corpus: str
    protocol: str
    n_seeds: int
    n_test: int
    rows: list[tuple[Row, dict[str, Score] | None]]
    differences: list[Difference]
    efforts: Mapping[TableSystem, Effort] = field(default_factory=dict)

    def display_parts(self) -> list[str | Table]:
        """The text of the report."""
        lines = [self.heading]
        for number in sorted({row.table for row, _ in self.rows}):
            rows = [(row, scores) for row, scores in self.rows if row.table == number]
            width = max(len(row.title) for row, _ in rows)
            title = "Other systems" if number == MODERN_TABLE else f"Table {number}"
            heads = f"{'WA':>26}  {'UA':>26}  {'parameters':>11}  {'s a fold':>8}"
            lines += ["", title, f"{'':{width}}  published  {heads}"]
            for row, scores in rows:
                cells = [_cell(scores[name]) if scores else "" for name in ("WA", "UA")]
                effort = str(self.efforts.get(row.system, "")) if row.system else ""
                lines.append(
                    f"{row.title:{width}}  {_figure(row.published):>9}  {cells[0]:>26}  {cells[1]:>26}{effort}".rstrip()
                )
        lines += ["", "Differences in points, 95 % interval (paired bootstrap, variance over seeds included)"]
        lines += [_difference_line(d) for d in self.differences if d.shown]
        lines += ["", f"Differences between published figures ({PUBLISHED_N:,} utterances, independent samples)"]
        return ["\n".join(lines + published_differences())]

    @property
    def heading(self) -> str:
        warning = data_warning(self.corpus)
        caution = f" ({warning})" if warning else ""
        what = "mean ± deviation over seeds " if self.n_seeds > 1 else ""
        unit = "speakers" if any(_by_speaker(scores) for _, scores in self.rows) else "utterances"
        return (
            f"{self.corpus}{caution}, {self.protocol}, {self.n_test:,} test utterances, {self.n_seeds} seed(s): "
            f"{what}[95 % over {unit}]; published: {PUBLISHED_CORPUS}"
        )

    def csv_rows(self) -> list[list[Any]]:
        """Header and rows of ``tables.csv``; every figure is accompanied by the name of its corpus."""
        header = ["table", "system", "published corpus", "published", "corpus"]
        header += [f"{m} {part}" for m in ("WA", "UA", "macro F1") for part in ("mean", "deviation", "low", "high")]
        body: list[list[Any]] = [[*header, "parameters", "seconds a fold"]]
        for row, scores in self.rows:
            published = ["", ""] if row.published is None else [PUBLISHED_CORPUS, row.published]
            line: list[Any] = [row.table, row.title, *published, self.corpus if scores else ""]
            for name in ("WA", "UA", "macro F1"):
                score = scores[name] if scores else None
                values: list[float | None] = [None] * 4
                if score is not None:
                    values = [score.mean, score.deviation, _interval(score).low, _interval(score).high]
                line += ["" if value is None else round(100 * value, 2) for value in values]
            effort = self.efforts.get(row.system) if row.system else None
            body.append([*line, *(("", "") if effort is None else (effort.parameters or "", round(effort.seconds, 1)))])
        return body

    def difference_rows(self) -> list[list[Any]]:
        """Header and rows of ``differences.csv``, in points."""
        body: list[list[Any]] = [
            ["corpus", "first", "second", "differ in", "measure", "first less second", "low", "high", "significant"]
        ]
        for d in self.differences:
            points = (round(100 * number, 2) for number in (d.points.value, d.points.low, d.points.high))
            verdict = "yes" if d.significant else "no" if d.seeds >= MIN_SEEDS else "not judged"
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


def _interval(score: Score) -> Estimate:
    return score.by_speaker or score.by_utterance


def _by_speaker(scores: Mapping[str, Score] | None) -> bool:
    return scores is not None and all(score.by_speaker is not None for score in scores.values())


def _cell(score: Score) -> str:
    low, high = 100 * _interval(score).low, 100 * _interval(score).high
    deviation = "" if score.deviation is None else f" ± {100 * score.deviation:.1f}"
    return f"{100 * score.mean:.1f}{deviation} [{low:.1f}, {high:.1f}]"


def _difference_line(d: Difference) -> str:
    value, low, high = (100 * number for number in (d.points.value, d.points.low, d.points.high))
    return f"{d.measure}: {d.first} minus {d.second}: {value:+.1f} [{low:+.1f}, {high:+.1f}], {d.verdict}"


def make_tables(
    rows: Sequence[Row], runs: Mapping[TableSystem, Run], prepared: Prepared, protocol: str, n_seeds: int
) -> Tables:
    """Scores and differences of trained systems; a system without a run has its row, empty."""
    results = {system: Predictions.read(run) for system, run in runs.items()}
    scores = {system: score_predictions(predictions).scores for system, predictions in results.items()}
    return Tables(
        corpus=prepared.name,
        protocol=protocol,
        n_seeds=n_seeds,
        n_test=len(next(iter(results.values())).true),
        rows=[(row, scores.get(row.system) if row.system else None) for row in rows],
        differences=compare_systems(results),
        efforts={system: Effort.of(run) for system, run in runs.items()},
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
    csv.writer(out, lineterminator="\n").writerows(map(guarded_cell, row) for row in rows)
    return out.getvalue()
