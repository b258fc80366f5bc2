"""Steps and epochs of this project's trainer, timed: what the training benchmarks and `scripts.gpu` share."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from scripts.benchmarks.librispeech_like import WINDOW
from speech2vec.features.store import Store
from speech2vec.model.settings import ModelSettings
from speech2vec.model.speech2vec import seeded_model
from speech2vec.runtime.errors import UserError
from speech2vec.training.batches import DeviceBatch, DeviceStore
from speech2vec.training.metrics import EpochState
from speech2vec.training.presets import OptimiserSettings, TrainSettings
from speech2vec.training.sampler import Sampler, split
from speech2vec.training.step import BatchLoss, make_optimiser, train_step
from speech2vec.training.trainer import TrainOptions, train

CPU = torch.device("cpu")
_CHECK_EVERY = 50  # steps after which the losses are read, as in the trainer


@dataclass(frozen=True)
class Work:
    """What steps did: pairs, decoded frames, operations (by the formula), seconds spent on assembling batches."""

    pairs: int
    frames: int
    operations: float = 0.0
    assembling: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def operations(batch: DeviceBatch, n_mfcc: int, settings: ModelSettings) -> float:
    """Number of operations (a multiplication and an addition are two) in the model's matrix products for one step.

    A product whose input needs a gradient counts three times (forward, gradient of the input, gradient of the weights),
    a product with MFCC frames twice. What several rows share is counted once: the projection of a frame, and of z.
    """
    F, D = n_mfcc, settings.vector_size
    directions = 2 if settings.bidirectional else 1
    H, n_frames = D // directions, batch.words.total or 0
    encoder = n_frames * directions * 4 * H * (2 * F + 3 * H)
    forced = n_frames * 2 * F * 4 * D if settings.teacher_forcing else 0
    decoder = forced + batch.n_rows * 3 * (D * 4 * D + D * F) + batch.n_pairs * 3 * D * 4 * D
    return 2.0 * (encoder + decoder)


def sampler_of_all(store: Store, batch_size: int) -> Sampler:
    """Batches of all pairs in a store."""
    return Sampler.from_store(store, np.arange(store.n_words), WINDOW, batch_size, seed=0)


def sampler_of_training(store: Store, settings: TrainSettings) -> Sampler:
    """Batches of the pairs that `speech2vec train` trains on: those that are not held out."""
    rows = split(store, settings.data.held_out, settings.seed).train
    return Sampler.from_store(store, rows, settings.data.window, settings.optimiser.batch_size, settings.seed)


def training_steps(
    frames: DeviceStore, sampler: Sampler, model: ModelSettings, optimiser: OptimiserSettings, compiled: bool = False
) -> Iterator[Work]:
    """Train a new model, step by step, without end; each step runs when its `Work` is asked for."""
    store, device = frames.store, frames.device
    module = seeded_model(store.n_mfcc, model, 0).to(device)
    weights = make_optimiser(module, optimiser)
    loss: nn.Module = BatchLoss(module, optimiser, int(store.n_frames.max()))
    if compiled:
        loss = torch.compile(loss, dynamic=True)  # type: ignore[assignment]
    pending: list[Tensor] = []
    for epoch in itertools.count():
        for chosen in sampler.epoch(epoch):
            started = time.perf_counter()
            batch = frames.batch(sampler.batch(chosen))
            assembling = time.perf_counter() - started
            pending.append(train_step(loss, weights, batch, optimiser))
            if len(pending) == _CHECK_EVERY:
                if not torch.stack(pending).isfinite().all():
                    raise UserError("the loss is not finite: are the frames of the store normalised?")
                pending.clear()
            yield Work(batch.n_pairs, batch.n_rows, operations(batch, store.n_mfcc, model), assembling)


def run_steps(steps: Iterator[Work], n_steps: int, device: torch.device = CPU) -> tuple[float, Work]:
    """Run some steps; return the seconds by the clock until the device has finished them, and their work."""
    synchronize(device)
    started = time.perf_counter()
    work = sum(itertools.islice(steps, n_steps), Work(0, 0))
    synchronize(device)
    return time.perf_counter() - started, work


def epoch_seconds(store: Store, settings: TrainSettings, device: torch.device) -> np.ndarray:
    """Seconds by the clock of each epoch of `train` [shape=(n_epochs,)], from the end of the one before to its own."""
    ended: list[float] = []

    def note(_: EpochState) -> dict[str, float]:
        ended.append(time.perf_counter())
        return {}

    with tempfile.TemporaryDirectory() as folder:
        train(store, Path(folder) / "run", settings, device, TrainOptions(quiet=True), note)
    return np.diff(ended)


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished; nothing on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matmul_speed(device: torch.device = CPU) -> float:
    """Operations per second of a large float32 matrix product."""
    size, times = (8192, 8) if device.type == "cuda" else (1536, 4)
    a, b = torch.ones(2, size, size, device=device).unbind(0)
    out = torch.empty(size, size, device=device)
    torch.mm(a, b, out=out)
    synchronize(device)
    started = time.perf_counter()
    for _ in range(times):
        torch.mm(a, b, out=out)
    synchronize(device)
    return times * 2 * size**3 / (time.perf_counter() - started)
