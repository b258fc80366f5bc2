"""Are a classifier's probabilities what they say? Accuracy by confidence, and what chance alone would show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emotion.evaluation.predictions import Predictions
from emotion.metrics import N_DRAWS, Resampling, expected_calibration_error, interval
from speech2vec.evaluation.bootstrap import CONFIDENCE, Estimate
from speech2vec.runtime.seeds import generator

N_BINS = 15  # of the diagram and of the error
_N_SIMULATED = 500
_SIMULATED = 1  # stream of random numbers


@dataclass(frozen=True)
class ReliabilityBin:
    """The predictions of like confidence.

    Parameters
    ----------
    low, high : float
        The bin's ends.
    n : float
        Number of utterances, the mean over seeds.
    confidence : float
        Their mean confidence.
    accuracy : Estimate
        The share that is right, with an interval over speakers (utterances, if there are fewer than 5).
    """

    low: float
    high: float
    n: float
    confidence: float
    accuracy: Estimate


@dataclass(frozen=True)
class Calibration:
    """How far confidence and accuracy are apart.

    Parameters
    ----------
    error : float
        `emotion.metrics.expected_calibration_error`, the mean over seeds.
    chance : float
        Of the errors that a perfectly calibrated classifier of the same confidences would show on as many utterances,
        the 95th percentile (consistency resampling: Bröcker and Smith, Weather and Forecasting 22, 2007). The
        expectation is above 0 on few utterances.
    confidence, accuracy : float
        Means over utterances and seeds.
    bins : list of ReliabilityBin
        Those that hold utterances.
    """

    error: float
    chance: float
    confidence: float
    accuracy: float
    bins: list[ReliabilityBin]

    @property
    def calibrated(self) -> bool:
        """Whether the error is no more than chance would show."""
        return self.error <= self.chance


def measure_calibration(predictions: Predictions, n_draws: int = N_DRAWS, seed: int = 0) -> Calibration | None:
    """The calibration of test predictions, all seeds together; None without probabilities.

    Parameters
    ----------
    predictions : Predictions
    n_draws, seed : int
        Bootstrap draws of the accuracies, and the seed of all draws.
    """
    probabilities = predictions.probabilities
    if probabilities is None or not len(predictions.true):
        return None
    confidence = probabilities.max(axis=-1)
    right = (probabilities.argmax(axis=-1) == predictions.true).astype(float)
    errors = [expected_calibration_error(predictions.true, of_seed, N_BINS) for of_seed in probabilities]
    return Calibration(
        error=float(np.mean(errors)),
        chance=_error_by_chance(confidence, seed),
        confidence=float(confidence.mean()),
        accuracy=float(right.mean()),
        bins=_reliability(predictions, confidence, right, n_draws, seed),
    )


def _bin_of(confidence: np.ndarray) -> np.ndarray:
    return np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)


def _error_by_chance(confidence: np.ndarray, seed: int) -> float:
    """The 95th percentile of the error if each utterance is right with the probability `confidence` [seeds, n]."""
    draw = generator(seed, _SIMULATED)
    n_seeds, n = confidence.shape
    cell = _bin_of(confidence) + N_BINS * np.arange(n_seeds)[:, None]
    errors = np.empty(_N_SIMULATED)
    for i in range(_N_SIMULATED):
        right = draw.random(n) < confidence  # the same utterances are hard for all seeds
        gaps = np.bincount(cell.ravel(), weights=(right - confidence).ravel(), minlength=n_seeds * N_BINS)
        errors[i] = np.abs(gaps).sum() / (n_seeds * n)
    return float(np.quantile(errors, CONFIDENCE))


def _reliability(
    predictions: Predictions, confidence: np.ndarray, right: np.ndarray, n_draws: int, seed: int
) -> list[ReliabilityBin]:
    n_seeds = len(confidence)
    resampling = Resampling.make(predictions.groups, n_draws, seed)
    n_units = resampling.draws.shape[1]
    cell = (_bin_of(confidence) + N_BINS * resampling.unit).ravel()  # unit and bin
    counts, hits, sums = (
        np.bincount(cell, weights=weights.ravel(), minlength=n_units * N_BINS).reshape(n_units, N_BINS)
        for weights in (np.ones_like(right), right, confidence)
    )
    with np.errstate(invalid="ignore"):  # a draw may leave a bin empty
        drawn = (resampling.draws @ hits) / (resampling.draws @ counts)
    found = []
    for b in np.flatnonzero(counts.sum(axis=0)):
        total = counts[:, b].sum()
        accuracy = interval(hits[:, b].sum() / total, drawn[:, b], predictions.n_groups)
        mean = float(sums[:, b].sum() / total)
        found.append(ReliabilityBin(b / N_BINS, (b + 1) / N_BINS, total / n_seeds, mean, accuracy))
    return found
