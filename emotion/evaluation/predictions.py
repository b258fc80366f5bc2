"""The test predictions of a run or of its control, read from CSV, and paired differences between two."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from emotion.metrics import MEASURES, N_DRAWS, Resampling, are_probabilities, confusion_matrix, interval, measures
from emotion.training.run import CONTROL_FILE, PREDICTIONS_FILE, Run
from speech2vec.evaluation.bootstrap import CONFIDENCE, Estimate
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import shortened
from speech2vec.runtime.guarded import read_csv

MIN_SPEAKERS = 5  # for an interval over speakers
MIN_SEEDS = 5  # for a difference to be called significant
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
    probabilities : ndarray [shape=(n_seeds, n_utterances, n_classes)] or None
    """

    labels: tuple[str, ...]
    seeds: list[int]
    utterance_id: np.ndarray
    speaker: np.ndarray
    style: np.ndarray
    fold: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray | None = None

    @classmethod
    def read(cls, run: Run) -> Predictions:
        """Read a run's ``predictions.csv``.

        Raises
        ------
        UserError
            Training is incomplete, or the file belongs to another run.
        """
        untrained = run.untrained()
        if untrained or not (run.folder / PREDICTIONS_FILE).exists():
            raise UserError(
                f"the training of {run.folder} is incomplete ({len(untrained)} folds and seeds missing): complete it "
                "with --resume"
            )
        return cls._read(run, PREDICTIONS_FILE, run.info["seeds"])

    @classmethod
    def read_control(cls, run: Run) -> Predictions | None:
        """Read a run's ``control.csv``; None if it has none."""
        if not (run.folder / CONTROL_FILE).exists():
            return None
        return cls._read(run, CONTROL_FILE, run.info["seeds"][:1])

    @classmethod
    def _read(cls, run: Run, file: str, seeds: list[int]) -> Predictions:
        path = run.folder / file
        index_of = {label: i for i, label in enumerate(run.labels)}
        by_seed: dict[int, list[dict[str, str]]] = {seed: [] for seed in seeds}
        rows = read_csv(path)[1]
        try:
            for _, row in rows:
                by_seed[int(row["seed"])].append(row)
            first = by_seed[seeds[0]]
            true = np.array([index_of[row["label"]] for row in first])
            predicted = np.array([[index_of[row["predicted"]] for row in rows] for rows in by_seed.values()])
            of_class = [f"p_{label}" for label in run.labels]
            probabilities = np.array([[[row[p] for p in of_class] for row in rows] for rows in by_seed.values()], float)
            columns = {name: np.array([row[name] for row in first], dtype=object) for name in _COLUMNS}
            if not len(true) or not are_probabilities(probabilities):
                raise ValueError("no rows, or a probability is not between 0 and 1")
        except (KeyError, IndexError, TypeError, ValueError) as error:
            fault = shortened(str(error))
            raise UserError(f"{path} does not belong to {run.folder} ({fault}): train with --resume again") from error
        return cls(run.labels, list(by_seed), true=true, predicted=predicted, probabilities=probabilities, **columns)

    def where(self, chosen: np.ndarray) -> Predictions:
        """The utterances selected by a mask [shape=(n_utterances,)], bool."""
        columns = {name: getattr(self, name)[chosen] for name in (*_COLUMNS, "true")}
        probabilities = None if self.probabilities is None else self.probabilities[:, chosen]
        predicted = self.predicted[:, chosen]
        return Predictions(self.labels, self.seeds, predicted=predicted, probabilities=probabilities, **columns)

    @property
    def confusions(self) -> np.ndarray:
        """Confusion matrix of each seed [shape=(n_seeds, n_classes, n_classes)]."""
        n_classes = len(self.labels)
        return np.array([confusion_matrix(self.true, row, n_classes) for row in self.predicted])

    @property
    def measures(self) -> dict[str, np.ndarray]:
        """Each measure of each seed [shape=(n_seeds,)]."""
        return measures(self.confusions)

    @property
    def n_groups(self) -> int | None:
        """Number of speakers, which intervals resample; None if they are fewer than 5, and utterances are resampled."""
        n_speakers = len(set(self.speaker))
        return n_speakers if n_speakers >= MIN_SPEAKERS else None

    @property
    def groups(self) -> np.ndarray:
        """What intervals resample: the speaker of each utterance, or each utterance itself."""
        return np.arange(len(self.true)) if self.n_groups is None else self.speaker


@dataclass(frozen=True)
class Resampled:
    """A system's measures and their bootstrap sample; those of systems on the same utterances have the same draws.

    Parameters
    ----------
    utterance_id : ndarray [shape=(n_utterances,)]
    values : dict of ndarray [shape=(n_seeds,)]
    samples : dict of ndarray [shape=(n_draws,)]
        Means over seeds.
    n_speakers : int or None
        Number of speakers drawn; None if they are too few and utterances were drawn.
    """

    utterance_id: np.ndarray
    values: dict[str, np.ndarray]
    samples: dict[str, np.ndarray]
    n_speakers: int | None

    @classmethod
    def of(cls, predictions: Predictions, n_draws: int = N_DRAWS, seed: int = 0) -> Resampled:
        """Draw speakers, or utterances if there are fewer than 5 speakers."""
        draws = Resampling.make(predictions.groups, n_draws, seed)
        samples = draws.sample(predictions.true, predictions.predicted, len(predictions.labels))
        return cls(predictions.utterance_id, predictions.measures, samples, predictions.n_groups)


def paired_difference(first: Resampled, second: Resampled, measure: str) -> Estimate:
    """A measure of one system minus that of another, with a 95 % interval.

    The interval is that of a paired bootstrap over speakers (or utterances), widened for the variance over seeds: each
    of its sides s becomes sqrt(s^2 + (t * e)^2), where e is the standard error of the mean difference over seeds, taken
    seed by seed where both have as many, and t Student's quantile for the smaller number of seeds less one. A system
    with one seed contributes nothing to e.

    Raises
    ------
    UserError
        The systems were tested on different utterances.
    """
    assert measure in MEASURES
    if not np.array_equal(first.utterance_id, second.utterance_id):
        raise UserError("two systems were tested on different utterances and cannot be compared")
    of_seeds = [first.values[measure], second.values[measure]]
    value = float(of_seeds[0].mean() - of_seeds[1].mean())
    sample = first.samples[measure] - second.samples[measure]
    found = interval(value, sample, first.n_speakers, lowest=-1.0)
    repeated = [values for values in of_seeds if len(values) > 1]
    if not repeated:
        return found
    if len(of_seeds[0]) == len(of_seeds[1]):
        repeated = [of_seeds[0] - of_seeds[1]]
    error = math.sqrt(sum(values.var(ddof=1) / len(values) for values in repeated))
    over_seeds = error * float(stats.t.ppf((1 + CONFIDENCE) / 2, min(map(len, repeated)) - 1))
    low = value - math.hypot(max(0.0, value - found.low), over_seeds)
    high = value + math.hypot(max(0.0, found.high - value), over_seeds)
    return Estimate(value, low, high)
