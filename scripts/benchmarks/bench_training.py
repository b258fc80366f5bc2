"""Speed of training beside the per-pair scheme, in one run: same words, features, threads and batch size.

    python -m scripts.benchmarks.bench_training [STORE] [--rounds 9] [--threads 2] [--device cuda]
        [--variants | --only WORD...]
    python -m scripts.benchmarks.bench_training [STORE] --epochs 3 [--preset large-batch] [--set KEY=VALUE]
    python -m scripts.benchmarks.bench_training [STORE] --profile

Without STORE, a store of random frames with the lengths of LibriSpeech's words and utterances is made; with
`--utterances 137876` it is as large as the 475 h of LibriSpeech (8.8 GB).

Steps: the per-pair scheme (`per_pair_scheme`) is run with this project's model (z as the decoder's input, teacher
forcing on both sides), and with the model of the 2022 reality check (arXiv 2209.10791: attention over all encoder
states, after Luong et al. 2015). The sides take turns in every round, and medians over the rounds are printed. A step
is everything that a trainer does for a batch: assembling it, loss, gradients, clipping, Adam. `--variants` (always
with `--device cuda`) adds attention, GRU, bfloat16, and batches of 16 and 64 times the size; `--only compiled` adds
torch.compile, which compiles for minutes.

With `--epochs`, whole epochs of the trainer are timed by the clock: drawing the batches, steps, checkpoints, held-out
loss and its controls, metrics (without the evaluations of `--evaluate-every`). The first epoch compiles and fills
caches; it is printed, but not counted.

The figures are valid only on an idle machine; the load is printed with them.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from scripts.benchmarks.librispeech_like import (
    EPOCHS,
    FRAMES,
    HOURS,
    PAIRS,
    WINDOW,
    WORDS,
    librispeech_like,
    projected_hours,
)
from scripts.benchmarks.per_pair_scheme import PerPairScheme, padded, update, with_weights_of
from scripts.benchmarks.training_steps import (
    CPU,
    Work,
    epoch_seconds,
    matmul_speed,
    run_steps,
    sampler_of_all,
    sampler_of_training,
    training_steps,
)
from speech2vec.features.store import Store
from speech2vec.model.settings import ModelSettings
from speech2vec.model.speech2vec import seeded_model
from speech2vec.runtime.config import load_settings
from speech2vec.runtime.devices import choose_device
from speech2vec.runtime.environment import machine_name
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import generator
from speech2vec.training.batches import DeviceStore
from speech2vec.training.presets import PRESETS, OptimiserSettings, TrainSettings, preset_of
from speech2vec.training.run import device_name
from speech2vec.training.sampler import neighbour_pairs
from speech2vec.training.step import make_optimiser

STEPS = 5  # of this trainer to one of the per-pair scheme, per round
OURS, OURS_FORCED = "this trainer, default model", "this trainer, teacher forcing"
THEIRS, THEIRS_ATTENTION = "per-pair scheme, same model", "per-pair scheme, attention over all states"
COMPILED = "  compiled"
Side = tuple[Iterator[Work], int]  # steps, and how many of them make a round


def with_attention(settings: ModelSettings) -> ModelSettings:
    """The same model with the decoder that attends over all encoder states."""
    return settings.model_copy(update={"decoder": "attention"})


def our_steps(
    store: Store,
    model: ModelSettings,
    optimiser: OptimiserSettings,
    device: torch.device = CPU,
    compiled: bool = False,
) -> Iterator[Work]:
    """Steps of this trainer on all words of a store, without end."""
    sampler = sampler_of_all(store, optimiser.batch_size)
    return training_steps(DeviceStore(store, device), sampler, model, optimiser, compiled)


def per_pair_steps(
    store: Store, model: PerPairScheme, optimiser: OptimiserSettings, device: torch.device = CPU
) -> Iterator[Work]:
    """Steps of the per-pair scheme, without end."""
    model.to(device)
    weights = make_optimiser(model, optimiser)
    centre, context = neighbour_pairs(store.utterance, WINDOW)
    for epoch in itertools.count():
        order = generator(0, 1, epoch).permutation(len(centre))
        for chosen in np.split(order, range(optimiser.batch_size, len(order), optimiser.batch_size)):
            words, n_words = padded(store, centre[chosen])
            targets, n_targets = padded(store, context[chosen])
            n_frames = int(n_targets.sum())
            error = model(words.to(device), n_words, targets.to(device), n_targets)
            update(model, weights, error / (n_frames * store.n_mfcc), optimiser.gradient_clip)
            yield Work(len(chosen), n_frames)


def variants(store: Store, model: ModelSettings, optimiser: OptimiserSettings, device: torch.device) -> dict[str, Side]:
    """Other models, precisions and batch sizes of this trainer."""
    bfloat16 = optimiser.model_copy(update={"precision": "bfloat16"})
    attention = with_attention(model.model_copy(update={"teacher_forcing": True}))
    sides: dict[str, Side] = {
        "  attention over all states": (our_steps(store, attention, optimiser, device), STEPS),
        "  GRU": (our_steps(store, model.model_copy(update={"cell": "gru"}), optimiser, device), STEPS),
        "  bfloat16": (our_steps(store, model, bfloat16, device), STEPS),
        COMPILED: (our_steps(store, model, optimiser, device, compiled=True), STEPS),
    }
    for times in (16, 64):
        larger = optimiser.model_copy(update={"batch_size": times * optimiser.batch_size})
        sides[f"  {larger.batch_size:,} pairs a batch"] = (our_steps(store, model, larger, device), 1)
    return sides


def compare(
    store: Store,
    n_rounds: int,
    batch_size: int,
    vector_size: int,
    device: torch.device = CPU,
    with_variants: bool = False,
    only: Sequence[str] = (),
) -> None:
    """Measure all sides in turn and print their medians; with `only`, this trainer and sides named by its words."""
    default = ModelSettings(vector_size=vector_size)
    forced = default.model_copy(update={"teacher_forcing": True})
    optimiser = OptimiserSettings(batch_size=batch_size)
    same_model = with_weights_of(seeded_model(store.n_mfcc, forced, 0))
    attention = with_weights_of(seeded_model(store.n_mfcc, with_attention(forced), 0))
    sides: dict[str, Side] = {
        OURS: (our_steps(store, default, optimiser, device), STEPS),
        OURS_FORCED: (our_steps(store, forced, optimiser, device), STEPS),
        THEIRS: (per_pair_steps(store, same_model, optimiser, device), 1),
        THEIRS_ATTENTION: (per_pair_steps(store, attention, optimiser, device), 1),
    }
    if with_variants:
        sides |= variants(store, default, optimiser, device)
        if not any(word in COMPILED for word in only):
            del sides[COMPILED]
    if only:
        sides = {name: side for name, side in sides.items() if name == OURS or any(word in name for word in only)}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    matmul, ours = [], []
    for number in range(n_rounds + 1):
        for name, (steps, n_steps) in sides.items():
            seconds, work = run_steps(steps, n_steps, device)
            if number == 0:
                continue  # first calls fill caches and start threads
            rates[name].append(work.pairs / seconds)
            if name == OURS:
                ours.append((work.operations / seconds, work.frames / seconds, work.assembling / seconds))
        matmul.append(matmul_speed(device))
    median = {name: float(np.median(values)) for name, values in rates.items()}
    for name, values in rates.items():
        print(f"{name + ':':44}{median[name]:9,.0f} pairs/s ({min(values):,.0f} to {max(values):,.0f})")
    our_operations, frames, assembling = (float(value) for value in np.median(ours, axis=0))
    print(f"assembling batches, share of our step:     {assembling:9.1%}")
    if only:
        return
    peak = max(matmul)
    print(f"matrix products (float32), at best:        {peak / 1e9:9,.1f} Gop/s")
    print(f"those of our step, by the formula:         {our_operations / 1e9:9,.1f} Gop/s, {our_operations / peak:.0%}")
    print(
        f"projected for {HOURS} h x {EPOCHS} epochs ({PAIRS / 1e6:.1f} M pairs of {FRAMES / WORDS:.1f} frames an "
        f"epoch): {projected_hours(frames):,.0f} h"
    )
    print(f"the scheme alone, same model: {median[OURS_FORCED] / median[THEIRS]:.1f} times as fast")
    print(f"ratio: {median[OURS] / median[THEIRS_ATTENTION]:.1f}")


def time_epochs(store: Store, settings: TrainSettings, device: torch.device) -> None:
    """Time whole epochs of the trainer, and print the rate without the first one."""
    sampler = sampler_of_training(store, settings)
    n_pairs, n_frames = sampler.n_pairs(), float(store.n_frames[sampler.rows].mean())
    print(f"{n_pairs:,} pairs of {n_frames:.1f} frames an epoch, {settings.optimiser.batch_size:,} pairs a batch")
    seconds = epoch_seconds(store, settings, device)
    for number, taken in enumerate(seconds, start=1):
        note = "" if number > 1 else " (not counted)"
        print(f"epoch {number}: {taken:9,.1f} s {n_pairs / taken:12,.0f} pairs/s{note}")
    rate = n_pairs / float(np.median(seconds[1:]))
    hours = projected_hours(rate * n_frames)
    print(f"projected for {HOURS} h x {EPOCHS} epochs of {PAIRS / 1e6:.1f} M pairs: {hours:,.1f} h")
    print(f"pairs a second over epochs 2 to {len(seconds)}, by the clock: {rate:,.0f}")


def profile(store: Store, batch_size: int, vector_size: int, device: torch.device, n_steps: int = 20) -> None:
    """Print the operators (on a GPU: kernels) that take the largest share of a step."""
    optimiser = OptimiserSettings(batch_size=batch_size)
    steps = our_steps(store, ModelSettings(vector_size=vector_size), optimiser, device)
    run_steps(steps, 3, device)
    with torch.profiler.profile() as profiler:
        run_steps(steps, n_steps, device)
    order = f"self_{'device' if device.type == 'cuda' else 'cpu'}_time_total"
    print(profiler.key_averages().table(sort_by=order, row_limit=18, max_name_column_width=40))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("store", type=Path, nargs="?", help="output of speech2vec features [random frames]")
    made.add_argument("--utterances", type=int, default=1000, help="size of the store of random frames")
    made.add_argument("--threads", type=int, default=torch.get_num_threads())
    made.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    steps = made.add_argument_group("steps")
    steps.add_argument("--rounds", type=int, default=9)
    steps.add_argument("--batch-size", type=int, default=1020, help="pairs per step")
    steps.add_argument("--vector-size", type=int, default=50)
    steps.add_argument("--variants", action="store_true", help="add other models, batch sizes and bfloat16")
    steps.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="only sides with these words in their name"
    )
    steps.add_argument("--profile", action="store_true", help="only profile this trainer")
    epochs = made.add_argument_group("whole epochs")
    epochs.add_argument("--epochs", type=int, help="time so many, at least two: the first is not counted")
    epochs.add_argument("--preset", default="default", help=", ".join(PRESETS))
    epochs.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in speech2vec train")
    return made


def measure(given: argparse.Namespace, store: Store) -> None:
    """Print what was measured, then the figures asked for."""
    device = choose_device(given.device)
    load = os.getloadavg()[0]
    print(f"{machine_name()}, {device_name(device)}, torch {torch.__version__}, load before: {load:.1f}")
    print(
        f"{'store' if given.store else 'random frames'}: {store.n_words:,} words of {store.n_frames.mean():.1f} frames "
        f"x {store.n_mfcc} on average"
    )
    if given.epochs is not None:
        overrides = [f"optimiser.epochs={max(2, given.epochs)}", *given.set]
        time_epochs(store, load_settings(TrainSettings, None, overrides, preset_of(PRESETS, given.preset)), device)
        return
    print(f"about {given.batch_size} pairs a batch, vector size {given.vector_size}, {given.threads} thread(s)")
    if given.profile:
        profile(store, given.batch_size, given.vector_size, device)
        return
    with_variants = bool(given.variants or given.only or device.type == "cuda")
    compare(store, max(1, given.rounds), given.batch_size, given.vector_size, device, with_variants, given.only)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    command = parser()
    given = command.parse_args(arguments)
    torch.set_num_threads(given.threads)
    try:
        with tempfile.TemporaryDirectory() as name:
            made = None if given.store else librispeech_like(Path(name) / "store", given.utterances)
            measure(given, made or Store.open(given.store))
    except UserError as error:
        command.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
