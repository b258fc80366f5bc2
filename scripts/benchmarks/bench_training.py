"""Speed of this trainer beside the scheme of earlier code: one run, the same words, features, threads and batch.

    python -m scripts.benchmarks.bench_training [STORE] [--rounds 9] [--threads 2] [--device cuda]
        [--variants | --only WORD...]

Without STORE, random frames are trained on whose words and utterances are as long as LibriSpeech's; speed does not
depend on what is in them. `--utterances 137876` makes as many of them as LibriSpeech's 475 h have (8.8 GB). The earlier
scheme draws (centre, context) pairs in random order, pads them, encodes the centre again for each pair and runs the
decoder frame by frame in Python, all pairs of a batch at once. It is measured with the model of this project (the
decoder is given z; teacher forcing on both sides), and with the model of the 2022 reality check (arXiv 2209.10791; the
decoder attends over all encoder states, after Luong et al. 2015).

All take turns in every round, so that what disturbs the machine disturbs all; medians over the rounds are printed. A
step is all that a trainer does for a batch: assembling it, loss, gradients, clipping, Adam. Figures mean something on
an idle machine only: the load is printed beside them.

With --variants (always with --device cuda) this trainer takes part with attention as theirs and with GRUs too, in
bfloat16, and with batches of 16 and 64 times the size. `--only compiled` sets torch.compile beside it, which compiles
for minutes.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from scripts.benchmarks.earlier_scheme import EarlierScheme, padded, update, with_weights_of
from scripts.benchmarks.librispeech_like import EPOCHS, FRAMES, PAIRS, WINDOW, WORDS, librispeech_like
from speech2vec.features.store import Store
from speech2vec.model.settings import ModelSettings
from speech2vec.model.speech2vec import seeded_model
from speech2vec.runtime.devices import choose_device
from speech2vec.runtime.environment import machine_name
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import generator
from speech2vec.training.batches import DeviceStore
from speech2vec.training.presets import OptimiserSettings
from speech2vec.training.run import device_name
from speech2vec.training.sampler import Sampler, neighbour_pairs
from speech2vec.training.step import BatchLoss, make_optimiser, train_step

# Our steps to one of the earlier scheme in a round, and how often they are read.
STEPS, READ_EVERY = 5, 50


CPU = torch.device("cpu")


OURS, OURS_FORCED = "this trainer, default model", "this trainer, teacher forcing"


COMPILED = "  compiled"


THEIRS, THEIRS_ATTENDING = "earlier scheme, the same model", "earlier scheme, attention over all states"


@dataclass(frozen=True)
class Work:
    """What a step did: pairs, decoded frames; of ours, operations (by the formula), seconds of assembling."""

    pairs: int
    rows: int
    operations: float = 0.0
    assembling: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def attention_of(settings: ModelSettings) -> ModelSettings:
    """The same with a decoder that attends over all encoder states."""
    return settings.model_copy(update={"decoder": "attention"})


def operations(n_frames: int, n_rows: int, n_pairs: int, n_mfcc: int, settings: ModelSettings) -> float:
    """Operations (a multiplication and an addition are two) that the model's matrix products need in a step.

    `n_frames` are those of the distinct words, `n_rows` those of all contexts. A product whose input has a gradient
    costs three times itself (forwards, gradient of the input, gradient of the weights), one of frames twice. What is
    the same for several rows is counted once: a frame's projection, and z's.
    """
    F, D = n_mfcc, settings.vector_size
    directions = 2 if settings.bidirectional else 1
    H = D // directions
    encoder = n_frames * directions * 4 * H * (2 * F + 3 * H)
    heard = n_frames * 2 * F * 4 * D if settings.teacher_forcing else 0
    decoder = heard + n_rows * 3 * (D * 4 * D + D * F) + n_pairs * 3 * D * 4 * D
    return 2.0 * (encoder + decoder)


def our_steps(
    store: Store,
    settings: ModelSettings,
    optimiser: OptimiserSettings,
    device: torch.device = CPU,
    compiled: bool = False,
) -> Iterator[Work]:
    """The steps of this project's trainer, without end."""
    model = seeded_model(store.n_mfcc, settings, 0).to(device)
    weights = make_optimiser(model, optimiser)
    sampler = Sampler.from_store(store, np.arange(store.n_words), WINDOW, optimiser.batch_size, seed=0)
    frames = DeviceStore(store, device)
    error: nn.Module = BatchLoss(model, optimiser, int(store.n_frames.max()))
    if compiled:
        error = torch.compile(error, dynamic=True)  # type: ignore[assignment]
    pending: list[Tensor] = []
    for epoch in itertools.count():
        for chosen in sampler.epoch(epoch):
            started = time.perf_counter()
            batch = sampler.batch(chosen)
            given = frames.batch(batch)
            assembling = time.perf_counter() - started
            pending.append(train_step(error, weights, given, optimiser))
            if len(pending) == READ_EVERY:
                if not torch.stack(pending).isfinite().all():
                    raise UserError("the loss is no longer a number: are the store's frames normalised?")
                pending.clear()
            n = store.n_frames[batch.words]
            n_rows, n_pairs = int(n[batch.context].sum()), len(batch.centre)
            counted = operations(int(n.sum()), n_rows, n_pairs, store.n_mfcc, settings)
            yield Work(n_pairs, n_rows, counted, assembling)


def earlier_steps(
    store: Store, model: EarlierScheme, optimiser: OptimiserSettings, device: torch.device = CPU
) -> Iterator[Work]:
    """The steps of the earlier scheme, without end."""
    model.to(device)
    weights = make_optimiser(model, optimiser)
    centre, context = neighbour_pairs(store.utterance, WINDOW)
    for epoch in itertools.count():
        order = generator(0, 1, epoch).permutation(len(centre))
        for chosen in np.split(order, range(optimiser.batch_size, len(order), optimiser.batch_size)):
            words, n_words = padded(store, centre[chosen])
            targets, n_targets = padded(store, context[chosen])
            n_rows = int(n_targets.sum())
            error = model(words.to(device), n_words, targets.to(device), n_targets)
            update(model, weights, error / (n_rows * store.n_mfcc), optimiser.gradient_clip)
            yield Work(len(chosen), n_rows)


def timed(steps: Iterator[Work], n_steps: int, device: torch.device = CPU) -> tuple[float, Work]:
    """Seconds of some steps, and what they did."""
    wait_for(device)
    started = time.perf_counter()
    done = [next(steps) for _ in range(n_steps)]
    wait_for(device)
    seconds = time.perf_counter() - started
    return seconds, sum(done, Work(0, 0))


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def multiply_speed(device: torch.device = CPU) -> float:
    """Operations a second of a float32 matrix product."""
    size, times = (8192, 8) if device.type == "cuda" else (1536, 4)
    a, b = torch.ones(2, size, size, device=device).unbind(0)
    out = torch.empty(size, size, device=device)
    torch.mm(a, b, out=out)
    wait_for(device)
    started = time.perf_counter()
    for _ in range(times):
        torch.mm(a, b, out=out)
    wait_for(device)
    return times * 2 * size**3 / (time.perf_counter() - started)


def variants(
    store: Store, settings: ModelSettings, optimiser: OptimiserSettings, device: torch.device
) -> dict[str, tuple[Iterator[Work], int]]:
    """Other models, and other ways to compute the default one; and how many steps of them make a round."""
    half = optimiser.model_copy(update={"precision": "bfloat16"})
    forced = settings.model_copy(update={"teacher_forcing": True})
    sides = {
        "  attention over all states, as theirs": (our_steps(store, attention_of(forced), optimiser, device), STEPS),
        "  GRU": (our_steps(store, settings.model_copy(update={"cell": "gru"}), optimiser, device), STEPS),
        "  bfloat16": (our_steps(store, settings, half, device), STEPS),
        COMPILED: (our_steps(store, settings, optimiser, device, compiled=True), STEPS),
    }
    for times in (16, 64):
        larger = optimiser.model_copy(update={"batch_size": times * optimiser.batch_size})
        sides[f"  {larger.batch_size:,} pairs a batch"] = (our_steps(store, settings, larger, device), 1)
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
    """Measure all in turn and print the medians; of `only`, those whose names hold one of these words, and ours."""
    default = ModelSettings(vector_size=vector_size)
    forced = default.model_copy(update={"teacher_forcing": True})
    optimiser = OptimiserSettings(batch_size=batch_size)
    same_model = with_weights_of(seeded_model(store.n_mfcc, forced, 0))
    attending = with_weights_of(seeded_model(store.n_mfcc, attention_of(forced), 0))
    sides = {
        OURS: (our_steps(store, default, optimiser, device), STEPS),
        OURS_FORCED: (our_steps(store, forced, optimiser, device), STEPS),
        THEIRS: (earlier_steps(store, same_model, optimiser, device), 1),
        THEIRS_ATTENDING: (earlier_steps(store, attending, optimiser, device), 1),
    }
    if with_variants:
        sides |= variants(store, default, optimiser, device)
        if not any(word in COMPILED for word in only):  # it compiles for minutes
            del sides[COMPILED]
    if only:
        sides = {name: side for name, side in sides.items() if name == OURS or any(word in name for word in only)}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    multiplied, reached, rows, assembling = [], [], [], []
    for number in range(n_rounds + 1):
        for name, (steps, n_steps) in sides.items():
            seconds, work = timed(steps, n_steps, device)
            if number == 0:
                continue  # first calls build caches and thread pools
            rates[name].append(work.pairs / seconds)
            if name == OURS:
                reached.append(work.operations / seconds)
                rows.append(work.rows / seconds)
                assembling.append(work.assembling / seconds)
        multiplied.append(multiply_speed(device))
    median = {name: float(np.median(values)) for name, values in rates.items()}
    for name, values in rates.items():
        print(f"{name + ':':44}{median[name]:9,.0f} pairs/s ({min(values):,.0f} to {max(values):,.0f})")
    print(f"assembling batches, share of our step:     {float(np.median(assembling)):9.1%}")
    if only:
        return
    peak, our_operations = max(multiplied), float(np.median(reached))
    print(f"matrix products (float32), at best:        {peak / 1e9:9,.1f} Gop/s")
    print(f"those of our step, from the formula:       {our_operations / 1e9:9,.1f} Gop/s, {our_operations / peak:.0%}")
    hours = EPOCHS * PAIRS * FRAMES / WORDS / float(np.median(rows)) / 3600
    print(
        f"projected for 475 h x {EPOCHS} epochs ({PAIRS / 1e6:.1f} M pairs of {FRAMES / WORDS:.1f} frames an epoch): "
        f"{hours:,.0f} h"
    )
    print(f"the scheme alone, same model: {median[OURS_FORCED] / median[THEIRS]:.1f} times as fast")
    print(f"ratio: {median[OURS] / median[THEIRS_ATTENDING]:.1f}")


def profile(store: Store, batch_size: int, vector_size: int, device: torch.device, n_steps: int = 20) -> None:
    """Print what our step spends its time on."""
    optimiser = OptimiserSettings(batch_size=batch_size)
    steps = our_steps(store, ModelSettings(vector_size=vector_size), optimiser, device)
    timed(steps, 3, device)
    with torch.profiler.profile() as profiler:  # of all devices
        timed(steps, n_steps, device)
    order = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
    print(profiler.key_averages().table(sort_by=order, row_limit=18, max_name_column_width=40))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, nargs="?", help="what speech2vec features wrote [random frames]")
    parser.add_argument("--utterances", type=int, default=1000, help="of the random frames")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch-size", type=int, default=1020, help="pairs to a step")
    parser.add_argument("--vector-size", type=int, default=50)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--variants", action="store_true", help="other models, batch sizes and bfloat16 too")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="the sides with these words in their name"
    )
    parser.add_argument("--profile", action="store_true", help="only show where this trainer's time goes")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    try:
        with tempfile.TemporaryDirectory() as name:
            store = (
                Store.open(arguments.store)
                if arguments.store
                else librispeech_like(Path(name) / "store", arguments.utterances)
            )
            device = choose_device(arguments.device)
            print(
                f"{machine_name()}, {device_name(device)}, torch {torch.__version__}, "
                f"load before: {os.getloadavg()[0]:.1f}"
            )
            print(
                f"{'random frames' if not arguments.store else 'store'}: {store.n_words:,} words of "
                f"{store.n_frames.mean():.1f} frames x {store.n_mfcc} on average; about {arguments.batch_size} pairs a "
                f"batch, vector size {arguments.vector_size}"
            )
            if arguments.profile:
                profile(store, arguments.batch_size, arguments.vector_size, device)
            else:
                with_variants = bool(arguments.variants or arguments.only or device.type == "cuda")
                rounds, size = max(1, arguments.rounds), arguments.vector_size
                compare(store, rounds, arguments.batch_size, size, device, with_variants, arguments.only)
    except UserError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
