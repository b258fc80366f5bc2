"""What a training run logs: of its steps and of its epochs, to metrics.jsonl, TensorBoard and the progress display."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from speech2vec.features.store import Store
from speech2vec.model.speech2vec import Speech2Vec
from speech2vec.runtime.files import append_json_line
from speech2vec.runtime.progress import Tracker, log
from speech2vec.training.checkpoint import TrainState
from speech2vec.training.presets import TrainSettings
from speech2vec.training.run import METRICS_FILE, truncate_metrics
from speech2vec.training.sampler import Split


class DivergedError(Exception):
    """A loss, gradient or vector is not finite."""

    def __init__(self, what: str, value: float, step: int) -> None:
        super().__init__(f"{what} became {value} at step {step}")


@dataclass(frozen=True)
class EpochState:
    """What an epoch callback is given; the values that it returns are logged with the epoch's.

    Parameters
    ----------
    epoch : int
        Completed epochs; 0 before training.
    step : int
        Completed steps: the x-axis in TensorBoard.
    model : Speech2Vec
    settings : TrainSettings
    store : Store
    split : Split
    writer : SummaryWriter
    last : bool
        Whether this was the last epoch.
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


class MetricsLogger:
    """Sums the values of the steps, and logs them and those of the epochs; a context manager that closes the log.

    Steps leave their values on the device. Reading one waits for the device, so several steps are read at once.

    Parameters
    ----------
    run : Path or None
        Folder to write to. None writes nothing: all processes sum and check the same values, only the first logs them.
    state : TrainState
        Counts steps and holds the sums of the current epoch.
    """

    def __init__(self, run: Path | None, state: TrainState) -> None:
        self.run, self.state = run, state
        self.pending: list[Tensor] = []
        self._tracker = Tracker("training", None, quiet=True)
        self._started = time.perf_counter()
        self.n_epochs = 0
        self.writer: SummaryWriter | None = None
        if run is not None:
            self.n_epochs = len(truncate_metrics(run, state.epoch))
            self._hook, threading.excepthook = threading.excepthook, self._writer_thread_failed
            # Steps after the checkpoint that a run is resumed from are made, and shown, again.
            self.writer = SummaryWriter(str(run), purge_step=state.step + 1 if self.n_epochs else None)

    def start(self, tracker: Tracker) -> None:
        """Time the steps from here on, and show them as progress."""
        self._tracker = tracker
        self.restart_timer()

    def restart_timer(self) -> None:
        """Leave out of the steps' time what was done since they were read (a checkpoint, an evaluation)."""
        self._started = time.perf_counter()

    def add_step(self, sums: Tensor) -> None:
        """Count a step; `sums` is what `train_step` returns."""
        self.pending.append(sums)
        self.state.step_in_epoch += 1
        self.state.step += 1

    def log_steps(self, learning_rate: float) -> None:
        """Read the steps since the last call, and log their means.

        Raises
        ------
        DivergedError
            If the loss or the gradient of a step is not finite.
        """
        if not self.pending:
            return
        state = self.state
        rows = torch.stack(self.pending).tolist()
        self.pending.clear()
        for step, (squared_error, n_values, n_pairs, norm) in enumerate(rows, start=state.step - len(rows) + 1):
            for what, value in (("the loss", squared_error), ("the gradient", norm)):
                if not math.isfinite(value):
                    raise DivergedError(what, value, step)
            state.squared_error += squared_error
            state.n_values += int(n_values)
            state.n_pairs += int(n_pairs)
            state.gradient_norm += norm
        now = time.perf_counter()
        seconds, self._started = now - self._started, now
        state.seconds += seconds
        squared_errors, values, pairs, norms = (sum(column) for column in zip(*rows, strict=True))
        self._add_scalars(
            {
                "step/loss": squared_errors / values,
                "step/pairs_per_second": pairs / seconds,
                "step/gradient_norm": norms / len(rows),
                "step/learning_rate": learning_rate,
            }
        )
        self._tracker.advance(int(pairs), note=f"loss {squared_errors / values:.4f}")

    def log_epoch(self, values: dict[str, float], learning_rate: float) -> None:
        """Log what was measured after `state.epoch` epochs, beside the means of the last one's steps."""
        if self.run is None or self.writer is None:
            return
        state = self.state
        steps: dict[str, Any] = {}
        if state.n_values:
            steps = {
                "train_loss": state.squared_error / state.n_values,
                "pairs_per_second": state.n_pairs / max(state.seconds, 1e-9),
                "gradient_norm": state.gradient_norm / max(state.step_in_epoch, 1),
                "learning_rate": learning_rate,
                "seconds": state.seconds,
            }
        append_json_line(self.run / METRICS_FILE, {"epoch": state.epoch, "step": state.step, **steps, **values})
        self._add_scalars({**steps, **values})
        self.writer.flush()
        log.info(
            "epoch %d: loss %s held out %.4f (z shuffled %.4f, mean frame %.4f)",
            state.epoch,
            f"{steps['train_loss']:.4f}," if steps else "before training,",
            *(values[f"dev_{name}"] for name in ("loss", "shuffled", "mean_frame")),
        )

    def _add_scalars(self, values: dict[str, float]) -> None:
        if self.writer:
            for name, value in values.items():
                self.writer.add_scalar(name, value, self.state.step)

    def close(self) -> None:
        """Write what TensorBoard's writer still holds, and let the threads of others fail as they did before."""
        writer, self.writer = self.writer, None
        if writer:
            try:
                writer.close()
            finally:
                if threading.excepthook == self._writer_thread_failed:
                    threading.excepthook = self._hook

    def __enter__(self) -> MetricsLogger:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
            return
        with contextlib.suppress(OSError):  # the first error is the one to tell
            self.close()

    def _writer_thread_failed(self, details: threading.ExceptHookArgs) -> None:
        """Print no traceback for a disk error in TensorBoard's thread: the next call to the writer raises it."""
        of_writer = type(details.thread).__module__.partition(".")[0] == "tensorboard"
        if not (of_writer and issubclass(details.exc_type, OSError)):
            self._hook(details)
