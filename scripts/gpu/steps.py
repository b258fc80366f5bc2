"""Part 2 of `gpu_check`: one step of training by each engine, launched operator by operator and as a CUDA graph.

A step is `train_step` on a batch that lies on the device: loss, gradients, clipping, Adam. What compiling takes is in
the first step, which is not in the rate. The floors are those of docs/performance.md; what the device can do is
measured beside them, as copies and as products of large float32 matrices.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from scripts.benchmarks.bench_training import multiply_speed, operations, wait_for
from scripts.benchmarks.librispeech_like import WINDOW, librispeech_like
from scripts.gpu.results import Results, Row
from speech2vec.features.store import Store
from speech2vec.model.settings import ModelSettings
from speech2vec.model.speech2vec import seeded_model
from speech2vec.training.batches import DeviceBatch, DeviceStore
from speech2vec.training.presets import OptimiserSettings
from speech2vec.training.sampler import Sampler
from speech2vec.training.step import BatchLoss, make_optimiser, train_step

ENGINES = ("cudnn", "steps", "triton")  # Triton last: a fault of its kernels would take the others with it


PAIRS, TOY_PAIRS = (1024, 16_384, 65_536), (6, 12)


SECONDS, MOST_STEPS = 1.5, 50  # of steps that are timed, and a third of it for toys


FLOATS_OF_A_FRAME = 26  # times the hidden size: what a decoded frame writes and reads (docs/performance.md, the floor)


@dataclass(frozen=True)
class Fixed:
    """A batch that lies on the device, and what a step on it needs at least."""

    batch: DeviceBatch
    longest: int
    n_mfcc: int
    bytes: float
    operations: float

    @classmethod
    def of(cls, store: Store, n_pairs: int, settings: ModelSettings, device: torch.device) -> Fixed:
        """The first batch of about so many pairs."""
        sampler = Sampler.from_store(store, np.arange(store.n_words), WINDOW, n_pairs, seed=0)
        chosen = sampler.epoch(0)[0][: max(1, n_pairs // (2 * WINDOW))]  # a batch ends with an utterance: cut
        batch = DeviceStore(store, device).batch(sampler.batch(chosen))
        n_bytes = 4.0 * FLOATS_OF_A_FRAME * settings.vector_size * batch.n_rows
        counted = operations(batch.words.total or 0, batch.n_rows, batch.n_pairs, store.n_mfcc, settings)
        return cls(batch, int(store.n_frames.max()), store.n_mfcc, n_bytes, counted)


def step_of(fixed: Fixed, settings: ModelSettings, device: torch.device) -> Callable[[], object]:
    """One step of a model of its own on a batch, as often as it is called."""
    optimiser = OptimiserSettings(batch_size=fixed.batch.n_pairs)
    model = seeded_model(fixed.n_mfcc, settings, 0).to(device)
    error, weights = BatchLoss(model, optimiser, fixed.longest), make_optimiser(model, optimiser)
    if device.type == "cuda":
        for group in weights.param_groups:
            group["capturable"] = True  # asked for by CUDA graphs
    return lambda: train_step(error, weights, fixed.batch, optimiser)


def seconds_of(step: Callable[[], object], device: torch.device) -> float:
    """Seconds of a step, over as many as fit into the time."""
    began, n_steps = time.perf_counter(), 0
    enough = SECONDS if device.type == "cuda" else SECONDS / 3
    while n_steps < MOST_STEPS and time.perf_counter() - began < enough:
        step()
        n_steps += 1
        if n_steps % 5 == 0:
            wait_for(device)
    wait_for(device)
    return (time.perf_counter() - began) / n_steps


def copy_speed(device: torch.device) -> float:
    """Bytes a second that a copy reads and writes."""
    n = 2**28 if device.type == "cuda" else 2**24
    a, b = torch.ones(2, n, device=device).unbind(0)
    b.copy_(a)
    wait_for(device)
    began = time.perf_counter()
    for _ in range(8):
        b.copy_(a)
    wait_for(device)
    return 8 * 2 * 4 * n / (time.perf_counter() - began)


def captured(step: Callable[[], object]) -> Callable[[], None]:
    """The step as a CUDA graph: launched as one."""
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    replay: Callable[[], None] = graph.replay
    return replay


def timed(peak: tuple[float, float], fixed: Fixed, settings: ModelSettings, device: torch.device) -> Row:
    """The rate of steps, and what share of the floors that is."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    step = step_of(fixed, settings, device)
    began = time.perf_counter()
    step()
    wait_for(device)
    first = time.perf_counter() - began
    seconds = seconds_of(step, device)
    row: Row = {"pairs/s": fixed.batch.n_pairs / seconds, "ms a step": 1e3 * seconds, "first step, s": first}
    row["bytes, % of a copy's"] = 100 * fixed.bytes / seconds / peak[0]
    row["operations, % of a product's"] = 100 * fixed.operations / seconds / peak[1]
    if device.type == "cuda":
        row["peak memory, GB"] = torch.cuda.max_memory_allocated() / 1e9
    return row


def as_graph(fixed: Fixed, settings: ModelSettings, device: torch.device) -> Row:
    """The rate of a step that is replayed as a graph; a step that cannot be captured is a result, not a failure."""
    if device.type != "cuda":
        return {"result": "needs a GPU"}
    try:
        replay = captured(step_of(fixed, settings, device))
    except RuntimeError as refused:
        return {"result": f"not capturable: {str(refused).strip().partition(chr(10))[0]}"}
    replay()
    wait_for(device)
    return {"result": "captured", "pairs/s": fixed.batch.n_pairs / seconds_of(replay, device)}


def measure(results: Results, device: torch.device) -> None:
    """Steps of each engine at each size; then as graphs: a capture that fails may leave the GPU unusable."""
    on_gpu = device.type == "cuda"
    base = ModelSettings(vector_size=50 if on_gpu else 6)
    peak = copy_speed(device), multiply_speed(device)
    # What cuDNN does not take, torch's own kernels do, step by step.
    taken = {
        f"cuDNN takes {str(dtype).partition('.')[2]}": torch.cudnn_is_acceptable(
            torch.ones(1, dtype=dtype, device=device)
        )
        for dtype in (torch.float32, torch.bfloat16)
    }
    results.add("the device", **{"copies, GB/s": peak[0] / 1e9, "products (float32), Gop/s": peak[1] / 1e9}, **taken)
    with tempfile.TemporaryDirectory() as name:
        utterances, n_mfcc = (800, 13) if on_gpu else (4, 5)
        store = librispeech_like(Path(name) / "store", utterances, n_mfcc)
        batches = [Fixed.of(store, n, base, device) for n in (PAIRS if on_gpu else TOY_PAIRS)]
        for table, run in (("steps", partial(timed, peak)), ("steps as CUDA graphs", as_graph)):
            for engine, fixed in itertools.product(ENGINES, batches):
                settings = base.model_copy(update={"engine": engine})
                what = {"engine": engine, "pairs": fixed.batch.n_pairs}
                results.attempt(table, what, partial(run, fixed, settings, device))
