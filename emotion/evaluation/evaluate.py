"""Scores of a run: measures over seeds with bootstrap intervals, by class and style; as text, JSON and a figure."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from emotion.metrics import MEASURES, N_DRAWS, Resampling, confusion_matrix, interval, measures, recalls
from emotion.training.run import PREDICTIONS_FILE, Run
from speech2vec.evaluation.bootstrap import Estimate
from speech2vec.runtime.display import Displayed, Table
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path, shortened, write_json
from speech2vec.runtime.output import FolderContents

EVALUATION_CONTENTS = FolderContents(marks=("scores.json", "report.txt"), others=("confusion.png",))
MIN_SPEAKERS = 5  # for an interval over speakers
_COLUMNS = ("utterance_id", "speaker", "style", "fold")


@dataclass(frozen=True)
class Predictions:
    """Predictions for all test utterances, for each seed.

    Parameters
    ----------
    labels : tuple of str
    seeds : list of int
    utterance_id, speaker, style, fold : ndarray [shape=(n_utterances,)], object
        ``style`` is "" if the corpus does not define it.
    true : ndarray [shape=(n_utterances,)], int64
    predicted : ndarray [shape=(n_seeds, n_utterances)], int64
    """

    labels: tuple[str, ...]
    seeds: list[int]
    utterance_id: np.ndarray
    speaker: np.ndarray
    style: np.ndarray
    fold: np.ndarray
    true: np.ndarray
    predicted: np.ndarray

    @classmethod
    def read(cls, run: Run) -> Predictions:
        """Read a run's ``predictions.csv``.

        Raises
        ------
        UserError
            Training is incomplete, or the file belongs to another run.
        """
        path = run.folder / PREDICTIONS_FILE
        untrained = run.untrained()
        if untrained or not path.exists():
            raise UserError(
                f"the training of {run.folder} is incomplete ({len(untrained)} folds and seeds missing): complete it "
                "with --resume"
            )
        index_of = {label: i for i, label in enumerate(run.labels)}
        by_seed: dict[int, list[dict[str, str]]] = {seed: [] for seed in run.info["seeds"]}
        try:
            with path.open(encoding="utf-8", newline="") as lines:
                for row in csv.DictReader(lines):
                    by_seed[int(row["seed"])].append(row)
            first = by_seed[run.info["seeds"][0]]
            true = np.array([index_of[row["label"]] for row in first])
            predicted = np.array([[index_of[row["predicted"]] for row in rows] for rows in by_seed.values()])
            columns = {name: np.array([row[name] for row in first], dtype=object) for name in _COLUMNS}
        except (KeyError, IndexError, TypeError, ValueError, csv.Error) as error:
            fault = shortened(str(error))
            raise UserError(f"{path} does not belong to {run.folder} ({fault}): train with --resume again") from error
        return cls(run.labels, list(by_seed), true=true, predicted=predicted, **columns)

    def where(self, chosen: np.ndarray) -> Predictions:
        """The utterances selected by a mask [shape=(n_utterances,)], bool."""
        columns = {name: getattr(self, name)[chosen] for name in (*_COLUMNS, "true")}
        return Predictions(self.labels, self.seeds, predicted=self.predicted[:, chosen], **columns)


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
    """

    n: int
    scores: dict[str, Score]
    recalls: dict[str, float]
    confusion: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        return {
            "utterances": self.n,
            **{name: asdict(score) for name, score in self.scores.items()},
            "recall": {label: None if np.isnan(value) else value for label, value in self.recalls.items()},
            "confusion": self.confusion.tolist(),
        }


def score_predictions(predictions: Predictions, n_draws: int = N_DRAWS, seed: int = 0) -> PartScores:
    """Score test utterances, pooling the folds of each seed; `seed` is that of the bootstrap."""
    n_classes = len(predictions.labels)
    confusions = np.array([confusion_matrix(predictions.true, row, n_classes) for row in predictions.predicted])
    values = measures(confusions)
    utterances = Resampling.make(np.arange(len(predictions.true)), n_draws, seed)
    sample = utterances.sample(predictions.true, predictions.predicted, n_classes)
    by_speaker: dict[str, np.ndarray] | None = None
    n_speakers = len(set(predictions.speaker))
    if n_speakers >= MIN_SPEAKERS:
        speakers = Resampling.make(predictions.speaker, n_draws, seed)
        by_speaker = speakers.sample(predictions.true, predictions.predicted, n_classes)
    scores = {}
    for name in MEASURES:
        mean = float(values[name].mean())
        deviation = float(values[name].std(ddof=1)) if len(values[name]) > 1 else None
        over_speakers = interval(mean, by_speaker[name], n_speakers) if by_speaker else None
        scores[name] = Score(mean, deviation, interval(mean, sample[name]), over_speakers)
    mean_recalls = recalls(confusions).mean(axis=0)
    return PartScores(
        len(predictions.true),
        scores,
        dict(zip(predictions.labels, mean_recalls.tolist(), strict=True)),
        confusions.mean(axis=0),
    )


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
    """

    run: Run
    parts: dict[str, PartScores]
    by_fold: dict[str, dict[str, float]]

    def display_parts(self) -> list[str | Table]:
        """The text of the report."""
        info = self.run.info
        with_ = f", embeddings {info['embeddings']}" if info["embeddings"] else ""
        lines = [
            f"{info['model']} on {info['corpus']}{with_}; {info['protocol']}, {len(self.run.splits)} fold(s), "
            f"{len(info['seeds'])} seed(s)"
        ]
        for name, part in self.parts.items():
            lines.append(f"{name} ({part.n} utterances)")
            for measure, score in part.scores.items():
                speakers = f", over speakers {_range(score.by_speaker)}" if score.by_speaker else ""
                seeds = "" if score.deviation is None else f" ± {100 * score.deviation:.1f} over seeds"
                lines.append(
                    f"  {measure:9s} {100 * score.mean:5.1f} %{seeds}, "
                    f"95 % interval over utterances {_range(score.by_utterance)}{speakers}"
                )
            lines.append("  recall    " + "  ".join(f"{k} {100 * v:.1f} %" for k, v in part.recalls.items()))
        lines.append("confusion of all (row = true, % of the row)")
        lines += _confusion_lines(self.run.labels, self.parts["all"].confusion)
        return ["\n".join(lines)]

    def to_dict(self) -> dict[str, Any]:
        return {
            "run": self.run.info,
            "parts": {name: part.to_dict() for name, part in self.parts.items()},
            "by_fold": self.by_fold,
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
    parts = {"all": score_predictions(predictions, n_draws, seed)}
    styles = sorted({style for style in predictions.style if style})
    if len(styles) > 1:
        for style in styles:
            parts[style] = score_predictions(predictions.where(predictions.style == style), n_draws, seed)
    by_fold = {}
    for fold in run.splits:
        part = predictions.where(predictions.fold == fold)
        confusions = np.array([confusion_matrix(part.true, row, len(run.labels)) for row in part.predicted])
        by_fold[fold] = {name: float(value.mean()) for name, value in measures(confusions).items()}
    return Evaluation(run, parts, by_fold)


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
    axes.set_title(f"{info['model']}, {info['corpus']}", fontsize=10)
    for i, row in enumerate(share):
        for j, value in enumerate(row):
            axes.text(j, i, f"{value:.0f}", ha="center", va="center", color="white" if value > 50 else "black")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
