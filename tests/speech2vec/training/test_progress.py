"""What the steps said, summed and shown."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from speech2vec.runtime.progress import Tracker
from speech2vec.training.metrics import DivergedError, StepLogger, TrainState


class Shown:
    """Stands for TensorBoard's writer."""

    def __init__(self) -> None:
        self.scalars: dict[str, tuple[float, int]] = {}

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars[name] = value, step


def row(*sums: float) -> torch.Tensor:
    """Squared error, values that it sums, pairs, norm of the gradient: what a step returns."""
    return torch.tensor(sums, dtype=torch.float64)


def test_steps_that_are_read_add_up_and_their_means_are_shown() -> None:
    shown: Any = Shown()
    progress = TrainState()
    steps = StepLogger(progress, Tracker("training", None, quiet=True), shown)
    steps.add(row(3.0, 10, 4, 0.5))
    steps.add(row(5.0, 30, 6, 1.5))
    steps.read(rate=0.25)
    assert (progress.step, progress.step_in_epoch) == (2, 2)
    assert (progress.squared_error, progress.n_values, progress.n_pairs, progress.gradient_norm) == (8.0, 40, 10, 2.0)
    assert shown.scalars["step/loss"] == (8 / 40, 2)
    assert shown.scalars["step/gradient_norm"] == (1.0, 2)
    assert shown.scalars["step/learning_rate"] == (0.25, 2)
    steps.add(row(1.0, 10, 2, 4.0))
    steps.read(rate=0.2)
    assert (progress.squared_error, progress.n_values, progress.n_pairs, progress.gradient_norm) == (9.0, 50, 12, 6.0)
    assert shown.scalars["step/loss"] == (1 / 10, 3)


@pytest.mark.parametrize(
    ("what", "broken"), [("the loss", row(math.nan, 1, 1, 1)), ("the gradient", row(1, 1, 1, math.inf))]
)
def test_the_step_that_is_no_number_is_named(what: str, broken: torch.Tensor) -> None:
    steps = StepLogger(TrainState(step=7), Tracker("training", None, quiet=True))
    for sums in (row(1, 1, 1, 1), broken, row(1, 1, 1, 1)):
        steps.add(sums)
    with pytest.raises(DivergedError, match=f"{what} became (nan|inf) at step 9"):
        steps.read(rate=0.1)
