"""Measures of a classifier: WA, UA, macro F1, recall by class, and their bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from speech2vec.evaluation.bootstrap import CONFIDENCE, Estimate, draw_groups, percentile_interval
from speech2vec.runtime.seeds import generator

MEASURES = ("WA", "UA", "macro F1")
N_DRAWS = 2000  # of the bootstrap, unless told otherwise


def confusion_matrix(true: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts [shape=(n_classes, n_classes)], int64: row = true class, column = predicted class."""
    cells = np.asarray(true) * n_classes + np.asarray(predicted)
    return np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes)


def recalls(confusion: np.ndarray) -> np.ndarray:
    """Recall of each class [shape=(..., n_classes)]; NaN for a class that does not occur."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.diagonal(confusion, axis1=-2, axis2=-1) / confusion.sum(axis=-1)


def measures(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """WA, UA and macro F1 of one confusion matrix or a stack of them.

    WA (weighted accuracy) is accuracy; UA (unweighted) is the mean recall of the classes. Classes that do not occur
    in the data are left out of the means.

    Parameters
    ----------
    confusion : ndarray [shape=(..., n_classes, n_classes)]

    Returns
    -------
    dict of ndarray [shape=(...)]
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    there = confusion.sum(axis=-1) > 0
    n_there = there.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        wa = hits.sum(axis=-1) / confusion.sum(axis=(-2, -1))
        ua = np.where(there, recalls(confusion), 0.0).sum(axis=-1) / n_there
        f1 = 2 * hits / (confusion.sum(axis=-1) + confusion.sum(axis=-2))
        f1 = np.where(there, f1, 0.0).sum(axis=-1) / n_there
    return {"WA": wa, "UA": ua, "macro F1": f1}


@dataclass(frozen=True)
class Resampling:
    """Bootstrap draws over utterances or over groups of them (speakers), shared by the systems that are compared.

    Parameters
    ----------
    unit : ndarray [shape=(n_utterances,)], int64
        The unit each utterance belongs to; units are drawn with replacement.
    draws : ndarray [shape=(n_draws, n_units)]
        How often each unit is in each draw.
    """

    unit: np.ndarray
    draws: np.ndarray

    @classmethod
    def make(cls, groups: Sequence[str] | np.ndarray, n_draws: int = N_DRAWS, seed: int = 0) -> Resampling:
        """Draw groups; give each utterance a group of its own to draw utterances."""
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
        """Each measure in each draw [shape=(n_draws,)], the mean over seeds.

        Parameters
        ----------
        true : ndarray [shape=(n_utterances,)]
        predicted : ndarray [shape=(n_seeds, n_utterances)]
        n_classes : int
        """
        runs = [measures(self.confusions(true, row, n_classes)) for row in predicted]
        return {name: np.mean([run[name] for run in runs], axis=0) for name in MEASURES}


def interval(value: float, sample: np.ndarray, n_groups: int | None = None) -> Estimate:
    """The value itself with the percentile interval of its bootstrap sample.

    Parameters
    ----------
    value : float
    sample : ndarray [shape=(n_draws,)]
        The same measure in each draw, a share of 1.
    n_groups : int or None
        How many groups were drawn, where these are few, as speakers are: then the interval's two sides are stretched
        by `stretch`, up to 0 and to 1.
    """
    low, high = percentile_interval(sample)
    if n_groups is not None:
        factor = stretch(n_groups)
        # The value can lie outside the percentiles (macro F1 of few utterances): no side is moved inwards.
        low = max(0.0, min(low, value - factor * (value - low)))
        high = min(1.0, max(high, value + factor * (high - value)))
    return Estimate(float(value), low, high)


def stretch(n_groups: int) -> float:
    """How much wider the percentile interval of a bootstrap over few groups has to be.

    The bootstrap takes the variance between groups with n as its divisor instead of n - 1, and the normal
    distribution's quantile instead of Student's. So the percentile interval of the mean of 5 groups holds the true one
    with 85 % confidence instead of 95 % (Hesterberg, "What Teachers Should Know About the Bootstrap", The American
    Statistician 69(4), 2015).

    Parameters
    ----------
    n_groups : int
        2 or more.

    Examples
    --------
    >>> [round(stretch(n), 3) for n in (5, 10, 24, 91)]
    [1.584, 1.217, 1.078, 1.019]
    """
    upper = (1 + CONFIDENCE) / 2
    student, normal = stats.t.ppf(upper, n_groups - 1), stats.norm.ppf(upper)
    return float(math.sqrt(n_groups / (n_groups - 1)) * student / normal)
