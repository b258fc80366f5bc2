"""What happens when an epoch ends: the held-out loss, what the caller plugged in, and where it is written."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from speech2vec import run_folder
from speech2vec.batches import DeviceStore
from speech2vec.console import log
from speech2vec.files import append_json_line
from speech2vec.held_out import HeldOutLoss, Split, held_out_loss, mean_frame
from speech2vec.model import Speech2Vec
from speech2vec.presets import TrainSettings
from speech2vec.progress import DivergedError, Progress
from speech2vec.skipgram import Sampler
from speech2vec.store import Store


@dataclass(frozen=True)
class EpochEnd:
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


OnEpochEnd = Callable[[EpochEnd], dict[str, float]]


class EpochBook:
    """What is measured and written when an epoch ends, by one process for all."""

    def __init__(
        self,
        run: Path,
        progress: Progress,
        frames: DeviceStore,
        sampler: Sampler,
        parts: Split,
        settings: TrainSettings,
        on_epoch_end: OnEpochEnd | None,
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
                EpochEnd(
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
