"""Scores of a run: measures over seeds with bootstrap intervals, by class and style; as text, JSON and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from emotion.classifiers.registry import load_classifier
from emotion.data.dataset import Prepared
from emotion.evaluation.other_corpus import predict_corpus
from emotion.evaluation.predictions import Predictions, Resampled, paired_difference
from emotion.metrics import (
    MEASURES,
    N_DRAWS,
    Resampling,
    expected_calibration_error,
    interval,
    measures,
    recalls,
)
from emotion.training.member import Member
from emotion.training.run import CONTROL_MODEL, Run
from speech2vec.evaluation.bootstrap import Estimate
from speech2vec.runtime.display import Displayed, Table
from speech2vec.runtime.files import atomic_path, write_json
from speech2vec.runtime.output import FolderContents

EVALUATION_CONTENTS = FolderContents(marks=("scores.json", "report.txt"), others=("confusion.png",))


@dataclass(frozen=True)
class Score:
    """A measure: its mean and standard deviation over seeds, and bootstrap intervals of the mean.

    Parameters
    ----------
    mean : float
    deviation : float or None
        With divisor n - 1; None for one seed.
    by_utterance, by_speaker : Estimate or None
        95 % intervals of the mean, resampling utterances or speakers. The interval over speakers is widened for their
        number (`emotion.metrics.stretch`); None for fewer than 5 speakers.
    """

    mean: float
    deviation: float | None
    by_utterance: Estimate
    by_speaker: Estimate | None


@dataclass(frozen=True)
class PartScores:
    """All scores of a set of test utterances.

    Parameters
    ----------
    n : int
        Number of utterances.
    scores : dict of str to Score
        By measure.
    recalls : dict of str to float
        By class, the mean over seeds; NaN for a class without utterances.
    confusion : ndarray [shape=(n_classes, n_classes)]
        Row = true class, the mean over seeds.
    calibration_error : float or None
        `emotion.metrics.expected_calibration_error`, the mean over seeds; None without probabilities.
    """

    n: int
    scores: dict[str, Score]
    recalls: dict[str, float]
    confusion: np.ndarray
    calibration_error: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "utterances": self.n,
            **{name: asdict(score) for name, score in self.scores.items()},
            "recall": {label: None if np.isnan(value) else value for label, value in self.recalls.items()},
            "confusion": self.confusion.tolist(),
            "expected calibration error": self.calibration_error,
        }


def score_predictions(predictions: Predictions, n_draws: int = N_DRAWS, seed: int = 0) -> PartScores:
    """Score test utterances, pooling the folds of each seed; `seed` is that of the bootstrap."""
    n_classes = len(predictions.labels)
    confusions = predictions.confusions
    values = measures(confusions)
    utterances = Resampling.make(np.arange(len(predictions.true)), n_draws, seed)
    sample = utterances.sample(predictions.true, predictions.predicted, n_classes)
    by_speaker: dict[str, np.ndarray] | None = None
    if predictions.n_groups is not None:
        speakers = Resampling.make(predictions.groups, n_draws, seed)
        by_speaker = speakers.sample(predictions.true, predictions.predicted, n_classes)
    scores = {}
    for name in MEASURES:
        mean = float(values[name].mean())
        deviation = float(values[name].std(ddof=1)) if len(values[name]) > 1 else None
        over_speakers = interval(mean, by_speaker[name], predictions.n_groups) if by_speaker else None
        scores[name] = Score(mean, deviation, interval(mean, sample[name]), over_speakers)
    mean_recalls = recalls(confusions).mean(axis=0)
    return PartScores(
        len(predictions.true),
        scores,
        dict(zip(predictions.labels, mean_recalls.tolist(), strict=True)),
        confusions.mean(axis=0),
        None if predictions.probabilities is None else _calibration_error(predictions.true, predictions.probabilities),
    )


def _calibration_error(true: np.ndarray, probabilities: np.ndarray) -> float:
    return float(np.mean([expected_calibration_error(true, of_seed) for of_seed in probabilities]))


@dataclass(frozen=True)
class Control:
    """The linear SVM on statistics of the same folds, and how far the run is from it.

    Parameters
    ----------
    scores : PartScores
    differences : dict of str to Estimate
        By measure, the run minus the control (`paired_difference`).
    by_speaker : bool
        Whether their intervals are over speakers; over utterances otherwise.
    """

    scores: PartScores
    differences: dict[str, Estimate]
    by_speaker: bool

    def to_dict(self) -> dict[str, Any]:
        differences = {name: asdict(points) for name, points in self.differences.items()}
        return {"scores": self.scores.to_dict(), "run less control": differences, "over speakers": self.by_speaker}


def _compare_with_control(run: Run, predictions: Predictions, n_draws: int, seed: int) -> Control | None:
    control = Predictions.read_control(run)
    if control is None:
        return None
    own, other = (Resampled.of(one, n_draws, seed) for one in (predictions, control))
    differences = {name: paired_difference(own, other, name) for name in MEASURES}
    return Control(score_predictions(control, n_draws, seed), differences, own.n_speakers is not None)


@dataclass(frozen=True)
class Evaluation(Displayed):
    """All scores of a run's test predictions; prints as a report.

    Parameters
    ----------
    run : Run
    parts : dict of str to PartScores
        "all", and each style of speaking if there are several.
    by_fold : dict of str to dict of str to float
        Each measure of each fold, the mean over seeds.
    control : Control or None
    corpus : str or None
        The corpus if it is another than the run's own (`evaluate_on`); there are then no folds and no control.
    left_out : dict of str to int
        Utterances of that corpus with a label that the run does not know.
    """

    run: Run
    parts: dict[str, PartScores]
    by_fold: dict[str, dict[str, float]]
    control: Control | None = None
    corpus: str | None = None
    left_out: dict[str, int] = field(default_factory=dict)

    def display_parts(self) -> list[str | Table]:
        """The text of the report."""
        info = self.run.info
        with_ = f", embeddings {info['embeddings']}" if info["embeddings"] else ""
        lines = [
            f"{info['model']} on {info['corpus']}{with_}; {info['protocol']}, {len(self.run.splits)} fold(s), "
            f"{len(info['seeds'])} seed(s)"
        ]
        if self.corpus is not None:
            lines = [
                f"{info['model']} trained on {info['corpus']}{with_}, all folds and seeds together, on {self.corpus}"
            ]
        if self.left_out:
            unknown = ", ".join(f"{label} {n:,}" for label, n in self.left_out.items())
            lines.append(f"left out, label unknown to the run: {unknown}")
        for name, part in self.parts.items():
            lines.append(f"{name} ({part.n} utterances)")
            for measure, score in part.scores.items():
                speakers = f", over speakers {_range(score.by_speaker)}" if score.by_speaker else ""
                seeds = "" if not score.deviation else f" ± {100 * score.deviation:.1f} over seeds"
                lines.append(
                    f"  {measure:9s} {100 * score.mean:5.1f} %{seeds}, "
                    f"95 % interval over utterances {_range(score.by_utterance)}{speakers}"
                )
            lines.append("  recall    " + "  ".join(f"{k} {100 * v:.1f} %" for k, v in part.recalls.items()))
            if part.calibration_error is not None:
                lines.append(f"  expected calibration error {100 * part.calibration_error:.1f} %")
        lines += self._control_lines()
        lines.append("confusion of all (row = true, % of the row)")
        lines += _confusion_lines(self.run.labels, self.parts["all"].confusion)
        return ["\n".join(lines)]

    def _control_lines(self) -> list[str]:
        if self.control is None:
            return []
        unit = "speakers" if self.control.by_speaker else "utterances"
        shown = []
        for name in ("WA", "UA"):
            points = self.control.differences[name]
            value, low, high = (100 * number for number in (points.value, points.low, points.high))
            score = 100 * self.control.scores.scores[name].mean
            shown.append(f"{name} {score:.1f} %, this run {value:+.1f} points [{low:+.1f}, {high:+.1f}]")
        return [f"{load_classifier(CONTROL_MODEL).title} (control, over {unit}): {'; '.join(shown)}"]

    def to_dict(self) -> dict[str, Any]:
        return {
            "run": self.run.info,
            "parts": {name: part.to_dict() for name, part in self.parts.items()},
            "by_fold": self.by_fold,
            "control": None if self.control is None else self.control.to_dict(),
            "corpus": self.corpus or self.run.corpus,
            "left_out": self.left_out,
        }


def _range(value: Estimate) -> str:
    return f"{100 * value.low:.1f} to {100 * value.high:.1f}"


def _confusion_lines(labels: Sequence[str], confusion: np.ndarray) -> list[str]:
    width = max(7, *(len(label) for label in labels))
    lines = [" " * (width + 2) + " ".join(f"{label:>{width}}" for label in labels)]
    for label, row in zip(labels, confusion, strict=True):
        cells = " ".join(f"{100 * value / max(row.sum(), 1):{width}.1f}" for value in row)
        lines.append(f"  {label:{width}}{cells}")
    return lines


def evaluate_run(run: Run, n_draws: int = N_DRAWS, seed: int = 0) -> Evaluation:
    """Score a run: all test utterances, each style of speaking, and each fold.

    Parameters
    ----------
    run : Run
    n_draws, seed : int
        Number of bootstrap draws and their seed.

    Raises
    ------
    UserError
        Training is incomplete.
    """
    predictions = Predictions.read(run)
    by_fold = {}
    for fold in run.splits:
        part = predictions.where(predictions.fold == fold)
        by_fold[fold] = {name: float(value.mean()) for name, value in part.measures.items()}
    parts = _score_parts(predictions, n_draws, seed)
    return Evaluation(run, parts, by_fold, _compare_with_control(run, predictions, n_draws, seed))


def evaluate_on(
    run: Run, members: list[Member], prepared: Prepared, n_draws: int = N_DRAWS, seed: int = 0
) -> Evaluation:
    """Score a run on another corpus, by the mean probabilities of its members (`predict_corpus`).

    Raises
    ------
    UserError
        See `predict_corpus`.
    """
    predictions, left_out = predict_corpus(run, members, prepared)
    return Evaluation(run, _score_parts(predictions, n_draws, seed), {}, corpus=prepared.name, left_out=left_out)


def _score_parts(predictions: Predictions, n_draws: int, seed: int) -> dict[str, PartScores]:
    """Scores of all utterances, and of each style of speaking if there are several."""
    parts = {"all": score_predictions(predictions, n_draws, seed)}
    styles = sorted({style for style in predictions.style if style})
    if len(styles) > 1:
        for style in styles:
            parts[style] = score_predictions(predictions.where(predictions.style == style), n_draws, seed)
    return parts


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write report.txt, scores.json and confusion.png."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "report.txt") as temporary:
        temporary.write_text(f"{evaluation}\n", encoding="utf-8")
    write_json(folder / "scores.json", evaluation.to_dict())
    draw_confusion(evaluation, folder / "confusion.png")


def draw_confusion(evaluation: Evaluation, path: Path) -> None:
    """Draw the confusion matrix of all test utterances, averaged over seeds, in % of the true class."""
    labels, confusion = evaluation.run.labels, evaluation.parts["all"].confusion
    share = 100 * confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(1.6 + 0.8 * len(labels), 1.2 + 0.8 * len(labels)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    info = evaluation.run.info
    axes.set_title(f"{info['model']}, {evaluation.corpus or info['corpus']}", fontsize=10)
    for i, row in enumerate(share):
        for j, value in enumerate(row):
            axes.text(j, i, f"{value:.0f}", ha="center", va="center", color="white" if value > 50 else "black")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
