"""Training on a store of LibriSpeech's full size: how soon it starts, what memory it takes, whether a pair costs more.

    python -m scripts.benchmarks.bench_full_store [--hours 5 50 475] [--steps 20] [--folder FOLDER]

Makes stores whose words, utterances and lengths are as many and as long as those of LibriSpeech's part of each number
of hours (475 h: 4.8 million words, 170 million frames); the frames are a sparse file of zeros, which takes no room on
the disk. On the largest, `speech2vec train` is started with all that it does before its first step (held-out loss,
evaluation), and the seconds to the end of that step and the largest resident memory apart from files (RssAnon of
/proc/self/status, so Linux only) are printed; so is that over two epochs, of which only the first steps are made. Then
steps on all of them take turns.

Pages of a sparse file come from nowhere: reading 8.8 GB from a cold disk is not in these figures. The first start of
all compiles the recurrence (`speech2vec.recurrence.lstm_cpu`) for the machine and keeps it, so one on the smallest
store goes before.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from scripts.benchmarks.bench_training import our_steps, timed
from scripts.benchmarks.librispeech_like import FRAMES, UTTERANCES, WORDS
from speech2vec.cli.app import app
from speech2vec.corpus.manifest import WORDS_FILE
from speech2vec.features.mfcc import MfccSettings
from speech2vec.features.store import FRAMES_FILE, META_FILE, STORE_SCHEMA, Store
from speech2vec.model.settings import ModelSettings
from speech2vec.runtime.config import fingerprint
from speech2vec.runtime.environment import machine_name
from speech2vec.runtime.files import write_json
from speech2vec.runtime.seeds import generator
from speech2vec.training import trainer
from speech2vec.training.presets import OptimiserSettings
from speech2vec.training.sampler import BatchIndices, Sampler

FULL_HOURS = 475


SPEAKERS, TYPES = 1253, 68_000  # of the full size


STEPS_OF_EPOCH = 20  # of two epochs, while memory is watched


ROUNDS = 9


def sparse_store(path: Path, hours: float, n_mfcc: int = 13) -> Store:
    """Write a store of LibriSpeech's shape whose frames are zeros that take no room."""
    share = hours / FULL_HOURS
    draw = generator(0)
    n_words, n_utterances = int(share * WORDS), max(2, int(share * UTTERANCES))
    n_speakers, n_types = max(5, int(share * SPEAKERS)), max(100, int(share**0.5 * TYPES))
    lengths = np.clip(draw.gamma(2.4, FRAMES / WORDS / 2.4, n_words), 3, 130).round().astype(np.int32)
    total = int(lengths.sum())
    more = draw.integers(0, n_utterances, n_words - n_utterances)
    utterance = np.sort(np.concatenate([np.arange(n_utterances), more]))
    first = np.cumsum(lengths, dtype=np.int64) - lengths
    word = np.minimum(draw.zipf(1.1, n_words) - 1, n_types - 1)

    def named(prefix: str, index: np.ndarray) -> pa.Array:
        used, place = np.unique(index, return_inverse=True)
        return pa.DictionaryArray.from_arrays(place.astype(np.int32), [f"{prefix}{i}" for i in used])

    columns = {
        "utterance_id": named("u", utterance),
        "speaker": named("s", utterance * n_speakers // n_utterances),
        "word": named("word", word),
        "start": first / 100,
        "end": (first + lengths) / 100,
        "score": np.zeros(n_words, dtype=np.float32),
        "first_frame": first,
        "n_frames": lengths,
    }
    path.mkdir(parents=True)
    frames = np.lib.format.open_memmap(path / FRAMES_FILE, mode="w+", dtype=np.float32, shape=(total, n_mfcc))
    del frames
    table = pa.table([pa.array(columns[field.name]).cast(field.type) for field in STORE_SCHEMA], schema=STORE_SCHEMA)
    pq.write_table(table, path / WORDS_FILE, compression="zstd")
    settings = MfccSettings(n_mfcc=n_mfcc).model_dump(mode="json")
    header = {"settings": settings, "fingerprint": fingerprint(settings), "n_words": n_words, "n_frames": total}
    write_json(path / META_FILE, {**header, "synthetic": True})
    return Store.open(path)


def resident() -> float:
    """Resident memory apart from files, in GB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024 / 1e9
    raise OSError("/proc/self/status has no RssAnon: this needs Linux 4.5 or later")


def watched_training(store: Path, run: Path, began: float) -> dict[str, float]:
    """Run `speech2vec train` in this process, two epochs cut to their first steps, and say how it went."""
    seen: dict[str, float] = {"peak": 0.0}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            seen["peak"] = max(seen["peak"], resident())

    make_step, order = trainer.train_step, Sampler.epoch

    def noted_step(*given: Any) -> torch.Tensor:
        sums = make_step(*given)
        if "first_step" not in seen:
            sums.tolist()  # the device has done it
            seen["first_step"] = time.time() - began
            seen["cpu"] = time.process_time()  # of this process from its start
            seen["peak_at_first_step"] = seen["peak"]
        return sums

    def cut(sampler: Sampler, epoch: int, shuffle: bool = True) -> list[BatchIndices]:
        batches = order(sampler, epoch, shuffle)
        return batches[:STEPS_OF_EPOCH] if shuffle else batches  # not the held-out ones

    trainer.train_step, Sampler.epoch = noted_step, cut  # type: ignore[assignment, method-assign]
    threading.Thread(target=watch, daemon=True).start()
    app(["train", str(store), "-o", str(run), "--epochs", "2", "--quiet", "--force"], standalone_mode=False)
    ended.set()
    return seen


def start_training(store: Path, run: Path) -> dict[str, float]:
    """`watched_training` in a process of its own, timed from its start."""
    arguments = ["-m", "scripts.benchmarks.bench_full_store", "--train", str(store), str(run), repr(time.time())]
    answer = subprocess.run([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return result


def measure(folder: Path, hours: list[float], n_steps: int) -> None:
    """Measure and print."""
    stores = {}
    for number in hours:
        started = time.perf_counter()
        stores[number] = store = sparse_store(folder / f"{number:g}h", number)
        print(
            f"{number:g} h: {store.n_words:,} words of {len(store.types):,} types, {len(store.frames):,} frames "
            f"({store.frames.nbytes / 1e9:.1f} GB); made in {time.perf_counter() - started:.0f} s",
            flush=True,
        )
    largest = max(hours)
    start_training(stores[min(hours)].path, folder / "first")
    went = start_training(stores[largest].path, folder / "run")
    print(
        f"first step at {largest:g} h, after the start of the program: {went['first_step']:.1f} s (aim: 30), "
        f"in which it computed for {went['cpu']:.1f} s"
    )
    peaks = f"{went['peak_at_first_step']:.2f} GB to the first step, {went['peak']:.2f} GB over two epochs' ends"
    print(f"resident beyond files: {peaks} (aim: 3)")
    sides = {number: our_steps(store, ModelSettings(), OptimiserSettings()) for number, store in stores.items()}
    for number, steps in sides.items():
        seconds, _ = timed(steps, 3)
        print(f"first three steps and the order of an epoch at {number:g} h: {seconds:.1f} s")
    rates: dict[float, list[float]] = {number: [] for number in hours}
    for _ in range(ROUNDS):
        for number, steps in sides.items():
            started = time.process_time()  # of all threads: what else the machine does hardly counts
            _, work = timed(steps, n_steps)
            rates[number].append(work.rows / (time.process_time() - started))
    smallest = float(np.median(rates[min(hours)]))
    for number, values in rates.items():
        rate, length = float(np.median(values)), FRAMES / WORDS
        print(
            f"{number:g} h: {rate / length:,.0f} pairs of {length:.1f} frames a second of processor time, "
            f"{rate / smallest:.2f} of those at {min(hours):g} h"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, nargs="+", default=[5, 50, FULL_HOURS])
    parser.add_argument("--steps", type=int, default=20, help="to a round, of nine")
    parser.add_argument("--folder", type=Path, help="where the stores are made [a temporary folder]")
    parser.add_argument("--train", nargs=3, metavar=("STORE", "RUN", "BEGAN"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        store, run, began = arguments.train
        print(json.dumps(watched_training(Path(store), Path(run), float(began))))
        return
    print(f"{machine_name()}, {torch.get_num_threads()} thread(s), load before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        measure(Path(name), arguments.hours, arguments.steps)


if __name__ == "__main__":
    main()
