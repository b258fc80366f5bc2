"""Everything that a report shows of an emotion run, and of the runs and the control beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emotion.classifiers.registry import load_classifier
from emotion.evaluation.calibration import Calibration, measure_calibration
from emotion.evaluation.evaluate import PartScores, score_predictions
from emotion.evaluation.predictions import Predictions, Resampled, paired_difference
from emotion.metrics import MEASURES, Resampling, interval, recalls, wilson_interval
from emotion.training.run import CONTROL_MODEL, Run
from speech2vec.evaluation.bootstrap import Estimate

UA = "UA"


@dataclass(frozen=True)
class ClassScore:
    """The scores of a class; intervals are over speakers (utterances, if there are fewer than 5).

    Parameters
    ----------
    label : str
    n : int
        Number of utterances.
    recall : Estimate or None
        None if no utterance is of the class.
    precision : float or None
        None if nothing was classified as it.
    """

    label: str
    n: int
    recall: Estimate | None
    precision: float | None


@dataclass(frozen=True)
class SpeakerScore:
    """The share of a speaker's utterances that were classified right, the mean over seeds."""

    speaker: str
    n: int
    accuracy: Estimate


@dataclass(frozen=True)
class System:
    """What was measured on the test predictions of one classifier.

    Parameters
    ----------
    name, title : str
        Of its run folder, and of the classifier.
    run : Run
    predictions : Predictions
    scores : PartScores
    classes : list of ClassScore
    calibration : Calibration or None
    differences : dict of str to Estimate
        By measure, the report's run minus this one; empty for that run, and where the test utterances are others.
    """

    name: str
    title: str
    run: Run
    predictions: Predictions
    scores: PartScores
    classes: list[ClassScore]
    calibration: Calibration | None
    differences: dict[str, Estimate]

    @property
    def labels(self) -> tuple[str, ...]:
        return self.predictions.labels

    @property
    def n_speakers(self) -> int:
        return len(set(self.predictions.speaker))

    @property
    def over(self) -> str:
        """What the intervals resample."""
        return "utterances" if self.predictions.n_groups is None else "speakers"

    def interval(self, measure: str) -> Estimate:
        """A measure with its interval over speakers (utterances, if there are too few)."""
        score = self.scores.scores[measure]
        return score.by_speaker or score.by_utterance

    @property
    def shares(self) -> np.ndarray:
        """The confusion matrix, each row divided by its sum."""
        confusion = self.scores.confusion
        shares: np.ndarray = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1e-9)
        return shares


@dataclass(frozen=True)
class RunReport:
    """A run, its control, and other runs.

    Parameters
    ----------
    own : System
    control : System or None
        The linear SVM on the same folds; None if the run has none.
    others : list of System
    speakers : list of SpeakerScore
        Worst first.
    """

    own: System
    control: System | None
    others: list[System]
    speakers: list[SpeakerScore]

    @property
    def beside(self) -> list[System]:
        """The control and the other runs."""
        return [*([self.control] if self.control else []), *self.others]


def gather(run: Run, others: Sequence[Run], n_draws: int, seed: int) -> RunReport:
    """Measure everything that a report shows.

    Raises
    ------
    UserError
        Training of a run is incomplete.
    """
    names = _distinct([one.folder.resolve().name for one in (run, *others)])
    own = _system(names[0], run, Predictions.read(run), None, n_draws, seed)
    given = Predictions.read_control(run)
    control = None
    if given is not None:
        control = _system("control", run, given, own, n_draws, seed, load_classifier(CONTROL_MODEL).title)
    beside = [
        _system(name, other, Predictions.read(other), own, n_draws, seed)
        for name, other in zip(names[1:], others, strict=True)
    ]
    return RunReport(own, control, beside, _speakers(own.predictions))


def _distinct(names: Sequence[str]) -> list[str]:
    return [f"{name} ({i})" if names.count(name) > 1 else name for i, name in enumerate(names, start=1)]


def _system(
    name: str,
    run: Run,
    predictions: Predictions,
    first: System | None,
    n_draws: int,
    seed: int,
    title: str = "",
) -> System:
    differences: dict[str, Estimate] = {}
    if first is not None and np.array_equal(first.predictions.utterance_id, predictions.utterance_id):
        both = [Resampled.of(one, n_draws, seed) for one in (first.predictions, predictions)]
        differences = {measure: paired_difference(both[0], both[1], measure) for measure in MEASURES}
    return System(
        name=name,
        title=title or run.classifier.title or run.classifier.name,
        run=run,
        predictions=predictions,
        scores=score_predictions(predictions, n_draws, seed),
        classes=_classes(predictions, n_draws, seed),
        calibration=measure_calibration(predictions, n_draws, seed),
        differences=differences,
    )


def _classes(predictions: Predictions, n_draws: int, seed: int) -> list[ClassScore]:
    n_classes = len(predictions.labels)
    resampling = Resampling.make(predictions.groups, n_draws, seed)
    drawn = np.mean(
        [recalls(resampling.confusions(predictions.true, row, n_classes)) for row in predictions.predicted], axis=0
    )
    confusion = predictions.confusions.mean(axis=0)
    found = []
    for i, label in enumerate(predictions.labels):
        n, classified = confusion[i].sum(), confusion[:, i].sum()
        recall = interval(confusion[i, i] / n, drawn[:, i], predictions.n_groups) if n else None
        found.append(ClassScore(label, int(n), recall, float(confusion[i, i] / classified) if classified else None))
    return found


def _speakers(predictions: Predictions) -> list[SpeakerScore]:
    right = (predictions.predicted == predictions.true).mean(axis=0)
    found = []
    for speaker in sorted(set(predictions.speaker)):
        of_speaker = right[predictions.speaker == speaker]
        accuracy = wilson_interval(float(of_speaker.mean()), len(of_speaker))
        found.append(SpeakerScore(speaker, len(of_speaker), accuracy))
    return sorted(found, key=lambda score: score.accuracy.value)
