"""Training on a store as large as LibriSpeech: time to the first step, memory, and whether a pair costs more.

    python -m scripts.benchmarks.bench_full_store [--hours 5 50 475] [--steps 20] [--folder FOLDER]

Makes stores with the words, utterances and lengths of so many hours of LibriSpeech (475 h: 4.8 million words, 170
million frames). Their frames are a sparse file of zeros, which takes no disk space; reading 8.8 GB from a cold disk is
not in these figures.

On the largest store `speech2vec train` is run with all that it does before the first step (held-out loss, evaluation).
Printed are the seconds to the end of that step and the peak of resident memory without files (RssAnon of
/proc/self/status, so Linux only), then the same peak over two epochs cut to their first steps. A run on the smallest
store goes before it, because the first run on a machine compiles the recurrence. After that, steps on all stores take
turns.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scripts.benchmarks.librispeech_like import FRAMES, HOURS, WORDS, librispeech_like, utterances_of
from scripts.benchmarks.training_steps import CPU, run_steps, sampler_of_all, training_steps
from speech2vec.cli.app import app
from speech2vec.model.settings import ModelSettings
from speech2vec.runtime.environment import machine_name
from speech2vec.training import trainer
from speech2vec.training.batches import DeviceStore
from speech2vec.training.presets import OptimiserSettings
from speech2vec.training.sampler import BatchIndices, Sampler

STEPS_PER_EPOCH = 20  # while memory is watched
ROUNDS = 9


def resident() -> float:
    """Resident memory without files, in GB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024 / 1e9
    raise OSError("/proc/self/status has no RssAnon: Linux 4.5 or later is needed")


@contextlib.contextmanager
def watched() -> Iterator[dict[str, float]]:
    """The peak of resident memory without files, in GB, while the block runs."""
    seen, ended = {"peak": resident()}, threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            seen["peak"] = max(seen["peak"], resident())

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield seen
    finally:
        ended.set()


def watched_training(store: Path, run: Path, started: float) -> dict[str, float]:
    """Run two short epochs of `speech2vec train` in this process; seconds to the first step, and peaks of memory."""
    make_step, order = trainer.train_step, Sampler.epoch

    def noted_step(*given: Any) -> torch.Tensor:
        sums = make_step(*given)
        if "first_step" not in seen:
            sums.tolist()  # waits for the device
            seen["first_step"] = time.time() - started
            seen["cpu"] = time.process_time()  # of this process since its start
            seen["peak_at_first_step"] = seen["peak"]
        return sums

    def cut(sampler: Sampler, epoch: int, shuffle: bool = True) -> list[BatchIndices]:
        batches = order(sampler, epoch, shuffle)
        return batches[:STEPS_PER_EPOCH] if shuffle else batches  # held-out batches stay whole

    trainer.train_step, Sampler.epoch = noted_step, cut  # type: ignore[assignment, method-assign]
    with watched() as seen:
        app(["train", str(store), "-o", str(run), "--epochs", "2", "--quiet", "--force"], standalone_mode=False)
    return seen


def start_training(store: Path, run: Path) -> dict[str, float]:
    """Run `watched_training` in a new process, timed from its start."""
    arguments = ["-m", "scripts.benchmarks.bench_full_store", "--train", str(store), str(run), repr(time.time())]
    answer = subprocess.run([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return result


def measure(folder: Path, hours: list[float], n_steps: int) -> None:
    """Measure and print."""
    stores = {}
    for number in hours:
        started = time.perf_counter()
        store = librispeech_like(folder / f"{number:g}h", utterances_of(number), zeros=True)
        stores[number] = store
        print(
            f"{number:g} h: {store.n_words:,} words of {len(store.types):,} types, {len(store.frames):,} frames "
            f"({store.frames.nbytes / 1e9:.1f} GB); made in {time.perf_counter() - started:.0f} s",
            flush=True,
        )
    largest = max(hours)
    start_training(stores[min(hours)].path, folder / "first")
    went = start_training(stores[largest].path, folder / "run")
    print(
        f"first step at {largest:g} h, from the start of the program: {went['first_step']:.1f} s (aim: 30), "
        f"of which {went['cpu']:.1f} s of processor time"
    )
    peaks = f"{went['peak_at_first_step']:.2f} GB to the first step, {went['peak']:.2f} GB over the ends of two epochs"
    print(f"resident memory without files: {peaks} (aim: 3)")
    optimiser = OptimiserSettings()
    sides = {
        number: training_steps(
            DeviceStore(store, CPU), sampler_of_all(store, optimiser.batch_size), ModelSettings(), optimiser
        )
        for number, store in stores.items()
    }
    for number, steps in sides.items():
        seconds, _ = run_steps(steps, 3)
        print(f"drawing an epoch and its first three steps at {number:g} h: {seconds:.1f} s")
    rates: dict[float, list[float]] = {number: [] for number in hours}
    for _ in range(ROUNDS):
        for number, steps in sides.items():
            started = time.process_time()  # of all threads: other programs on the machine hardly count
            _, work = run_steps(steps, n_steps)
            rates[number].append(work.frames / (time.process_time() - started))
    smallest = float(np.median(rates[min(hours)]))
    for number, values in rates.items():
        rate, length = float(np.median(values)), FRAMES / WORDS
        print(
            f"{number:g} h: {rate / length:,.0f} pairs of {length:.1f} frames a second of processor time, "
            f"{rate / smallest:.2f} of those at {min(hours):g} h"
        )


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, nargs="+", default=[5, 50, HOURS])
    parser.add_argument("--steps", type=int, default=20, help="per round, of nine")
    parser.add_argument("--folder", type=Path, help="where to make the stores [a temporary folder]")
    parser.add_argument("--train", nargs=3, metavar=("STORE", "RUN", "STARTED"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        store, run, started = arguments.train
        print(json.dumps(watched_training(Path(store), Path(run), float(started))))
        return
    print(f"{machine_name()}, {torch.get_num_threads()} thread(s), load before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        measure(Path(name), arguments.hours, arguments.steps)


if __name__ == "__main__":
    main()
