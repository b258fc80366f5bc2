"""Part 1 of `gpu_check`: every engine against float64, and the tests that need a GPU.

Predictions and gradients of the model on random frames of ragged lengths, in float32 and bfloat16, are compared with
those of single operators in float64 on the CPU.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from scripts.gpu.results import ENGINES, Results, Row
from speech2vec.model.encoder import Segments
from speech2vec.model.recurrence.engines import Engine
from speech2vec.model.settings import ModelSettings
from speech2vec.model.speech2vec import seeded_model
from speech2vec.runtime.seeds import generator
from speech2vec.training.sampler import neighbour_pairs

ROOT = Path(__file__).resolve().parents[2]
assert {"auto", *ENGINES} == set(get_args(Engine))
# Largest relative error (of norms) of the predictions and of the gradient of any parameter. At this size single
# operators on a CPU have 4e-7 and 1.7e-2.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 5e-2}
N_MFCC = 13
SECONDS_TO_STOP = 3.0  # kept back for the report of tests that did not end


@cache
def ragged(n_words: int, longest: int) -> tuple[Segments, Tensor, Tensor]:
    """Words of random float64 frames and random lengths, and centres and contexts of the pairs in four utterances."""
    draw = generator(0)
    lengths = np.append(draw.integers(1, longest, n_words - 1), longest)
    frames = torch.from_numpy(draw.standard_normal((lengths.sum(), N_MFCC)))
    n = torch.from_numpy(lengths)
    centre, context = neighbour_pairs(np.arange(n_words) * 4 // n_words, window=3)
    return Segments(frames, n.cumsum(0) - n, n), torch.from_numpy(centre), torch.from_numpy(context)


@cache
def predictions_and_gradients(
    size: tuple[int, int, int], cell: str, forced: bool, engine: str, device: torch.device, dtype: torch.dtype
) -> list[Tensor]:
    """Compute them with initial weights, for a vector size, a number of words and the longest; float64 on the CPU."""
    vector_size, *words = size
    settings = ModelSettings.model_validate(
        {"vector_size": vector_size, "cell": cell, "teacher_forcing": forced, "engine": engine}
    )
    segments, *sides = ragged(*words)
    model = seeded_model(N_MFCC, settings, 0).to(device, dtype)
    moved = Segments(segments.frames.to(device, dtype), segments.first.to(device), segments.lengths.to(device))
    decoded = model(moved, *(side.to(device) for side in sides))
    gradients = torch.autograd.grad(decoded.squared_error(), list(model.parameters()))
    return [tensor.detach().double().cpu() for tensor in (decoded.predicted, *gradients)]


def check_engines(results: Results, device: torch.device) -> None:
    """Check every engine, cell and precision, with a decoder fed with its own output and with the true frames."""
    on_gpu = device.type == "cuda"
    size = (50, 64, 130) if on_gpu else (6, 8, 9)
    for engine, cell, forced, dtype in itertools.product(ENGINES, ("lstm", "gru"), (False, True), TOLERANCE):
        if engine == "triton" and dtype == torch.bfloat16 and not on_gpu:
            continue  # Triton's interpreter has no bfloat16

        def measure(engine: str = engine, cell: str = cell, forced: bool = forced, dtype: torch.dtype = dtype) -> Row:
            started = time.monotonic()
            ours = predictions_and_gradients(size, cell, forced, engine, device, dtype)
            seconds = time.monotonic() - started
            exact = predictions_and_gradients(size, cell, forced, "steps", torch.device("cpu"), torch.float64)
            error = max(float((a - b).norm() / b.norm()) for a, b in zip(ours, exact, strict=True))
            if not error <= TOLERANCE[dtype]:
                raise ArithmeticError(f"the largest relative error is {error:.2g}, more than {TOLERANCE[dtype]:g}")
            return {"largest error": error, "allowed": TOLERANCE[dtype], "s, compiling included": seconds}

        what = {"engine": engine, "cell": cell, "decoder input": "true frames" if forced else "own output"}
        results.attempt("engines against float64", {**what, "precision": str(dtype).partition(".")[2]}, measure)


def gpu_test_files(device: torch.device) -> list[Path]:
    """The files with tests for a GPU, so that no others are imported. Without a GPU, where all are skipped, two."""
    files = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.gpu" in path.read_text("utf-8")]
    return files if device.type == "cuda" else files[:2]


def run_test_file(file: Path, log: Path, seconds: float) -> Row:
    """Run the tests marked `gpu` in one file; return how many passed and so on.

    Raises
    ------
    RuntimeError
        If a test failed, or the tests did not end in time.
    """
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-vv", "--durations=5", str(file)]  # pyproject has -q
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as out:
        try:
            code = subprocess.run(command, stdout=out, stderr=out, cwd=ROOT, timeout=seconds, check=False).returncode
        except subprocess.TimeoutExpired:
            code = None
    text = log.read_text(encoding="utf-8", errors="replace")
    counts = Counter(word.lower() for word in re.findall(r"(?m)^\S+::.* (PASSED|FAILED|SKIPPED|ERROR)\b", text))
    if code != 0:
        print(text[-6000:])
        ended = f"did not end in {seconds:.0f} s" if code is None else f"exited with {code}"
        raise RuntimeError(f"pytest {ended}: {', '.join(f'{n} {word}' for word, n in counts.items())} ({log.name})")
    return {**counts, "s": time.monotonic() - started}


def measure(results: Results, device: torch.device) -> None:
    """Check the engines, then run the tests, each file in a process of its own: a fault of the GPU ends only one."""
    check_engines(results, device)
    files, seconds = gpu_test_files(device), max(1.0, results.left - SECONDS_TO_STOP)
    with ThreadPoolExecutor(len(files)) as threads:
        logs = [results.path.with_name(f"pytest-{file.stem}.log") for file in files]
        running = [threads.submit(run_test_file, file, log, seconds) for file, log in zip(files, logs, strict=True)]
        for file, outcome in zip(files, running, strict=True):
            results.attempt("pytest -m gpu", {"file": str(file.relative_to(ROOT))}, outcome.result)
