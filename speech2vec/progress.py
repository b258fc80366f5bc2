"""How far a run has come, and what its steps said: read from the device now and then, checked, summed, shown."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from speech2vec.console import Tracker


@dataclass
class Progress:
    """How far a run has come; what a checkpoint holds beside tensors."""

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    squared_error: float = 0.0
    n_values: int = 0
    n_pairs: int = 0
    gradient_norm: float = 0.0
    seconds: float = 0.0
    best_loss: float = math.inf

    def start_epoch(self) -> None:
        self.step_in_epoch = self.n_values = self.n_pairs = 0
        self.squared_error = self.gradient_norm = self.seconds = 0.0


class DivergedError(Exception):
    """A step's loss or gradient is no longer a number."""

    def __init__(self, what: str, value: float, step: int) -> None:
        super().__init__(f"{what} became {value} at step {step}")


@dataclass
class StepLog:
    """The steps that were made since the device was last asked; reading them is what waits for it.

    Parameters
    ----------
    progress : Progress
    tracker : Tracker
        Shows pairs and the loss.
    writer : SummaryWriter or None
        Gets loss, pairs a second and gradient norm of the steps read together.
    """

    progress: Progress
    tracker: Tracker
    writer: SummaryWriter | None = None
    pending: list[Tensor] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def add(self, sums: Tensor) -> None:
        """Count a step; `sums` is what `train_step` returns."""
        self.pending.append(sums)
        self.progress.step_in_epoch += 1
        self.progress.step += 1

    def read(self, rate: float) -> None:
        """Read and show the steps since the last time; `rate` is the learning rate.

        Raises
        ------
        DivergedError
            If a step's loss or gradient is no longer a number.
        """
        progress = self.progress
        rows = torch.stack(self.pending).tolist()
        before = progress.step - len(rows)
        self.pending.clear()
        for step, (error, n_values, n_pairs, norm) in enumerate(rows, start=before + 1):
            for what, value in (("the loss", error), ("the gradient", norm)):
                if not math.isfinite(value):
                    raise DivergedError(what, value, step)
            progress.squared_error += error
            progress.n_values += int(n_values)
            progress.n_pairs += int(n_pairs)
            progress.gradient_norm += norm
        now = time.perf_counter()
        seconds, self.started = now - self.started, now
        progress.seconds += seconds
        errors, values, pairs, norms = (sum(column) for column in zip(*rows, strict=True))
        if self.writer:
            shown = {
                "loss": errors / values,
                "pairs_per_second": pairs / seconds,
                "gradient_norm": norms / len(rows),
                "learning_rate": rate,
            }
            for name, value in shown.items():
                self.writer.add_scalar(f"step/{name}", value, progress.step)
        self.tracker.advance(int(pairs), note=f"loss {errors / values:.4f}")

    def rest(self) -> None:
        """Leave out of the time what was done since the last reading (a checkpoint, an evaluation)."""
        self.started = time.perf_counter()
