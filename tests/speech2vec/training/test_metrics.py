"""The values of steps are summed, checked and logged."""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from speech2vec.training.checkpoint import TrainState
from speech2vec.training.metrics import DivergedError, MetricsLogger
from speech2vec.training.run import METRICS_FILE

HELD_OUT = {"dev_loss": 0.5, "dev_shuffled": 0.75, "dev_mean_frame": 1.0}


def row(*sums: float) -> torch.Tensor:
    """Squared error, values that it sums, pairs, norm of the gradient: what a step returns."""
    return torch.tensor(sums, dtype=torch.float64)


def test_steps_add_up_and_their_means_are_logged(tmp_path: Path) -> None:
    state = TrainState()
    metrics = MetricsLogger(tmp_path, state)
    metrics.log_epoch(HELD_OUT, learning_rate=0.5)  # before training
    metrics.add_step(row(3.0, 10, 4, 0.5))
    metrics.add_step(row(5.0, 30, 6, 1.5))
    metrics.log_steps(learning_rate=0.25)
    assert (state.step, state.step_in_epoch) == (2, 2)
    assert (state.squared_error, state.n_values, state.n_pairs, state.gradient_norm) == (8.0, 40, 10, 2.0)
    metrics.add_step(row(1.0, 10, 2, 4.0))
    metrics.log_steps(learning_rate=0.2)
    metrics.log_steps(learning_rate=0.1)  # nothing to log
    assert (state.squared_error, state.n_values, state.n_pairs, state.gradient_norm) == (9.0, 50, 12, 6.0)
    state.epoch = 1
    metrics.log_epoch(HELD_OUT, learning_rate=0.2)
    metrics.close()

    before, after = (json.loads(line) for line in (tmp_path / METRICS_FILE).read_text().splitlines())
    assert before == {"epoch": 0, "step": 0, **HELD_OUT}
    assert [*after][:7] == [
        "epoch",
        "step",
        "train_loss",
        "pairs_per_second",
        "gradient_norm",
        "learning_rate",
        "seconds",
    ]
    assert after.items() >= {"epoch": 1, "step": 3, "train_loss": 9 / 50, "gradient_norm": 2.0, **HELD_OUT}.items()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    for name, expected in (
        ("step/loss", [(2, 8 / 40), (3, 1 / 10)]),
        ("step/gradient_norm", [(2, 1.0), (3, 4.0)]),
        ("step/learning_rate", [(2, 0.25), (3, 0.2)]),
        ("train_loss", [(3, 9 / 50)]),
        ("dev_loss", [(0, 0.5), (3, 0.5)]),
    ):
        shown = [value for scalar in events.Scalars(name) for value in (scalar.step, scalar.value)]
        assert shown == pytest.approx([value for point in expected for value in point])


@pytest.mark.parametrize(
    ("what", "broken"), [("the loss", row(math.nan, 1, 1, 1)), ("the gradient", row(1, 1, 1, math.inf))]
)
def test_the_step_that_is_not_finite_is_named(what: str, broken: torch.Tensor) -> None:
    metrics = MetricsLogger(None, TrainState(step=7))
    for sums in (row(1, 1, 1, 1), broken, row(1, 1, 1, 1)):
        metrics.add_step(sums)
    with pytest.raises(DivergedError, match=f"{what} became (nan|inf) at step 9"):
        metrics.log_steps(learning_rate=0.1)


def test_threads_of_others_fail_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    def hook(details: threading.ExceptHookArgs) -> None:
        told.append(details.exc_type)

    def fails() -> None:
        (tmp_path / "missing").read_text()

    monkeypatch.setattr(threading, "excepthook", hook)
    with MetricsLogger(tmp_path, TrainState()):
        thread = threading.Thread(target=fails)
        thread.start()
        thread.join()
    assert told == [FileNotFoundError] and threading.excepthook is hook
    with pytest.raises(ZeroDivisionError), MetricsLogger(tmp_path, TrainState()):
        raise ZeroDivisionError
    assert threading.excepthook is hook
