"""Part 3 of `gpu_check`: training by the clock on a store of full size, and the hours that it makes of 475 h.

First slices of an epoch: all that the trainer does between its ends (the order of batches, assembling, steps, losses
read), for each engine, precision and size of batch. They are what the rule of docs/performance.md goes by. Then whole
epochs, ends included, by the trainer itself with each engine at its best; where a whole one does not fit into the time,
its first steps and its end.
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

from scripts.benchmarks.bench_epochs import seconds_of_epochs
from scripts.benchmarks.bench_full_store import FULL_HOURS, sparse_store
from scripts.benchmarks.bench_training import wait_for
from scripts.benchmarks.librispeech_like import EPOCHS, FRAMES, PAIRS, WINDOW, WORDS
from scripts.gpu.report import SLICES, best
from scripts.gpu.results import Results, Row
from speech2vec.features.store import FRAMES_FILE, Store
from speech2vec.model.settings import ModelSettings
from speech2vec.model.speech2vec import seeded_model
from speech2vec.runtime.seeds import generator
from speech2vec.training.batches import DeviceStore
from speech2vec.training.presets import OptimiserSettings, TrainSettings
from speech2vec.training.sampler import BatchIndices, Sampler, split
from speech2vec.training.step import BatchLoss, make_optimiser, train_step

ENGINES = ("cudnn", "triton")


BATCHES = (4096, 16_384, 65_536)


PRECISIONS = ("float32", "bfloat16")


READ_EVERY = 10  # steps


FOR_SLICES = 0.5  # of the time that is left when the store is there; the rest is for whole epochs


START = 15.0  # seconds that a whole training may need before its first epoch: frames to the GPU, held-out loss


FRAMES_AT_ONCE = 1_000_000


def full_store(path: Path, hours: float = FULL_HOURS) -> Store:
    """A store of full size with random frames, a million of them over and over; zeros where the disk has no room."""
    store = sparse_store(path, hours)
    if shutil.disk_usage(path).free < 1.2 * store.frames.nbytes:
        return store
    draw, n = generator(0), len(store.frames)
    block = draw.standard_normal((min(FRAMES_AT_ONCE, n), store.n_mfcc), dtype=np.float32)
    frames = np.lib.format.open_memmap(path / FRAMES_FILE, mode="r+")
    for begin in range(0, n, len(block)):
        frames[begin : begin + len(block)] = block[: n - begin]
    del frames
    return Store.open(path)


def settings_of(engine: str, precision: str, batch_size: int) -> TrainSettings:
    """One epoch with these choices; the learning rate is that of the preset `large-batch`, or the default's."""
    rate = 8e-3 if batch_size >= 16_384 else 4e-3
    given = {"precision": precision, "batch_size": batch_size, "learning_rate": rate, "epochs": 1}
    return TrainSettings(
        model=ModelSettings.model_validate({"engine": engine}), optimiser=OptimiserSettings.model_validate(given)
    )


def sampler_of(store: Store, settings: TrainSettings) -> Sampler:
    """Over what is trained on."""
    trained = split(store, settings.data.held_out, settings.seed).train
    return Sampler.from_store(store, trained, WINDOW, settings.optimiser.batch_size, settings.seed)


def slice_of_epoch(
    frames: DeviceStore, sampler: Sampler, batches: list[BatchIndices], settings: TrainSettings, seconds: float
) -> Row:
    """Train on the batches of an epoch for so many seconds, by the clock."""
    device, optimiser = frames.device, settings.optimiser
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    model = seeded_model(frames.store.n_mfcc, settings.model, settings.seed).to(device)
    error = BatchLoss(model, optimiser, int(frames.store.n_frames.max()))
    weights = make_optimiser(model, optimiser)

    def steps(some: Iterator[BatchIndices]) -> tuple[int, int]:
        """Pairs and frames of some steps; they are done."""
        pending, pairs, rows = [], 0, 0
        for chosen in some:
            batch = frames.batch(sampler.batch(chosen))
            pending.append(train_step(error, weights, batch, optimiser))
            pairs, rows = pairs + batch.n_pairs, rows + batch.n_rows
        if not torch.stack(pending).isfinite().all():
            raise ArithmeticError("the loss is no longer a number")
        return pairs, rows

    given = itertools.cycle(batches)
    began = time.perf_counter()
    steps(itertools.islice(given, 1))
    first = time.perf_counter() - began
    steps(itertools.islice(given, 4))
    wait_for(device)
    began, done, pairs, rows = time.perf_counter(), 0, 0, 0
    while time.perf_counter() - began < seconds:
        more = steps(itertools.islice(given, READ_EVERY))
        done, pairs, rows = done + READ_EVERY, pairs + more[0], rows + more[1]
    taken = time.perf_counter() - began
    row: Row = {"pairs/s": pairs / taken, "hours for 475 h x 500": hours_of(rows / taken)}
    row |= {"steps": done, "s": taken, "first step, s": first}
    if device.type == "cuda":
        row["peak memory, GB"] = torch.cuda.max_memory_allocated() / 1e9
    return row


def hours_of(rows_a_second: float) -> float:
    """Of 500 epochs of LibriSpeech's 475 h, at so many decoded frames a second."""
    return EPOCHS * PAIRS * FRAMES / WORDS / rows_a_second / 3600


@contextlib.contextmanager
def cut_epochs(n_batches: int) -> Iterator[None]:
    """Epochs of training end after so many batches; those that are measured on stay whole."""
    order = Sampler.epoch

    def cut(sampler: Sampler, epoch: int, shuffle: bool = True) -> list[BatchIndices]:
        batches = order(sampler, epoch, shuffle)
        return batches[:n_batches] if shuffle else batches

    with patch.object(Sampler, "epoch", cut):
        yield


def whole_epoch(store: Store, chosen: Row, device: torch.device, left: float) -> Row:
    """An epoch by the trainer itself, its end included; cut to what fits into the seconds that are left."""
    settings = settings_of(chosen["engine"], chosen["precision"], chosen["pairs a batch"])
    sampler = sampler_of(store, settings)
    n_pairs = sampler.n_pairs()
    n_batches = n_pairs / settings.optimiser.batch_size
    share = min(1.0, 0.8 * (left - START) * chosen["pairs/s"] / n_pairs)
    if share * n_batches < READ_EVERY:
        return {"result": f"not measured: {left:.0f} s were left, of {n_pairs / chosen['pairs/s']:.0f} and the start"}
    with cut_epochs(int(np.ceil(share * n_batches))) if share < 1 else contextlib.nullcontext():
        (seconds,) = seconds_of_epochs(store, settings, device)
    return {"share of the epoch": share, "s, its end included": float(seconds), "pairs/s": share * n_pairs / seconds}


def slices(results: Results, store: Store, device: torch.device, made: float) -> None:
    """Slices of an epoch, whose frames lie on the device once for all of them."""
    began = time.perf_counter()
    frames = DeviceStore(store, device)
    wait_for(device)
    told = {"words": store.n_words, "frames": len(store.frames), "GB": store.frames.nbytes / 1e9}
    told |= {"made in, s": made, "to the device, s": time.perf_counter() - began}
    results.add("the store", **told, **{"on the device": frames.resident})
    each = FOR_SLICES * results.left / (len(ENGINES) * len(BATCHES) * len(PRECISIONS))
    # cuDNN first: a fault of other kernels would take it with them.
    for engine, batch_size in itertools.product(ENGINES, BATCHES):
        sampler = sampler_of(store, settings_of(engine, PRECISIONS[0], batch_size))
        batches = sampler.epoch(0)
        for precision in PRECISIONS:
            what = {"engine": engine, "precision": precision, "pairs a batch": batch_size}
            run = partial(slice_of_epoch, frames, sampler, batches, settings_of(*what.values()), each)  # type: ignore[arg-type]
            results.attempt(SLICES, what, run)


def measure(results: Results, device: torch.device, hours: float = FULL_HOURS) -> None:
    """Make the store; measure slices, then whole epochs of each engine at its best."""
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        store = full_store(Path(name) / "store", hours)
        slices(results, store, device, made=time.perf_counter() - began)
        for place, engine in enumerate(ENGINES):
            chosen = best(results.rows, engine=engine)
            if chosen is not None:
                left = results.left / (len(ENGINES) - place)
                what = {key: chosen[key] for key in ("engine", "precision", "pairs a batch")}
                results.attempt("whole epochs", what, partial(whole_epoch, store, chosen, device, left))
