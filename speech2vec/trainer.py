"""The training loop: plain, seeded, and exact when it resumes.

Everything random is drawn from (seed, purpose, epoch), so the state of a run is its weights, its optimiser and how far
it has come: a run that was killed and resumed ends with the weights of one that was not.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from speech2vec import checkpoint as checkpoints
from speech2vec.config import fingerprint, read_toml, to_toml, validate_settings
from speech2vec.console import Tracker, log
from speech2vec.encoding import BEST, CONFIG_FILE, LAST, ORIGIN_FILE, checkpoint_file, segments_of
from speech2vec.errors import UserError
from speech2vec.held_out import HeldOutLoss, Split, held_out_loss, mean_frame, split
from speech2vec.model import Speech2Vec, seeded_model
from speech2vec.presets import OptimiserSettings, TrainSettings
from speech2vec.runs import append_json_line, atomic_path, environment, write_json
from speech2vec.skipgram import Sampler
from speech2vec.store import Store

METRICS_FILE = "metrics.jsonl"
ENVIRONMENT_FILE = "environment.json"


@dataclass(frozen=True)
class EpochEnd:
    """What a caller may look at when an epoch has ended; what it returns joins the metrics.

    Parameters
    ----------
    epoch : int
        Epochs that are done; 0 before the first.
    model : Speech2Vec
    store : Store
    split : Split
    device : torch.device
    writer : SummaryWriter
    last : bool
        Whether it was the last epoch.
    """

    epoch: int
    model: Speech2Vec
    store: Store
    split: Split
    device: torch.device
    writer: SummaryWriter
    last: bool


OnEpochEnd = Callable[[EpochEnd], dict[str, float]]


@dataclass
class Progress:
    """How far a run has come; what a checkpoint holds beside tensors."""

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    squared_error: float = 0.0
    n_values: int = 0
    n_pairs: int = 0
    gradient_norm: float = 0.0
    seconds: float = 0.0
    best_loss: float = math.inf

    def start_epoch(self) -> None:
        self.step_in_epoch = self.n_values = self.n_pairs = 0
        self.squared_error = self.gradient_norm = self.seconds = 0.0


@dataclass(frozen=True)
class Trained:
    """The end of a training: the metrics of each epoch."""

    metrics: list[dict[str, Any]] = field(default_factory=list)


def make_optimiser(model: Speech2Vec, settings: OptimiserSettings) -> torch.optim.Optimizer:
    if settings.name == "sgd":
        return torch.optim.SGD(model.parameters(), lr=settings.learning_rate)
    return torch.optim.Adam(model.parameters(), lr=settings.learning_rate)


def device_name(device: torch.device) -> str:
    """The device as its maker calls it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"


def learning_rate(settings: OptimiserSettings, done: float) -> float:
    """The learning rate after a share `done` of all steps: half a cosine from the first to the final one."""
    low, high = settings.final_learning_rate, settings.learning_rate
    return low + (high - low) * (1 + math.cos(math.pi * min(done, 1.0))) / 2


def train(
    store: Store,
    run: Path,
    settings: TrainSettings,
    device: torch.device,
    resume: bool = False,
    on_epoch_end: OnEpochEnd | None = None,
    checkpoint_every: int = 500,
    quiet: bool = False,
) -> Trained:
    """Train a Speech2Vec model on a store and leave a run folder.

    Parameters
    ----------
    store : Store
    run : Path
    settings : TrainSettings
    device : torch.device
    resume : bool
        Go on from the run's last checkpoint; its settings and store must be the same.
    on_epoch_end : callable or None
        Evaluation from above: its values join metrics.jsonl and TensorBoard.
    checkpoint_every : int
        Steps between checkpoints within an epoch; each epoch's end has one too.
    quiet : bool

    Raises
    ------
    UserError
        If the loss is no longer a number (the last checkpoint is kept), if nothing can be trained on, or if a resumed
        run was made with other settings.
    """
    parts = split(store, settings.data.held_out, settings.seed)
    sampler, dev_sampler = _samplers(store, settings, parts)
    n_pairs = sampler.n_pairs()
    if not n_pairs:
        raise UserError(f"store {store.path}: no utterance has two words to pair (min_count {settings.data.min_count})")
    model = seeded_model(store.n_mfcc, settings.model, settings.seed).to(device)
    optimiser = make_optimiser(model, settings.optimiser)
    progress = _open_run(run, store, settings, resume, model, optimiser, device)
    log.info(
        "training on %s words and %s pairs an epoch; %s words of %d held-out %s",
        *(f"{n:,}" for n in (len(parts.train), n_pairs, len(parts.held_out))),
        len(set((store.speaker if parts.by == "speakers" else store.utterance)[parts.held_out].tolist())),
        parts.by,
    )
    average = mean_frame(store, parts.train)
    metrics = _read_metrics(run, progress)
    writer = SummaryWriter(str(run), purge_step=progress.step)
    total_pairs = n_pairs * (settings.optimiser.epochs - progress.epoch)

    def measure(epoch: int) -> HeldOutLoss:
        held_out = held_out_loss(model, store, dev_sampler, average, device)
        values: dict[str, Any] = {"epoch": epoch, "step": progress.step}
        if progress.n_values:
            values |= {
                "train_loss": progress.squared_error / progress.n_values,
                "pairs_per_second": progress.n_pairs / max(progress.seconds, 1e-9),
                "gradient_norm": progress.gradient_norm / max(progress.step_in_epoch, 1),
                "learning_rate": optimiser.param_groups[0]["lr"],
                "seconds": progress.seconds,
            }
        values |= {f"dev_{name}": value for name, value in asdict(held_out).items()}
        if on_epoch_end:
            last = epoch == settings.optimiser.epochs
            values |= on_epoch_end(EpochEnd(epoch, model, store, parts, device, writer, last))
            model.train()
        append_json_line(run / METRICS_FILE, values)
        metrics.append(values)
        for name, value in values.items():
            if name not in ("epoch", "step"):
                writer.add_scalar(name, value, progress.step)
        writer.flush()
        log.info(
            "epoch %d: loss %s held out %.4f (z shuffled %.4f, mean frame %.4f)",
            epoch,
            f"{values['train_loss']:.4f}," if "train_loss" in values else "before training,",
            held_out.loss,
            held_out.shuffled,
            held_out.mean_frame,
        )
        return held_out

    if not metrics:
        measure(0)
    with Tracker("training", total_pairs, "pairs", quiet) as tracker:
        while progress.epoch < settings.optimiser.epochs:
            _train_epoch(model, optimiser, store, sampler, settings, progress, device, run, checkpoint_every, tracker)
            progress.epoch += 1
            held_out = measure(progress.epoch)
            progress.start_epoch()
            better = held_out.loss < progress.best_loss
            progress.best_loss = min(progress.best_loss, held_out.loss)
            checkpoints.save(checkpoint_file(run, LAST), model, optimiser, asdict(progress))
            if better:
                checkpoints.save(checkpoint_file(run, BEST), model, optimiser, asdict(progress))
    writer.close()
    return Trained(metrics)


def _samplers(store: Store, settings: TrainSettings, parts: Split) -> tuple[Sampler, Sampler]:
    data, size, seed = settings.data, settings.optimiser.batch_size, settings.seed
    return (
        Sampler.of(store, parts.train, data.window, size, seed, data.min_count, data.sample),
        Sampler.of(store, parts.held_out, data.window, size, seed),
    )


def _train_epoch(
    model: Speech2Vec,
    optimiser: torch.optim.Optimizer,
    store: Store,
    sampler: Sampler,
    settings: TrainSettings,
    progress: Progress,
    device: torch.device,
    run: Path,
    checkpoint_every: int,
    tracker: Tracker,
) -> None:
    """The steps of an epoch from `progress.step_in_epoch` on."""
    batches = sampler.epoch(progress.epoch)
    chosen = settings.optimiser
    for number in range(progress.step_in_epoch, len(batches)):
        started = time.perf_counter()
        batch = sampler.batch(batches[number])
        words = segments_of(store, batch.words, device)
        centre, context = (torch.from_numpy(side).to(device) for side in (batch.centre, batch.context))
        decoded = model(words, centre, context)
        error = decoded.squared_error()
        n_values = decoded.target.numel()
        optimiser.zero_grad(set_to_none=True)
        (error / (n_values if chosen.reduction == "mean" else decoded.n_sequences)).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), chosen.gradient_clip or math.inf)
        done = (progress.epoch + number / len(batches)) / chosen.epochs
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(chosen, done)
        value = float(error.detach())
        if not math.isfinite(value):
            _diverged(run, progress, value)
        optimiser.step()
        progress.squared_error += value
        progress.gradient_norm += float(norm)
        progress.n_values += n_values
        progress.n_pairs += len(batch.centre)
        progress.step_in_epoch += 1
        progress.step += 1
        progress.seconds += time.perf_counter() - started
        tracker.advance(len(batch.centre), note=f"loss {value / n_values:.4f}")
        if progress.step % checkpoint_every == 0:
            checkpoints.save(checkpoint_file(run, LAST), model, optimiser, asdict(progress))


def _diverged(run: Path, progress: Progress, value: float) -> None:
    kept = checkpoint_file(run, LAST)
    where = f"the last good checkpoint is {kept}" if kept.exists() else "no checkpoint was written yet"
    raise UserError(
        f"the loss became {value} at step {progress.step + 1} (epoch {progress.epoch + 1}): training has diverged; "
        f"{where}; a smaller optimiser.learning_rate helps"
    )


def _open_run(
    run: Path,
    store: Store,
    settings: TrainSettings,
    resume: bool,
    model: Speech2Vec,
    optimiser: torch.optim.Optimizer,
    device: torch.device,
) -> Progress:
    """Write a new run's settings, or read a run's progress to go on."""
    last = checkpoint_file(run, LAST)
    if not (resume and (run / CONFIG_FILE).exists()):
        run.mkdir(parents=True, exist_ok=True)
        with atomic_path(run / CONFIG_FILE) as temporary:
            temporary.write_text(to_toml(settings), encoding="utf-8")
        origin = {"path": str(store.path.absolute()), "fingerprint": store.fingerprint, "n_words": store.n_words}
        write_json(run / ORIGIN_FILE, {**origin, "synthetic": store.synthetic})
        write_json(run / ENVIRONMENT_FILE, {**environment(), "device": device_name(device)})
        return Progress()
    before = validate_settings(TrainSettings, read_toml(run / CONFIG_FILE))
    if fingerprint(before) != fingerprint(settings):
        raise UserError(f"{run} was begun with other settings ({run / CONFIG_FILE}): resume with those, or start anew")
    origin = json.loads((run / ORIGIN_FILE).read_text(encoding="utf-8"))
    if (origin["fingerprint"], origin["n_words"]) != (store.fingerprint, store.n_words):
        raise UserError(f"{run} was begun on another store ({origin['path']}) than {store.path}")
    if not last.exists():
        return Progress()
    loaded = checkpoints.load(last)
    checkpoints.restore_weights(model, loaded, last)
    checkpoints.restore_optimiser(optimiser, loaded)
    return Progress(**loaded.progress)


def _read_metrics(run: Path, progress: Progress) -> list[dict[str, Any]]:
    """The metrics up to the checkpoint; lines written after it (by a run that was killed) are dropped."""
    file = run / METRICS_FILE
    if not file.exists():
        return []
    kept = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
        except ValueError:  # half a line: the run was killed as it wrote
            break
        if values["epoch"] <= progress.epoch:
            kept.append(values)
    with atomic_path(file) as temporary:
        temporary.write_text("".join(json.dumps(values) + "\n" for values in kept), encoding="utf-8")
    return kept
