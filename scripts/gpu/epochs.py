"""Part 3 of `gpu_check`: training on a store as large as LibriSpeech, by the clock.

First a few seconds of an epoch (drawing batches, assembling, steps) for each engine, precision and batch size; the rule
of docs/performance.md decides by these. Then a whole epoch of the trainer, with its evaluation and checkpoint, with the
best settings of each engine; if it does not fit into the time, its first steps and its end.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from scripts.benchmarks.librispeech_like import FRAMES, HOURS, librispeech_like, projected_hours, utterances_of
from scripts.benchmarks.training_steps import (
    epoch_seconds,
    run_steps,
    sampler_of_training,
    synchronize,
    training_steps,
)
from scripts.gpu.report import SLICES, best
from scripts.gpu.results import ENGINES, Results, Row, peak_memory, reset_peak_memory
from speech2vec.features.store import Store
from speech2vec.model.settings import ModelSettings
from speech2vec.training.batches import DeviceStore
from speech2vec.training.presets import OptimiserSettings, TrainSettings
from speech2vec.training.sampler import BatchIndices, Sampler

BATCHES = (4096, 16_384, 65_536)
PRECISIONS = ("float32", "bfloat16")
STEPS = 10  # between two looks at the clock
SHARE_OF_SLICES = 0.5  # of the time left when the store is made; the rest is for whole epochs
START = 15.0  # seconds that training may need before its first epoch: frames to the GPU, held-out loss


def full_store(path: Path, hours: float = HOURS) -> Store:
    """A store with random frames, or with zeros if there is no disk space for them."""
    n_bytes = 13 * 4 * FRAMES * hours / HOURS
    return librispeech_like(path, utterances_of(hours), zeros=shutil.disk_usage(path.parent).free < 1.2 * n_bytes)


def settings_of(engine: str, precision: str, batch_size: int) -> TrainSettings:
    """One epoch with these settings, and the learning rate of the preset `large-batch` or `default`."""
    rate = 8e-3 if batch_size >= 16_384 else 4e-3
    given = {"precision": precision, "batch_size": batch_size, "learning_rate": rate, "epochs": 1}
    return TrainSettings(
        model=ModelSettings.model_validate({"engine": engine}), optimiser=OptimiserSettings.model_validate(given)
    )


def slice_of_epoch(frames: DeviceStore, settings: TrainSettings, seconds: float) -> Row:
    """Train for so many seconds by the clock, after five steps that compile and allocate."""
    device = frames.device
    reset_peak_memory(device)
    sampler = sampler_of_training(frames.store, settings)
    steps = training_steps(frames, sampler, settings.model, settings.optimiser)
    first, _ = run_steps(steps, 1, device)
    run_steps(steps, 4, device)
    started, taken, done, work = time.perf_counter(), 0.0, 0, None
    while taken < seconds:
        _, more = run_steps(steps, STEPS, device)
        taken, done, work = time.perf_counter() - started, done + STEPS, more if work is None else work + more
    assert work is not None
    row: Row = {"pairs/s": work.pairs / taken, "hours for 475 h x 500": projected_hours(work.frames / taken)}
    return row | {"steps": done, "s": taken, "first step, s": first} | peak_memory(device)


@contextlib.contextmanager
def cut_epochs(n_batches: int) -> Iterator[None]:
    """Let epochs of training end after so many batches; those of the held-out loss stay whole."""
    whole = Sampler.epoch

    def cut(sampler: Sampler, epoch: int, shuffle: bool = True) -> list[BatchIndices]:
        batches = whole(sampler, epoch, shuffle)
        return batches[:n_batches] if shuffle else batches

    with patch.object(Sampler, "epoch", cut):
        yield


def whole_epoch(store: Store, chosen: Row, device: torch.device, left: float) -> Row:
    """An epoch of the trainer with its end, cut to what fits into the seconds that are left."""
    settings = settings_of(chosen["engine"], chosen["precision"], chosen["pairs a batch"])
    n_pairs = sampler_of_training(store, settings).n_pairs()
    n_batches = n_pairs / settings.optimiser.batch_size
    share = min(1.0, 0.8 * (left - START) * chosen["pairs/s"] / n_pairs)
    if share * n_batches < STEPS:
        needed = n_pairs / chosen["pairs/s"]
        return {"result": f"not measured: {left:.0f} s were left, and {START:.0f} s + {needed:.0f} s are needed"}
    reset_peak_memory(device)  # what the allocator keeps counts as used when the store asks for memory
    with cut_epochs(int(np.ceil(share * n_batches))) if share < 1 else contextlib.nullcontext():
        (seconds,) = epoch_seconds(store, settings, device)
    return {"share of the epoch": share, "s, its end included": float(seconds), "pairs/s": share * n_pairs / seconds}


def slices(results: Results, store: Store, device: torch.device) -> None:
    """Slices of an epoch with all settings; the frames are copied to the device once."""
    started = time.perf_counter()
    frames = DeviceStore(store, device)
    synchronize(device)
    size = {"words": store.n_words, "frames": len(store.frames), "GB": store.frames.nbytes / 1e9}
    copied = time.perf_counter() - started
    results.add("the store", **size, **{"to the device, s": copied, "on the device": frames.resident})
    each = SHARE_OF_SLICES * results.left / (len(ENGINES) * len(BATCHES) * len(PRECISIONS))
    for engine, batch_size, precision in itertools.product(ENGINES, BATCHES, PRECISIONS):
        what = {"engine": engine, "precision": precision, "pairs a batch": batch_size}
        settings = settings_of(engine, precision, batch_size)
        results.attempt(SLICES, what, partial(slice_of_epoch, frames, settings, each))


def measure(results: Results, device: torch.device, hours: float = HOURS) -> None:
    """Make the store; measure slices, then a whole epoch with the best settings of each engine."""
    with tempfile.TemporaryDirectory() as name:
        store = full_store(Path(name) / "store", hours)
        slices(results, store, device)
        for place, engine in enumerate(ENGINES):
            chosen = best(results.rows, engine=engine)
            if chosen is not None:
                left = results.left / (len(ENGINES) - place)
                what = {key: chosen[key] for key in ("engine", "precision", "pairs a batch")}
                results.attempt("whole epochs", what, partial(whole_epoch, store, chosen, device, left))
