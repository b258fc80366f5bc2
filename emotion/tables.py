"""Tables 1 to 3 of the paper on any corpus: its systems trained here, beside published figures and random vectors.

The published figures are those of Krishna & Reddy (2019): IEMOCAP, four classes, session 5, "unweighted accuracy".
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from emotion.dataset import Prepared
from emotion.evaluate import Predictions, Score, score_predictions
from emotion.metrics import Interval, Resampling, confusion_matrix, interval, measures
from emotion.systems import Row, System, read_published
from speech2vec.errors import UserError
from speech2vec.files import atomic_path

PUBLISHED_N = 1241  # test utterances behind every published figure
PUBLISHED_CORPUS = "IEMOCAP, session 5"


@dataclass(frozen=True)
class Difference:
    """A measure of one system minus that of another, on the same utterances."""

    first: str
    second: str
    measure: str
    points: Interval

    @property
    def significant(self) -> bool:
        return not self.points.low <= 0.0 <= self.points.high


def difference(first: Predictions, second: Predictions, measure: str) -> Interval:
    """`first` minus `second`, each the mean over seeds, with the interval of a paired bootstrap over utterances.

    Raises
    ------
    UserError
        The two were tested on different utterances.
    """
    if not np.array_equal(first.utterance_id, second.utterance_id):
        raise UserError("two systems were tested on different utterances and cannot be compared")
    n_classes = len(first.labels)
    draws = Resampling.make(np.arange(len(first.true)))
    values, samples = [], []
    for one in (first, second):
        confusions = np.array([confusion_matrix(one.true, row, n_classes) for row in one.predicted])
        values.append(float(measures(confusions)[measure].mean()))
        samples.append(draws.sample(one.true, one.predicted, n_classes)[measure])
    return interval(values[0] - values[1], samples[0] - samples[1])


def compare_systems(results: Mapping[System, Predictions], measure: str = "UA") -> list[Difference]:
    """Compare every two systems that differ in one thing: the vectors, or the audio beside them."""
    found = []
    systems = list(results)
    for i, second in enumerate(systems):
        for first in systems[i + 1 :]:
            same_vectors = (first.kind, first.vector_size) == (second.kind, second.vector_size)
            other_vectors = first.model == second.model and first.vector_size == second.vector_size
            audio_alone = first.model == "dual" and second.model == "acoustic"
            if same_vectors or other_vectors or audio_alone:
                points = difference(results[first], results[second], measure)
                found.append(Difference(first.title, second.title, measure, points))
    return found


def published_differences() -> list[str]:
    """What the published figures themselves can show, on 1,241 utterances."""
    figures = {(line["system"], line["vector_size"]): float(line["accuracy"]) for line in read_published()}
    speech, word = "dual encoder with speech embeddings", "dual encoder with word embeddings"
    compared = [
        ("dual, speech less word vectors, d = 50", (speech, "50"), (word, "50")),
        ("dual, speech vectors, less E-vector + MCNN + LSTM", (speech, "50"), ("E-vector + MCNN + LSTM", "")),
        ("embedding only, speech less word vectors", ("speech embedding only", "50"), ("word embedding only", "50")),
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
class Tables:
    """Three tables, ready to be written."""

    corpus: str
    composite: bool
    protocol: str
    n_seeds: int
    n_test: int
    rows: list[tuple[Row, dict[str, Score] | None]]
    differences: list[Difference]

    def text(self) -> str:
        lines = [self.heading]
        for number in (1, 2, 3):
            rows = [(row, scores) for row, scores in self.rows if row.table == number]
            width = max(len(row.title) for row, _ in rows)
            lines += ["", f"Table {number}", f"{'':{width}}  published  {'WA':>26}  {'UA':>26}"]
            for row, scores in rows:
                cells = [_cell(scores[name]) if scores else "" for name in ("WA", "UA")]
                lines.append(f"{row.title:{width}}  {_figure(row.published):>9}  {cells[0]:>26}  {cells[1]:>26}")
        lines += ["", "Differences in points, 95 % interval (paired bootstrap over test utterances)"]
        lines += [_difference_line(d) for d in self.differences]
        lines += ["", f"The published figures' own differences ({PUBLISHED_N:,} utterances, independent samples)"]
        return "\n".join(lines + published_differences())

    @property
    def heading(self) -> str:
        composite = " (COMPOSITE: compares with nothing published)" if self.composite else ""
        what = "mean ± deviation over seeds " if self.n_seeds > 1 else ""
        return (
            f"{self.corpus}{composite}, {self.protocol}, {self.n_test:,} test utterances, {self.n_seeds} seed(s): "
            f"{what}[95 % over utterances]; published: {PUBLISHED_CORPUS}"
        )

    def csv_rows(self) -> list[list[Any]]:
        """Header and rows of ``tables.csv``; each figure has beside it the corpus that it is of."""
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

    def html(self) -> str:
        parts = [f"<!doctype html><meta charset=utf-8><title>Tables</title><p>{escape(self.heading)}</p>"]
        for number in (1, 2, 3):
            parts.append(f"<h2>Table {number}</h2><table><tr><th>system<th>published<th>WA<th>UA")
            for row, scores in self.rows:
                if row.table == number:
                    cells = [
                        row.title,
                        _figure(row.published),
                        *(_cell(scores[n]) if scores else "" for n in ("WA", "UA")),
                    ]
                    parts.append("<tr>" + "".join(f"<td>{escape(cell)}" for cell in cells))
            parts.append("</table>")
        parts.append("<h2>Differences</h2><ul>")
        parts += [f"<li>{escape(_difference_line(d))}" for d in self.differences]
        parts.append(f"</ul><h2>The published figures' own</h2><ul><li>{'<li>'.join(published_differences())}</ul>")
        return "\n".join(parts)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _cell(score: Score) -> str:
    low, high = 100 * score.by_utterance.low, 100 * score.by_utterance.high
    deviation = "" if score.deviation is None else f" ± {100 * score.deviation:.1f}"
    return f"{100 * score.mean:.1f}{deviation} [{low:.1f}, {high:.1f}]"


def _difference_line(d: Difference) -> str:
    value, low, high = (100 * number for number in (d.points.value, d.points.low, d.points.high))
    verdict = "significant" if d.significant else "not significant"
    return f"{d.measure}: {d.first} less {d.second}: {value:+.1f} [{low:+.1f}, {high:+.1f}], {verdict}"


def make_tables(
    rows: Sequence[Row], results: Mapping[System, Predictions], prepared: Prepared, protocol: str, n_seeds: int
) -> Tables:
    """Scores and differences of trained systems."""
    scores = {system: score_predictions(predictions).scores for system, predictions in results.items()}
    n_test = len(next(iter(results.values())).true)
    lines = [(row, scores[row.system] if row.system else None) for row in rows]
    return Tables(
        corpus=prepared.name,
        composite=prepared.composite,
        protocol=protocol,
        n_seeds=n_seeds,
        n_test=n_test,
        rows=lines,
        differences=compare_systems(results),
    )


def write_tables(tables: Tables, folder: Path) -> None:
    """Write tables.txt, tables.csv and tables.html."""
    folder.mkdir(parents=True, exist_ok=True)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(tables.csv_rows())
    for name, text in (
        ("tables.txt", tables.text() + "\n"),
        ("tables.csv", out.getvalue()),
        ("tables.html", tables.html()),
    ):
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
