"""From a store to word vectors by a method that is fitted in one go: seconds, memory, cost of a word.

    python -m scripts.benchmarks.bench_methods [--preset acoustic] [--hours 5 50 475] [--folder FOLDER]

Makes stores of random frames with the words, utterances and lengths of so many hours of LibriSpeech (475 h: 4.8 million
words, 8.8 GB). On each, a new process fits the encoder and averages the vectors of all words. The scores on held-out
speech, which take no longer on a larger store, are left out. Printed are seconds, seconds of processor time, and the
peak of resident memory without files (RssAnon of /proc/self/status, so Linux only).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from scripts.benchmarks.bench_full_store import watched
from scripts.benchmarks.librispeech_like import HOURS, librispeech_like, utterances_of
from speech2vec import api
from speech2vec.runtime.environment import machine_name


def fit_and_average(store: Path, run: Path, preset: str) -> dict[str, float]:
    """Fit and average in this process; seconds, and the peak of memory."""
    started, cpu = time.perf_counter(), time.process_time()
    with watched() as seen:
        trained = api.train(store, run, preset=preset, device="cpu", evaluate_every=0, quiet=True, force=True)
        fitted = time.perf_counter() - started
        vectors = trained.word_vectors()
    seconds = time.perf_counter() - started
    return {"fitted": fitted, "seconds": seconds, "cpu": time.process_time() - cpu, "types": len(vectors), **seen}


def measure(folder: Path, preset: str, hours: list[float]) -> None:
    """Measure and print."""
    for number in hours:
        store = librispeech_like(folder / "store", utterances_of(number))
        arguments = ["-m", "scripts.benchmarks.bench_methods", "--one", str(store.path), str(folder / "run"), preset]
        answer = subprocess.run([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, check=True)
        went = json.loads(answer.stdout.splitlines()[-1])
        print(
            f"{preset}, {number:g} h, {store.n_words:,} words: {went['seconds']:.1f} s to the vectors of "
            f"{went['types']:,.0f} words ({went['fitted']:.1f} s to the run), {went['cpu']:.1f} s of processor time "
            f"({1e6 * went['cpu'] / store.n_words:.0f} µs a word), {went['peak']:.2f} GB",
            flush=True,
        )
        for file in sorted(store.path.iterdir()):
            file.unlink()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="acoustic")
    parser.add_argument("--hours", type=float, nargs="+", default=[5, 50, HOURS])
    parser.add_argument("--folder", type=Path, help="where to make the stores [a temporary folder]")
    parser.add_argument("--one", nargs=3, metavar=("STORE", "RUN", "PRESET"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        store, run, preset = arguments.one
        print(json.dumps(fit_and_average(Path(store), Path(run), preset)))
        return
    print(f"{machine_name()}, {torch.get_num_threads()} thread(s), load before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        measure(Path(name), arguments.preset, arguments.hours)


if __name__ == "__main__":
    main()
