"""Classification measures: WA, UA, macro F1, recall per class, and their bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from speech2vec.evaluation.bootstrap import CONFIDENCE, Estimate, draw_groups, percentile_interval
from speech2vec.runtime.seeds import generator

MEASURES = ("WA", "UA", "macro F1")
N_DRAWS = 2000  # default number of bootstrap draws


def are_probabilities(rows: np.ndarray) -> bool:
    """Whether the last axis holds numbers from 0 to 1 that add up to 1 [shape=(..., n_classes)]."""
    return bool((rows >= 0).all() and (np.abs(rows.sum(axis=-1) - 1) < 0.01).all())


def confusion_matrix(true: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts [shape=(n_classes, n_classes)], int64: row = true class, column = predicted class."""
    cells = np.asarray(true) * n_classes + np.asarray(predicted)
    return np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes)


def recalls(confusion: np.ndarray) -> np.ndarray:
    """Recall of each class [shape=(..., n_classes)]; NaN for a class without utterances."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.diagonal(confusion, axis1=-2, axis2=-1) / confusion.sum(axis=-1)


def balancing_weights(labels: np.ndarray, n_classes: int = 0) -> np.ndarray:
    """Weight of each class with which all classes that occur count the same [shape=(n_classes,)]; their mean is 1.

    Parameters
    ----------
    labels : ndarray [shape=(n_utterances,)], int64
    n_classes : int
        0 takes the highest of `labels`. A class that does not occur has the weight 0.

    Examples
    --------
    >>> balancing_weights(np.array([0, 0, 0, 2]), 4)
    array([0.66666667, 0.        , 2.        , 0.        ])
    """
    counts = np.bincount(labels, minlength=n_classes)
    weights = len(labels) / np.maximum(counts, 1) / np.count_nonzero(counts)
    return np.where(counts > 0, weights, 0.0)


def measures(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """WA, UA and macro F1 of one confusion matrix or a stack of them.

    WA (weighted accuracy) is accuracy; UA (unweighted accuracy) is the mean recall of the classes. Classes without
    utterances are excluded from the means.

    Parameters
    ----------
    confusion : ndarray [shape=(..., n_classes, n_classes)]

    Returns
    -------
    dict of ndarray [shape=(...)]
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    occurs = confusion.sum(axis=-1) > 0
    n_occurring = occurs.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        wa = hits.sum(axis=-1) / confusion.sum(axis=(-2, -1))
        ua = np.where(occurs, recalls(confusion), 0.0).sum(axis=-1) / n_occurring
        f1 = 2 * hits / (confusion.sum(axis=-1) + confusion.sum(axis=-2))
        f1 = np.where(occurs, f1, 0.0).sum(axis=-1) / n_occurring
    return {"WA": wa, "UA": ua, "macro F1": f1}


@dataclass(frozen=True)
class Resampling:
    """Bootstrap draws of utterances or of groups of them (speakers), shared by the systems being compared.

    Parameters
    ----------
    unit : ndarray [shape=(n_utterances,)], int64
        The unit each utterance belongs to; units are drawn with replacement.
    draws : ndarray [shape=(n_draws, n_units)]
        How many times each draw contains each unit.
    """

    unit: np.ndarray
    draws: np.ndarray

    @classmethod
    def make(cls, groups: Sequence[str] | np.ndarray, n_draws: int = N_DRAWS, seed: int = 0) -> Resampling:
        """Draw groups with replacement; put each utterance into its own group to draw utterances."""
        unit, draws = draw_groups(np.asarray(groups).astype(str), generator(seed), n_draws)
        return cls(unit, draws.astype(np.float64))

    def confusions(self, true: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
        """Confusion matrix of each draw [shape=(n_draws, n_classes, n_classes)]."""
        n_cells = n_classes**2
        cells = np.asarray(true) * n_classes + np.asarray(predicted)
        n_units = self.draws.shape[1]
        per_unit = np.bincount(self.unit * n_cells + cells, minlength=n_units * n_cells).reshape(n_units, n_cells)
        return (self.draws @ per_unit).reshape(-1, n_classes, n_classes)

    def sample(self, true: np.ndarray, predicted: np.ndarray, n_classes: int) -> dict[str, np.ndarray]:
        """Each measure in each draw [shape=(n_draws,)], averaged over seeds.

        Parameters
        ----------
        true : ndarray [shape=(n_utterances,)]
        predicted : ndarray [shape=(n_seeds, n_utterances)]
        n_classes : int
        """
        runs = [measures(self.confusions(true, row, n_classes)) for row in predicted]
        return {name: np.mean([run[name] for run in runs], axis=0) for name in MEASURES}


def expected_calibration_error(true: np.ndarray, probabilities: np.ndarray, n_bins: int = 15) -> float:
    """Mean distance of confidence and accuracy over bins of equal width (Guo et al., ICML 2017).

    Parameters
    ----------
    true : ndarray [shape=(n_utterances,)]
    probabilities : ndarray [shape=(n_utterances, n_classes)]
        The confidence is the largest of a row.
    n_bins : int

    Examples
    --------
    >>> round(expected_calibration_error(np.array([0, 1]), np.array([[0.9, 0.1], [0.9, 0.1]])), 3)
    0.4
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == true
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=n_bins)  # n of the bin * (accuracy - confidence)
    return float(np.abs(gaps).sum() / len(true))


def interval(value: float, sample: np.ndarray, n_groups: int | None = None, *, lowest: float = 0.0) -> Estimate:
    """A value with the percentile interval of its bootstrap sample.

    Parameters
    ----------
    value : float
    sample : ndarray [shape=(n_draws,)]
        The same measure in each draw, from 0 to 1.
    n_groups : int or None
        Number of groups drawn if they are few (speakers): both sides of the interval are then widened by `stretch`,
        within `lowest` and 1.
    lowest : float
        -1 for a difference.
    """
    low, high = percentile_interval(sample)
    if n_groups is not None:
        factor = stretch(n_groups)
        # The value can lie outside the percentiles (macro F1 of few utterances): never move a side inwards.
        low = max(lowest, min(low, value - factor * (value - low)))
        high = min(1.0, max(high, value + factor * (high - value)))
    return Estimate(float(value), low, high)


def stretch(n_groups: int) -> float:
    """Factor by which the percentile interval of a bootstrap over few groups has to be widened.

    The bootstrap estimates the variance between groups with divisor n instead of n - 1 and uses the normal instead of
    Student's quantile, so the 95 % percentile interval of the mean of 5 groups covers the true mean only 85 % of the
    time (Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69(4), 2015).

    Parameters
    ----------
    n_groups : int
        At least 2.

    Examples
    --------
    >>> [round(stretch(n), 3) for n in (5, 10, 24, 91)]
    [1.584, 1.217, 1.078, 1.019]
    """
    upper = (1 + CONFIDENCE) / 2
    student, normal = stats.t.ppf(upper, n_groups - 1), stats.norm.ppf(upper)
    return float(math.sqrt(n_groups / (n_groups - 1)) * student / normal)


def wilson_interval(share: float, n: int) -> Estimate:
    """A share of `n` independent trials with its 95 % interval, which is right for few trials and for 0 and 1 too.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.

    Examples
    --------
    >>> wilson_interval(1.0, 10).text()
    '1.00 [0.72, 1.00]'
    """
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    middle, half = share + z**2 / (2 * n), z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = ((middle + side * half) / (1 + z**2 / n) for side in (-1, 1))
    return Estimate(share, max(0.0, low), min(1.0, high))
