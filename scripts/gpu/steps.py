"""Part 2 of `gpu_check`: one training step of each engine, launched operator by operator and as a CUDA graph.

A step is `train_step` on a batch that is on the device: loss, gradients, clipping, Adam. The first step, which
compiles, is timed apart. Shares refer to the floors of docs/performance.md, as the speed of a copy and of a large
float32 matrix product on the same device.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from scripts.benchmarks.librispeech_like import WINDOW, librispeech_like
from scripts.benchmarks.training_steps import matmul_speed, operations, sampler_of_all, synchronize
from scripts.gpu.results import ENGINES, Results, Row, first_line, peak_memory, reset_peak_memory
from speech2vec.features.store import Store
from speech2vec.model.settings import ModelSettings
from speech2vec.model.speech2vec import seeded_model
from speech2vec.training.batches import DeviceBatch, DeviceStore
from speech2vec.training.presets import OptimiserSettings
from speech2vec.training.step import BatchLoss, make_optimiser, train_step

PAIRS, TOY_PAIRS = (1024, 16_384, 65_536), (6,)
SECONDS, MOST_STEPS = 1.5, 50  # of steps that are timed; a third of the time without a GPU
FLOATS_PER_FRAME = 26  # times the hidden size: written and read for a decoded frame (docs/performance.md, the floor)


@dataclass(frozen=True)
class FixedBatch:
    """A batch on the device, and what a step on it needs at least."""

    batch: DeviceBatch
    longest: int
    n_mfcc: int
    bytes: float
    operations: float

    @classmethod
    def of(cls, store: Store, n_pairs: int, settings: ModelSettings, device: torch.device) -> FixedBatch:
        """The first batch of about so many pairs."""
        sampler = sampler_of_all(store, n_pairs)
        chosen = sampler.epoch(0)[0][: max(1, n_pairs // (2 * WINDOW))]  # a batch would end with an utterance
        batch = DeviceStore(store, device).batch(sampler.batch(chosen))
        n_bytes = 4.0 * FLOATS_PER_FRAME * settings.vector_size * batch.n_rows
        return cls(batch, int(store.n_frames.max()), store.n_mfcc, n_bytes, operations(batch, store.n_mfcc, settings))


def step_of(fixed: FixedBatch, settings: ModelSettings, device: torch.device) -> Callable[[], object]:
    """A function that trains a new model by one step on a batch, as often as it is called."""
    optimiser = OptimiserSettings(batch_size=fixed.batch.n_pairs)
    model = seeded_model(fixed.n_mfcc, settings, 0).to(device)
    loss, weights = BatchLoss(model, optimiser, fixed.longest), make_optimiser(model, optimiser)
    if device.type == "cuda":
        for group in weights.param_groups:
            group["capturable"] = True  # or Adam refuses to be captured in a CUDA graph
    return lambda: train_step(loss, weights, fixed.batch, optimiser)


def seconds_per_step(step: Callable[[], object], device: torch.device) -> float:
    """Mean over as many steps as fit into the time."""
    started, n_steps = time.perf_counter(), 0
    enough = SECONDS if device.type == "cuda" else SECONDS / 3
    while n_steps < MOST_STEPS and time.perf_counter() - started < enough:
        step()
        n_steps += 1
        if n_steps % 5 == 0:
            synchronize(device)
    synchronize(device)
    return (time.perf_counter() - started) / n_steps


def copy_speed(device: torch.device) -> float:
    """Bytes per second that a copy reads and writes."""
    n = 2**28 if device.type == "cuda" else 2**24
    a, b = torch.ones(2, n, device=device).unbind(0)
    b.copy_(a)
    synchronize(device)
    started = time.perf_counter()
    for _ in range(8):
        b.copy_(a)
    synchronize(device)
    return 8 * 2 * 4 * n / (time.perf_counter() - started)


def captured(step: Callable[[], object]) -> Callable[[], None]:
    """The step as a CUDA graph, after warm-up on a side stream (as torch's notes on CUDA graphs ask for)."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    replay: Callable[[], None] = graph.replay
    return replay


def timed(peak: tuple[float, float], fixed: FixedBatch, settings: ModelSettings, device: torch.device) -> Row:
    """The rate of steps, and its share of the floors."""
    reset_peak_memory(device)
    step = step_of(fixed, settings, device)
    started = time.perf_counter()
    step()
    synchronize(device)
    first = time.perf_counter() - started
    seconds = seconds_per_step(step, device)
    row: Row = {"pairs/s": fixed.batch.n_pairs / seconds, "ms a step": 1e3 * seconds, "first step, s": first}
    row["bytes, % of a copy's"] = 100 * fixed.bytes / seconds / peak[0]
    row["operations, % of a product's"] = 100 * fixed.operations / seconds / peak[1]
    return row | peak_memory(device)


def as_graph(fixed: FixedBatch, settings: ModelSettings, device: torch.device) -> Row:
    """The rate of a step replayed as a graph; a step that cannot be captured is a result, not a failure."""
    if device.type != "cuda":
        return {"result": "needs a GPU"}
    try:
        replay = captured(step_of(fixed, settings, device))
    except RuntimeError as failed:
        reason = failed.__context__ or failed  # leaving a failed capture raises again, and hides why it failed
        return {"result": f"not capturable: {first_line(reason)}"}
    replay()
    synchronize(device)
    return {"result": "captured", "pairs/s": fixed.batch.n_pairs / seconds_per_step(replay, device)}


def measure(results: Results, device: torch.device) -> None:
    """Steps of each engine at each size, then as graphs: last, as a failed capture may leave the GPU unusable."""
    on_gpu = device.type == "cuda"
    base = ModelSettings(vector_size=50 if on_gpu else 6)
    peak = copy_speed(device), matmul_speed(device)
    results.add("the device", **{"copies, GB/s": peak[0] / 1e9, "products (float32), Gop/s": peak[1] / 1e9})
    with tempfile.TemporaryDirectory() as name:
        utterances, n_mfcc = (800, 13) if on_gpu else (4, 5)
        store = librispeech_like(Path(name) / "store", utterances, n_mfcc)
        batches = [FixedBatch.of(store, n, base, device) for n in (PAIRS if on_gpu else TOY_PAIRS)]
        for table, run in (("steps", partial(timed, peak)), ("steps as CUDA graphs", as_graph)):
            for engine, fixed in itertools.product(ENGINES, batches):
                settings = base.model_copy(update={"engine": engine})
                what = {"engine": engine, "pairs": fixed.batch.n_pairs}
                results.attempt(table, what, partial(run, fixed, settings, device))
