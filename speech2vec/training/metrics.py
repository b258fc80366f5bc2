"""What happens when an epoch ends: the held-out loss, what the caller plugged in, and where it is written.

How far a run has come, and what its steps said: read from the device now and then, checked, summed, shown.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from speech2vec.features.store import Store
from speech2vec.model.speech2vec import Speech2Vec
from speech2vec.runtime.files import append_json_line
from speech2vec.runtime.progress import Tracker, log
from speech2vec.training import run as run_folder
from speech2vec.training.batches import DeviceStore
from speech2vec.training.held_out import HeldOutLoss, held_out_loss, mean_frame
from speech2vec.training.presets import TrainSettings
from speech2vec.training.sampler import Sampler, Split


@dataclass
class TrainState:
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
class StepLogger:
    """The steps that were made since the device was last asked; reading them is what waits for it.

    Parameters
    ----------
    progress : Progress
    tracker : Tracker
        Shows pairs and the loss.
    writer : SummaryWriter or None
        Gets loss, pairs a second and gradient norm of the steps read together.
    """

    progress: TrainState
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

    def reset_timer(self) -> None:
        """Leave out of the time what was done since the last reading (a checkpoint, an evaluation)."""
        self.started = time.perf_counter()


@dataclass(frozen=True)
class EpochState:
    """What a caller may look at when an epoch has ended; what it returns joins the metrics.

    Parameters
    ----------
    epoch : int
        Epochs that are done; 0 before the first.
    step : int
        Steps that are done: what TensorBoard counts in.
    model : Speech2Vec
    settings : TrainSettings
    store : Store
    split : Split
    writer : SummaryWriter
    last : bool
        Whether it was the last epoch.
    """

    epoch: int
    step: int
    model: Speech2Vec
    settings: TrainSettings
    store: Store
    split: Split
    writer: SummaryWriter
    last: bool


EpochCallback = Callable[[EpochState], dict[str, float]]


class EpochLogger:
    """What is measured and written when an epoch ends, by one process for all."""

    def __init__(
        self,
        run: Path,
        progress: TrainState,
        frames: DeviceStore,
        sampler: Sampler,
        parts: Split,
        settings: TrainSettings,
        on_epoch_end: EpochCallback | None,
    ) -> None:
        self.run, self.progress, self.frames, self.sampler, self.parts = run, progress, frames, sampler, parts
        self.settings, self.on_epoch_end = settings, on_epoch_end
        self.mean = mean_frame(frames.store, parts.train)
        self.metrics = run_folder.truncate_metrics(run, progress.epoch)
        # What was shown after the checkpoint that a run goes on from will be shown again.
        threading.excepthook = _writer_thread_failed
        self.writer = SummaryWriter(str(run), purge_step=progress.step + 1 if self.metrics else None)

    def measure(self, epoch: int, model: Speech2Vec, optimiser: torch.optim.Optimizer) -> HeldOutLoss:
        """Measure the held-out loss and what the caller plugged in, and write it down.

        Raises
        ------
        DivergedError
            If the held-out loss is not a number.
        """
        progress = self.progress
        held_out = held_out_loss(model, self.frames, self.sampler, self.mean)
        if not math.isfinite(held_out.loss):
            raise DivergedError("the held-out loss", held_out.loss, progress.step)
        values: dict[str, Any] = {"epoch": epoch, "step": progress.step}
        if progress.n_values:
            values |= {
                "train_loss": progress.squared_error / progress.n_values,
                "pairs_per_second": progress.n_pairs / max(progress.seconds, 1e-9),
                "gradient_norm": progress.gradient_norm / max(progress.step_in_epoch, 1),
                "learning_rate": optimiser.param_groups[0]["lr"],
                "seconds": progress.seconds,
            }
        values |= {f"dev_{name}": value for name, value in asdict(held_out).items()}
        if self.on_epoch_end:
            values |= self.on_epoch_end(
                EpochState(
                    epoch=epoch,
                    step=progress.step,
                    model=model,
                    settings=self.settings,
                    store=self.frames.store,
                    split=self.parts,
                    writer=self.writer,
                    last=epoch == self.settings.optimiser.epochs,
                )
            )
            model.train()
        append_json_line(self.run / run_folder.METRICS_FILE, values)
        self.metrics.append(values)
        for name, value in values.items():
            if name not in ("epoch", "step"):
                self.writer.add_scalar(name, value, progress.step)
        self.writer.flush()
        log.info(
            "epoch %d: loss %s held out %.4f (z shuffled %.4f, mean frame %.4f)",
            epoch,
            f"{values['train_loss']:.4f}," if "train_loss" in values else "before training,",
            held_out.loss,
            held_out.shuffled,
            held_out.mean_frame,
        )
        return held_out


def _writer_thread_failed(details: threading.ExceptHookArgs) -> None:
    """TensorBoard's thread hands its error of the disk to the next call, which says it; it need not print it too."""
    if not (details.exc_type and issubclass(details.exc_type, OSError)):
        threading.__excepthook__(details)
