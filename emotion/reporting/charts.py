"""The charts of an emotion report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emotion.evaluation.calibration import Calibration
from emotion.reporting.findings import UA, RunReport, System
from emotion.reporting.text import chance
from speech2vec.evaluation.bootstrap import Estimate
from speech2vec.reporting.svg import Dot, DotChart, DotRow, Line, LineChart, dot_chart, line_chart

OWN, CONTROL, CHANCE = "s0", "s1", "s2"
OTHERS = ("s3", "s4", "s7", "s8", "s9")
FEW = 10  # utterances below which a bin of the reliability diagram is not drawn
MOST_SPEAKERS = 30  # drawn


@dataclass(frozen=True)
class Cell:
    """A cell of a confusion matrix: its share of the row, its utterances, and whether it is on the diagonal."""

    share: float
    n: float
    right: bool


def styled(report: RunReport) -> list[tuple[System, str]]:
    """The systems of a report, each with the style that it has in all charts."""
    shown = [(report.own, OWN)]
    if report.control:
        shown.append((report.control, CONTROL))
    return shown + [(other, OTHERS[i % len(OTHERS)]) for i, other in enumerate(report.others)]


def legend_name(system: System) -> str:
    """A system's name in legends."""
    return f"{system.title} (control)" if system.name == "control" else system.name


def matrix(system: System) -> list[tuple[str, int, list[Cell]]]:
    """The confusion matrix, a row for each true class with its number of utterances."""
    rows = []
    for i, one in enumerate(system.classes):
        pairs = zip(system.shares[i].tolist(), system.scores.confusion[i].tolist(), strict=True)
        rows.append((one.label, one.n, [Cell(share, n, i == j) for j, (share, n) in enumerate(pairs)]))
    return rows


def _dot(name: str, style: str, estimate: Estimate, note: str = "") -> Dot:
    value, low, high = (100 * end for end in (estimate.value, estimate.low, estimate.high))
    return Dot(name, style, value, low, high, note)


def measures_chart(report: RunReport) -> DotChart | None:
    """WA, UA and macro F1 of all systems."""
    notes = {"UA": "recall, mean over classes", "WA": "share of utterances", "macro F1": "mean over classes"}
    rows = []
    for measure, note in notes.items():
        dots = [_dot(legend_name(system), style, system.interval(measure)) for system, style in styled(report)]
        if measure == UA:
            dots.append(Dot("guessing", CHANCE, 100 * chance(report.own)))
        rows.append(DotRow(measure, note, dots, strong=measure == UA))
    return dot_chart(rows, "% of test utterances", include=(0.0, 100.0))


def classes_chart(report: RunReport) -> DotChart | None:
    """Recall of each class by all systems that know it."""
    rows = []
    for label in dict.fromkeys(label for system, _ in styled(report) for label in system.labels):
        dots = [
            _dot(legend_name(system), style, one.recall, f"{one.n} utterances")
            for system, style in styled(report)
            for one in system.classes
            if one.label == label and one.recall is not None
        ]
        n = next((one.n for one in report.own.classes if one.label == label), 0)
        rows.append(DotRow(label, f"{n:,} utterances", dots))
    return dot_chart(rows, "% of the class recognised", include=(0.0, 100.0))


def speakers_chart(report: RunReport) -> DotChart | None:
    """The share of each speaker's utterances that is right; of many speakers, the worst and the best."""
    speakers = report.speakers
    if len(speakers) < 2:
        return None
    if len(speakers) > MOST_SPEAKERS:
        speakers = [*speakers[: MOST_SPEAKERS // 2], *speakers[-MOST_SPEAKERS // 2 :]]
    rows = [DotRow(one.speaker, f"{one.n} utterances", [_dot(report.own.name, OWN, one.accuracy)]) for one in speakers]
    return dot_chart(rows, "% of the speaker's utterances right", include=(0.0, 100.0))


def reliability_chart(report: RunReport) -> LineChart | None:
    """Accuracy by confidence, of the run with intervals and of its control without."""
    if report.own.calibration is None:
        return None
    own = _drawn(report.own.calibration)
    lines = [
        Line("as sure as right", f"{CHANCE} dashed", [(0.0, 0.0), (100.0, 100.0)]),
        Line(
            report.own.name,
            OWN,
            [(100 * x, 100 * y.value) for x, y in own],
            [(100 * x, 100 * y.low, 100 * y.high) for x, y in own],
        ),
    ]
    if report.control and report.control.calibration:
        points = [(100 * x, 100 * y.value) for x, y in _drawn(report.control.calibration)]
        lines.append(Line(legend_name(report.control), f"{CONTROL} dashed", points))
    return line_chart(lines, "confidence, %", "right, %", include=(0.0, 100.0))


def _drawn(calibration: Calibration) -> Sequence[tuple[float, Estimate]]:
    return [(one.confidence, one.accuracy) for one in calibration.bins if one.n >= FEW]
