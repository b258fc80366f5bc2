"""Part 4 of `gpu_check`: the kernels that a step of training spends most of a GPU's time in.

What is profiled is the fastest that part 3 has measured, or cuDNN in float32 where it has measured nothing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch.autograd import DeviceType

from scripts.benchmarks.bench_training import our_steps, timed
from scripts.benchmarks.librispeech_like import librispeech_like
from scripts.gpu.report import best
from scripts.gpu.results import Results, Row
from speech2vec.model.settings import ModelSettings
from speech2vec.runtime.files import read_json
from speech2vec.training.presets import OptimiserSettings

STEPS, KERNELS = 10, 10


OTHERWISE: Row = {"engine": "cudnn", "precision": "float32", "pairs a batch": 16_384}


def largest_kernels(chosen: Row, device: torch.device, n_utterances: int) -> list[Row]:
    """The kernels of some steps, longest first; without a GPU the operators."""
    settings = ModelSettings.model_validate({"engine": chosen["engine"]})
    given = {"precision": chosen["precision"], "batch_size": chosen["pairs a batch"]}
    with tempfile.TemporaryDirectory() as name:
        store = librispeech_like(Path(name) / "store", n_utterances)
        steps = our_steps(store, settings, OptimiserSettings.model_validate(given), device)
        timed(steps, 3, device)
        with torch.profiler.profile() as profiler:
            seconds, _ = timed(steps, STEPS, device)
    on_gpu = device.type == "cuda"
    events = [
        (event.key, event.count, event.self_device_time_total if on_gpu else event.self_cpu_time_total)
        for event in profiler.key_averages()
        if (event.device_type == DeviceType.CUDA) == on_gpu
    ]
    total = sum(taken for _, _, taken in events)
    rows: list[Row] = [
        {
            "kernel": name[:70],
            "launches a step": count / STEPS,
            "ms a step": taken / 1e3 / STEPS,
            "%": 100 * taken / total,
        }
        for name, count, taken in sorted(events, key=lambda event: -event[2])[:KERNELS]
    ]
    all_of_them = {"kernel": "all", "launches a step": sum(count for _, count, _ in events) / STEPS}
    all_of_them |= {"ms a step": total / 1e3 / STEPS, "%": 100.0}
    return [*rows, all_of_them, {"kernel": "the step, by the clock (profiled)", "ms a step": 1e3 * seconds / STEPS}]


def measure(results: Results, device: torch.device, n_utterances: int = 800) -> None:
    """Profile the fastest."""
    before = results.path.with_name("part3.json")
    chosen = (best(read_json(before)) if before.exists() else None) or OTHERWISE
    results.add("what is profiled", **{key: chosen[key] for key in OTHERWISE})

    def profile() -> Row:
        rows = largest_kernels(chosen, device, n_utterances)
        for row in rows[:-1]:
            results.add("largest kernels", **row)
        return rows[-1]

    results.attempt("largest kernels", {}, profile)
