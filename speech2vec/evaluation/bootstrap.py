"""Bootstrap confidence intervals: of any statistic, and of means and AUCs over pairs of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speech2vec.runtime.seeds import PAIR_BOOTSTRAP, generator

RESAMPLES = 1_000
CONFIDENCE = 0.95
_MOST_DECIMALS = 5


def percentile_interval(sample: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of a bootstrap sample, NaN left out; NaN if nothing is left."""
    valid = sample[~np.isnan(sample)]
    if not len(valid):
        return float("nan"), float("nan")
    low, high = np.quantile(valid, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return self.text()

    def text(self, digits: int = 2, signed: bool = False) -> str:
        """``0.91 [0.87, 0.94]``; `signed`, for differences: ``+0.91 [+0.87, +0.94]``."""
        shown = f"{'+' if signed else ''}.{digits}f"
        return f"{self.value:{shown}} [{self.low:{shown}}, {self.high:{shown}}]"

    @classmethod
    def of_mean(cls, values: np.ndarray, group: np.ndarray, seed: int) -> Estimate:
        """The mean of `values`; groups are resampled."""
        weights = _group_weights(group, seed)
        return cls._from(float(values.mean()), (weights @ values) / weights.sum(axis=1))

    @classmethod
    def of_auc(cls, above: np.ndarray, below: np.ndarray, group: np.ndarray, seed: int) -> Estimate:
        """The probability that one of `above` [shape=(n,)] exceeds one of `below` [shape=(n, n_controls)].

        Ties count half. Row i of both belongs to ``group[i]``; groups are resampled.
        """
        wins = _share_below(above, below)  # n pairs, n owners of controls
        weights = _group_weights(group, seed)
        # A pair that is drawn twice meets its own controls twice, not four times.
        twice = weights**2 - weights
        won = ((weights @ wins) * weights).sum(axis=1) - twice @ wins.diagonal()
        return cls._from(float(wins.mean()), won / (weights.sum(axis=1) ** 2 - twice.sum(axis=1)))

    @classmethod
    def _from(cls, value: float, resampled: np.ndarray) -> Estimate:
        return cls(value, *percentile_interval(resampled))


def decimals_needed(estimates: Sequence[Estimate | None]) -> int:
    """Decimals at which the estimates differ: cosines of vectors with a large common part are all close to 1."""
    values = [estimate.value for estimate in estimates if estimate is not None]
    for digits in range(2, _MOST_DECIMALS):
        if max(values) - min(values) >= 5 * 10**-digits:
            return digits
    return _MOST_DECIMALS


def _share_below(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """wins[i, j]: the share of row j of `below` that is less than above[i]; ties count half."""
    wins = np.empty((len(above), len(below)), dtype=np.float32)
    for column, controls in enumerate(np.sort(below, axis=1)):
        under = np.searchsorted(controls, above, side="left")
        upto = np.searchsorted(controls, above, side="right")
        wins[:, column] = (under + upto) / (2 * len(controls))
    return wins


def _group_weights(group: np.ndarray, seed: int) -> np.ndarray:
    """How often each pair is drawn if groups are drawn with replacement [shape=(n_resamples, n_pairs)]."""
    member, times = draw_groups(group, generator(seed, PAIR_BOOTSTRAP))
    return times[:, member].astype(np.float32)


def draw_groups(
    group: np.ndarray, draw: np.random.Generator, n_resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray]:
    """Resample groups with replacement, as many as there are.

    Words of one speaker or utterance, and pairs of one word, are not independent, so they are drawn as a whole.

    Parameters
    ----------
    group : ndarray [shape=(n,)]
        The group of each item.
    draw : numpy.random.Generator
    n_resamples : int

    Returns
    -------
    member : ndarray [shape=(n,)], int64
        The column of `times` of each item.
    times : ndarray [shape=(n_resamples, n_groups)], int64
        How often each group was drawn.

    Examples
    --------
    >>> member, times = draw_groups(np.array(["b", "a", "b"]), np.random.default_rng(0), n_resamples=2)
    >>> member.tolist(), times.sum(axis=1).tolist()
    ([1, 0, 1], [2, 2])
    """
    names, member = np.unique(group, return_inverse=True)
    n_groups = len(names)
    return member, draw.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n_resamples)
