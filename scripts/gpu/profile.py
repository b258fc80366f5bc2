"""Part 4 of `gpu_check`: the kernels that take most of a step's time on a GPU.

The settings are the fastest that part 3 measured, or single steps in float32 if it measured none.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch.autograd import DeviceType

from scripts.benchmarks.librispeech_like import librispeech_like
from scripts.benchmarks.training_steps import run_steps, sampler_of_all, training_steps
from scripts.gpu.report import best
from scripts.gpu.results import Results, Row
from speech2vec.model.settings import ModelSettings
from speech2vec.runtime.files import read_json
from speech2vec.training.batches import DeviceStore
from speech2vec.training.presets import OptimiserSettings

STEPS, KERNELS = 10, 10
DEFAULT: Row = {"engine": "steps", "precision": "float32", "pairs a batch": 16_384}


def largest_kernels(chosen: Row, device: torch.device, n_utterances: int) -> list[Row]:
    """The kernels of some steps, longest first (without a GPU: the operators), and their sum.

    Raises
    ------
    RuntimeError
        If the profiler recorded no kernels: it has no access to the GPU's counters.
    """
    settings = ModelSettings.model_validate({"engine": chosen["engine"]})
    given = {"precision": chosen["precision"], "batch_size": chosen["pairs a batch"]}
    optimiser = OptimiserSettings.model_validate(given)
    with tempfile.TemporaryDirectory() as name:
        store = librispeech_like(Path(name) / "store", n_utterances)
        sampler = sampler_of_all(store, optimiser.batch_size)
        steps = training_steps(DeviceStore(store, device), sampler, settings, optimiser)
        run_steps(steps, 3, device)
        with torch.profiler.profile() as profiler:
            seconds, _ = run_steps(steps, STEPS, device)
    on_gpu = device.type == "cuda"
    events = [
        (event.key, event.count, event.self_device_time_total if on_gpu else event.self_cpu_time_total)
        for event in profiler.key_averages()
        if (event.device_type == DeviceType.CUDA) == on_gpu
    ]
    if not events:
        raise RuntimeError("the profiler recorded no kernels")
    total = sum(taken for _, _, taken in events)
    chosen_events = sorted(events, key=lambda event: -event[2])[:KERNELS]
    rows: list[Row] = [
        {"kernel": name[:70], "launches a step": n / STEPS, "ms a step": us / 1e3 / STEPS, "%": 100 * us / total}
        for name, n, us in [*chosen_events, ("all", sum(n for _, n, _ in events), total)]
    ]
    return [*rows, {"kernel": "the step, by the clock (profiled)", "ms a step": 1e3 * seconds / STEPS}]


def measure(results: Results, device: torch.device, n_utterances: int = 800) -> None:
    """Profile the fastest settings."""
    part3 = results.path.with_name("part3.json")
    chosen = (best(read_json(part3)) if part3.exists() else None) or DEFAULT
    results.add("what is profiled", **{key: chosen[key] for key in DEFAULT})

    def profile() -> Row:
        *rows, last = largest_kernels(chosen, device, n_utterances)
        for row in rows:
            results.add("largest kernels", **row)
        return last

    results.attempt("largest kernels", {}, profile)
