"""The training loop: plain, seeded, and exact when it resumes.

Everything random is drawn from (seed, purpose, epoch), so the state of a run is its weights, its optimiser and how far
it has come: a run that was killed and resumed ends with the weights of one that was not.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from speech2vec.features.store import Store
from speech2vec.model.recurrence.engines import check_engine
from speech2vec.model.speech2vec import Speech2Vec, seeded_model
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import Tracker, log
from speech2vec.training import checkpoint as checkpoints
from speech2vec.training import run as run_folder
from speech2vec.training.batches import DeviceStore
from speech2vec.training.distributed import SINGLE_PROCESS, World
from speech2vec.training.held_out import rows_to_measure
from speech2vec.training.metrics import DivergedError, EpochCallback, EpochLogger, StepLogger, TrainState
from speech2vec.training.presets import TrainSettings
from speech2vec.training.run import BEST, LAST, checkpoint_file
from speech2vec.training.sampler import BatchIndices, Sampler, Split, split
from speech2vec.training.step import BatchLoss, learning_rate, make_optimiser, train_step, wrap_ddp

_HELD_OUT_BATCH = 512


# However many steps that takes: a kill then costs minutes, with large batches on a slow machine too.
_SECONDS_TO_CHECKPOINT = 600.0


@dataclass(frozen=True)
class Trained:
    """The end of a training: the metrics of each epoch (empty in all processes but the first)."""

    metrics: list[dict[str, Any]] = field(default_factory=list)


def train(
    store: Store,
    run: Path,
    settings: TrainSettings,
    device: torch.device,
    *,
    resume: bool = False,
    on_epoch_end: EpochCallback | None = None,
    checkpoint_every: int = 500,
    quiet: bool = False,
    log_every: int = 50,
    ranks: World = SINGLE_PROCESS,
    force: bool = False,
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
        Steps between checkpoints within an epoch; there is one at each epoch's end too, and at least every ten minutes.
    quiet : bool
    log_every : int
        Steps between points of the loss in TensorBoard. Until then the device is not asked whether the loss is still a
        number; it always is asked before a checkpoint.
    ranks : Ranks
        The processes that share the batches out; all call this function.
    force : bool
        Replace a run that is there, once it is known that there is something to train on.

    Raises
    ------
    UserError
        If the loss is no longer a number or a GPU's memory is full (the last checkpoint is kept), if nothing can be
        trained on, if a resumed run was made with other settings, or
        if the engine asked for does not run.
    """
    check_engine(settings.model.engine, device)
    parts = split(store, settings.data.held_out, settings.seed)
    sampler, dev_sampler = _samplers(store, settings, parts)
    n_pairs = sampler.n_pairs()
    if not n_pairs:
        raise UserError(f"store {store.path}: no utterance has two words to pair (min_count {settings.data.min_count})")
    with _explained(run, store, settings, device, ranks):
        model = seeded_model(store.n_mfcc, settings.model, settings.seed).to(device)
        optimiser = make_optimiser(model, settings.optimiser)
        progress = _open_run(run, store, settings, resume, force, model, optimiser, device, ranks)
        log.info(
            "training on %s words and %s%s pairs an epoch; %s words of %d held-out %s",
            *(f"{len(parts.train):,}", "at most " * bool(settings.data.sample), f"{n_pairs:,}"),
            f"{len(parts.held_out):,}",
            len(set((store.speaker if parts.by == "speakers" else store.utterance)[parts.held_out].tolist())),
            parts.by,
        )
        if len(np.unique(store.word_id[parts.train])) == 1:
            log.warning(
                "all words are the same one, '%s': these vectors will tell nothing apart",
                store.types[store.word_id[parts.train[0]]],
            )
        if alone := sampler.n_singletons():
            log.info("%s words are alone in their utterance and take no part", f"{alone:,}")
        frames = DeviceStore(store, device)
        book = EpochLogger(run, progress, frames, dev_sampler, parts, settings, on_epoch_end) if ranks.first else None
        error = wrap_ddp(BatchLoss(model, settings.optimiser, int(store.n_frames.max())), ranks)
        if book and not book.metrics:
            book.measure(progress.epoch, model, optimiser)
        with Tracker("training", n_pairs * (settings.optimiser.epochs - progress.epoch), "pairs", quiet) as tracker:
            steps = StepLogger(progress, tracker, book.writer if book else None)
            _Loop(
                run=run,
                settings=settings,
                sampler=sampler,
                frames=frames,
                model=model,
                error=error,
                optimiser=optimiser,
                progress=progress,
                steps=steps,
                book=book,
                ranks=ranks,
                checkpoint_every=checkpoint_every,
                log_every=log_every,
            ).go_on()
        if book:
            book.writer.close()
        return Trained(book.metrics if book else [])


@dataclass
class _Loop:
    """A training under way: what its steps need, how far it has come, and where that is written."""

    run: Path
    settings: TrainSettings
    sampler: Sampler
    frames: DeviceStore
    model: Speech2Vec
    error: nn.Module
    optimiser: torch.optim.Optimizer
    progress: TrainState
    steps: StepLogger
    book: EpochLogger | None
    ranks: World
    checkpoint_every: int
    log_every: int
    saved: float = field(default_factory=time.monotonic)

    def go_on(self) -> None:
        """Train from wherever it has come to the last epoch's end."""
        progress = self.progress
        for batches in self.sampler.epochs(progress.epoch, self.settings.optimiser.epochs):
            if not batches:
                raise UserError(
                    f"no pair is left to train on in epoch {progress.epoch + 1}: a larger data.sample than "
                    f"{self.settings.data.sample:g} leaves more words in the text; {_kept(self.run)}"
                )
            self._steps_of_epoch(batches)
            self._end_epoch()

    def _steps_of_epoch(self, batches: list[BatchIndices]) -> None:
        for number in range(self.progress.step_in_epoch, len(batches)):
            self._step(batches[number], self.progress.epoch + number / len(batches))
            late = time.monotonic() - self.saved > _SECONDS_TO_CHECKPOINT
            due = late or self.progress.step % self.checkpoint_every == 0
            if due or len(self.steps.pending) >= self.log_every:
                self.steps.read(self._rate)
            if due:
                self._save(LAST)
                self.saved = time.monotonic()
                self.steps.reset_timer()
        if self.steps.pending:
            self.steps.read(self._rate)

    def _step(self, batch: BatchIndices, epochs_done: float) -> None:
        settings = self.settings.optimiser
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(settings, epochs_done / settings.epochs)
        share = self.frames.batch(self.sampler.batch(batch[self.ranks.share(batch.group)]))
        self.steps.add(train_step(self.error, self.optimiser, share, settings, self.ranks))

    def _end_epoch(self) -> None:
        progress = self.progress
        progress.epoch += 1
        held_out = self.book.measure(progress.epoch, self.model, self.optimiser) if self.book else None
        progress.start_epoch()
        if held_out and held_out.loss < progress.best_loss:
            progress.best_loss = held_out.loss
            self._save(BEST)  # before the last: a run that is killed between them does this epoch's end again
        self._save(LAST)
        self.steps.reset_timer()

    def _save(self, name: str) -> None:
        if self.ranks.first:
            checkpoints.save(checkpoint_file(self.run, name), self.model, self.optimiser, asdict(self.progress))

    @property
    def _rate(self) -> float:
        return float(self.optimiser.param_groups[0]["lr"])


def _samplers(store: Store, settings: TrainSettings, parts: Split) -> tuple[Sampler, Sampler]:
    """Of the pairs to train on, and of those to measure on: the same whatever the batches, so that runs compare."""
    data, seed = settings.data, settings.seed
    training = Sampler.from_store(
        store,
        parts.train,
        window=data.window,
        batch_size=settings.optimiser.batch_size,
        seed=seed,
        min_count=data.min_count,
        sample=data.sample,
        subsample=data.subsample,
        across_utterances=data.across_utterances,
    )
    measured = rows_to_measure(store, parts.held_out, data.window, seed)
    return training, Sampler.from_store(store, measured, window=data.window, batch_size=_HELD_OUT_BATCH, seed=seed)


def _open_run(
    run: Path,
    store: Store,
    settings: TrainSettings,
    resume: bool,
    force: bool,
    model: Speech2Vec,
    optimiser: torch.optim.Optimizer,
    device: torch.device,
    ranks: World,
) -> TrainState:
    """Begin a run or go on with one; the first process reads and writes its folder, and tells the others."""
    checkpoint = None
    if ranks.first:
        if resume and run_folder.is_begun(run):
            checkpoint = run_folder.resume(run, store, settings)
        else:
            run_folder.begin(run, store, settings, run_folder.device_name(device), ranks.size, force)
    checkpoint = ranks.broadcast(checkpoint)
    if checkpoint is None:
        return TrainState()
    last = checkpoint_file(run, LAST)
    checkpoints.restore_weights(model, checkpoint, last)
    checkpoints.restore_optimiser(optimiser, checkpoint, last)
    try:
        return TrainState(**checkpoint.progress)
    except TypeError as error:
        raise UserError(f"{last} does not say how far it has come: it is no checkpoint of a training") from error


@contextlib.contextmanager
def _explained(run: Path, store: Store, settings: TrainSettings, device: torch.device, ranks: World) -> Iterator[None]:
    """What ends a training from outside, as a line that says what was and what is left."""
    try:
        yield
    except DivergedError as diverged:
        raise UserError(_why(diverged, store, run, ranks)) from diverged
    except RuntimeError as full:  # of torch's allocator, or of a card that is full before it comes to that
        if "out of memory" not in str(full):
            raise
        raise UserError(
            f"the memory of {run_folder.device_name(device)} is full: a new run with a smaller optimiser.batch_size "
            f"than {settings.optimiser.batch_size} helps, if no other program has it; {_kept(run)}"
        ) from full
    except OSError as failed:
        raise UserError(f"{run} cannot be written to ({failed.strerror or failed}); {_kept(run)}") from failed


def _why(diverged: DivergedError, store: Store, run: Path, ranks: World) -> str:
    """What to say of a loss that is no longer a number: is it the store, or the learning rate?"""
    row = store.find_non_finite() if ranks.first else None
    if row is not None:
        return (
            f"{diverged}: the store {store.path} holds NaN or infinite frames, first in the word "
            f"'{store.types[store.word_id[row]]}' (row {row}): make it anew; {_kept(run)}"
        )
    return f"{diverged}: training has diverged; {_kept(run)}; a smaller optimiser.learning_rate helps"


def _kept(run: Path) -> str:
    last = checkpoint_file(run, LAST)
    return f"the last good checkpoint is {last}" if last.exists() else "no checkpoint was written yet"
