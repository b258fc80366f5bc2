"""Whole epochs of the trainer by the clock: all that `speech2vec train` does, and the hours that it makes of 475 h.

    python -m scripts.benchmarks.bench_epochs [STORE] [--epochs 3] [--preset large-batch] [--device cuda]
        [--utterances 137876]

`bench_training` times steps; here an epoch is timed from the end of the one before to its own end: the order of its
batches, its steps, checkpoints, the held-out loss with its controls, metrics and curves (what `--evaluate-every` asks
for beside that is left out). The first epoch compiles and fills caches, so it is printed and not counted. Without
STORE, random frames are trained on whose words and utterances are as long as LibriSpeech's: `--utterances 137876` makes
as many as its 475 h have (8.8 GB). The projected hours are a projection: nobody has trained them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from scripts.benchmarks.librispeech_like import EPOCHS, FRAMES, PAIRS, WORDS, librispeech_like
from speech2vec.features.store import Store
from speech2vec.runtime.config import load_settings
from speech2vec.runtime.devices import choose_device
from speech2vec.runtime.environment import machine_name
from speech2vec.runtime.errors import UserError
from speech2vec.training.metrics import EpochState
from speech2vec.training.presets import PRESETS, TrainSettings, preset_of
from speech2vec.training.run import device_name
from speech2vec.training.sampler import Sampler, split
from speech2vec.training.trainer import TrainOptions, train


def seconds_of_epochs(store: Store, settings: TrainSettings, device: torch.device) -> np.ndarray:
    """What each epoch of a training took by the clock [shape=(n_epochs,)], seconds."""
    ended: list[float] = []

    def note(_: EpochState) -> dict[str, float]:
        ended.append(time.perf_counter())
        return {}

    with tempfile.TemporaryDirectory() as folder:
        train(store, Path(folder) / "run", settings, device, TrainOptions(quiet=True), note)
    return np.diff(ended)


def pairs_of_epoch(store: Store, settings: TrainSettings) -> tuple[int, float]:
    """Pairs that an epoch trains on, and the mean frames of their contexts."""
    data = settings.data
    trained = split(store, data.held_out, settings.seed).train
    sampler = Sampler.from_store(store, trained, data.window, settings.optimiser.batch_size, settings.seed)
    return sampler.n_pairs(), float(store.n_frames[trained].mean())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, nargs="?", help="what speech2vec features wrote [random frames]")
    parser.add_argument("--utterances", type=int, default=2000, help="of the random frames")
    parser.add_argument("--epochs", type=int, default=3, help="two at least: the first is not counted")
    parser.add_argument("--preset", default="default", help=", ".join(PRESETS))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of speech2vec train")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    try:
        overrides = [f"optimiser.epochs={max(2, given.epochs)}", *given.set]
        settings = load_settings(TrainSettings, None, overrides, preset_of(PRESETS, given.preset))
        device = choose_device(given.device)
        with tempfile.TemporaryDirectory() as name:
            store = Store.open(given.store) if given.store else librispeech_like(Path(name) / "store", given.utterances)
            print(
                f"{machine_name()}, {device_name(device)}, torch {torch.__version__}, "
                f"load before: {os.getloadavg()[0]:.1f}"
            )
            n_pairs, n_frames = pairs_of_epoch(store, settings)
            print(
                f"{'store' if given.store else 'random frames'}: {store.n_words:,} words, {n_pairs:,} pairs of "
                f"{n_frames:.1f} frames an epoch; {given.preset}, {settings.optimiser.batch_size:,} pairs a batch"
            )
            seconds = seconds_of_epochs(store, settings, device)
    except UserError as error:
        parser.exit(2, f"error: {error}\n")
    for number, taken in enumerate(seconds, start=1):
        print(
            f"epoch {number}: {taken:9,.1f} s {n_pairs / taken:12,.0f} pairs/s{'' if number > 1 else ' (not counted)'}"
        )
    rate = n_pairs / float(np.median(seconds[1:]))
    hours = EPOCHS * PAIRS * (FRAMES / WORDS) / n_frames / rate / 3600
    print(f"projected for 475 h x {EPOCHS} epochs of {PAIRS / 1e6:.1f} M pairs: {hours:,.1f} h")
    print(f"pairs a second over epochs 2 to {len(seconds)}, by the clock: {rate:,.0f}")


if __name__ == "__main__":
    main()
