"""Part 1 of `gpu_check`: every engine against float64, and the tests that need a GPU.

The model's predictions and gradients on random frames of ragged lengths, in float32 and bfloat16, are compared with
those of single operators in float64 on the CPU.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from scripts.gpu.results import Results, Row
from speech2vec.model.encoder import Segments
from speech2vec.model.recurrence.engines import Engine
from speech2vec.model.settings import ModelSettings
from speech2vec.model.speech2vec import seeded_model
from speech2vec.runtime.seeds import generator
from speech2vec.training.sampler import neighbour_pairs

ROOT = Path(__file__).resolve().parents[2]


ENGINES = ("cudnn", "steps", "triton")  # Triton last: a fault of its kernels would take the others with it


assert {"auto", *ENGINES} == set(get_args(Engine))


# The largest error of predictions and of any weights' gradient, as a share of its norm.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 5e-2}


N_MFCC = 13


def ragged(n_words: int, longest: int) -> tuple[Segments, Tensor, Tensor]:
    """Random words of random lengths in float64, one of them the longest, and the pairs of four utterances."""
    draw = generator(0)
    lengths = np.append(draw.integers(1, longest, n_words - 1), longest)
    frames = torch.from_numpy(draw.standard_normal((lengths.sum(), N_MFCC)))
    n = torch.from_numpy(lengths)
    centre, context = neighbour_pairs(np.arange(n_words) * 4 // n_words, window=3)
    return Segments(frames, n.cumsum(0) - n, n), torch.from_numpy(centre), torch.from_numpy(context)


def predictions_and_gradients(
    settings: ModelSettings, words: tuple[Segments, Tensor, Tensor], device: torch.device, dtype: torch.dtype
) -> list[Tensor]:
    """Of a model at its initial weights, in float64 on the CPU."""
    segments, *sides = words
    model = seeded_model(N_MFCC, settings, 0).to(device, dtype)
    there = Segments(segments.frames.to(device, dtype), segments.first.to(device), segments.lengths.to(device))
    decoded = model(there, *(side.to(device) for side in sides))
    gradients = torch.autograd.grad(decoded.squared_error(), list(model.parameters()))
    return [tensor.detach().double().cpu() for tensor in (decoded.predicted, *gradients)]


def largest_error(ours: list[Tensor], exact: list[Tensor]) -> float:
    """The largest error of any tensor, as a share of its norm."""
    return max(float((mine - other).norm() / other.norm()) for mine, other in zip(ours, exact, strict=True))


def check_engines(results: Results, device: torch.device) -> None:
    """Compare every engine, cell and precision, with the decoder fed its own output and the true frames."""
    on_gpu = device.type == "cuda"
    size, words = (50, ragged(64, 130)) if on_gpu else (6, ragged(8, 9))
    for engine, cell, forced, dtype in itertools.product(ENGINES, ("lstm", "gru"), (False, True), TOLERANCE):
        if engine == "triton" and dtype == torch.bfloat16 and not on_gpu:
            continue  # Triton's interpreter has no bfloat16
        given = {"vector_size": size, "cell": cell, "teacher_forcing": forced}
        settings = ModelSettings.model_validate({**given, "engine": engine})

        def measure(settings: ModelSettings = settings, dtype: torch.dtype = dtype) -> Row:
            began = time.monotonic()
            ours = predictions_and_gradients(settings, words, device, dtype)
            seconds = time.monotonic() - began
            exact_settings = settings.model_copy(update={"engine": "steps"})
            exact = predictions_and_gradients(exact_settings, words, torch.device("cpu"), torch.float64)
            error = largest_error(ours, exact)
            if not error <= TOLERANCE[dtype]:
                raise ArithmeticError(f"the largest relative error is {error:.2g}, more than {TOLERANCE[dtype]:g}")
            return {"largest error": error, "allowed": TOLERANCE[dtype], "s, compiling included": seconds}

        what = {"engine": engine, "cell": cell, "decoder hears": "true frames" if forced else "itself"}
        results.attempt("engines against float64", {**what, "precision": str(dtype).partition(".")[2]}, measure)


def files_of_gpu_tests(device: torch.device) -> list[str]:
    """The files that hold tests for a GPU: no other is imported. Without one, not the file of whole trainings."""
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if "mark.gpu" in path.read_text(encoding="utf-8")]
    named = sorted(str(path.relative_to(ROOT)) for path in files)
    return [name for name in named if device.type == "cuda" or not name.endswith("test_on_device.py")]


def run_tests(results: Results, device: torch.device) -> Row:
    """`pytest -m gpu` in one process, within what is left of the part's time."""
    log = results.path.with_name("pytest.log")
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-v", "--durations=10", *files_of_gpu_tests(device)]
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as out:
        done = subprocess.run(
            command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT, timeout=max(1.0, results.left - 3), check=False
        )
    said = log.read_text(encoding="utf-8", errors="replace")
    if done.returncode:
        print(said[-6000:])
        raise RuntimeError(f"pytest ended with {done.returncode} ({log.name})")
    counts = {what: int(n) for n, what in re.findall(r"(\d+) (passed|skipped|deselected)", said.splitlines()[-1])}
    return {**counts, "s": time.monotonic() - began}


def measure(results: Results, device: torch.device) -> None:
    """Engines first: they are the shorter, and what comes after builds on them."""
    check_engines(results, device)
    results.attempt("pytest -m gpu", {}, lambda: run_tests(results, device))
