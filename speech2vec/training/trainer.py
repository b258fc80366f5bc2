"""The training loop: seeded, and bit-exact when it is resumed.

Everything random is drawn from (seed, purpose, epoch), so the state of a run is its weights, its optimiser and a
`TrainState`: a run that was killed and resumed ends with the same weights as one that was not.
"""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from speech2vec.features.store import Store
from speech2vec.model.recurrence.engines import check_engine
from speech2vec.model.speech2vec import seeded_model
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import Tracker, log
from speech2vec.training.batches import DeviceStore
from speech2vec.training.checkpoint import TrainState, save_checkpoint
from speech2vec.training.distributed import SINGLE_PROCESS, World
from speech2vec.training.failures import checkpoint_left, explain_failures
from speech2vec.training.held_out import held_out_loss, held_out_sampler, mean_frame
from speech2vec.training.metrics import DivergedError, EpochCallback, EpochState, MetricsLogger
from speech2vec.training.presets import TrainSettings
from speech2vec.training.run import BEST, LAST, Run, checkpoint_file, create_run, device_name, is_run, resume_run
from speech2vec.training.sampler import Sampler, Split, split
from speech2vec.training.step import BatchLoss, learning_rate, make_optimiser, train_step, wrap_ddp


@dataclass(frozen=True)
class TrainOptions:
    """How a run is carried out; nothing here changes the trained model.

    Parameters
    ----------
    resume : bool
        Continue from the run's last checkpoint, with the same settings and store. Starts a run if there is none.
    force : bool
        Remove an existing run, once the store is known to have something to train on.
    checkpoint_every : int
        Steps between checkpoints within an epoch; one is also written at the end of each epoch.
    checkpoint_seconds : float
        A checkpoint is also written after this time, so that on a slow machine too a kill costs only minutes.
    log_every : int
        Steps between points in TensorBoard. Whether the loss is finite is checked as often, and before each checkpoint.
    quiet : bool
        Show no progress.
    """

    resume: bool = False
    force: bool = False
    checkpoint_every: int = 500
    checkpoint_seconds: float = 600.0
    log_every: int = 50
    quiet: bool = False

    def __post_init__(self) -> None:
        for name in ("checkpoint_every", "log_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} counts steps: it is 1 or more, not {getattr(self, name)}")


def train(
    store: Store,
    run: Path,
    settings: TrainSettings,
    device: torch.device,
    options: TrainOptions = TrainOptions(),
    on_epoch_end: EpochCallback | None = None,
    world: World = SINGLE_PROCESS,
) -> Run:
    """Train a Speech2Vec model on a store, and write a run folder.

    Parameters
    ----------
    store : Store
    run : Path
        Folder to write.
    settings : TrainSettings
    device : torch.device
    options : TrainOptions
    on_epoch_end : callable or None
        Called before training and after every epoch, in the first process; the values that it returns are logged.
    world : World
        The processes that share the batches; all of them call this function.

    Returns
    -------
    Run
        The trained model; `Run.metrics` are the values of each epoch.

    Raises
    ------
    UserError
        If the engine that the settings ask for does not run on the device, there is nothing to train on, a resumed run
        has other settings or another store, the loss is not finite, or memory or disk is full. The last checkpoint is
        kept.
    """
    check_engine(settings.model.engine, device)
    parts = split(store, settings.data.held_out, settings.seed)
    sampler = _training_sampler(store, parts.train, settings)
    n_pairs, n_epochs = sampler.n_pairs(), settings.optimiser.epochs
    if not n_pairs:
        raise UserError(
            f"store {store.path}: no utterance has two words to pair (data.min_count is {settings.data.min_count})"
        )
    with explain_failures(store, run, settings, device, world), contextlib.ExitStack() as until_done:
        # Create or resume the run: the first process reads and writes its folder, and sends the others the checkpoint.
        # What a run cannot go on from is refused before the model's memory is claimed, and nothing is replaced before.
        resumes = options.resume and is_run(run)
        checkpoint = resume_run(run, store, settings) if world.first and resumes else None
        dev_sampler = held_out_sampler(store, parts.held_out, settings.data.window, settings.seed)
        model = seeded_model(store.n_mfcc, settings.model, settings.seed).to(device)
        optimiser = make_optimiser(model, settings.optimiser)
        if world.first and not resumes:
            create_run(run, store, settings, device_name(device), world.size, options.force)
        checkpoint = world.broadcast(checkpoint)
        state = checkpoint.restore(model, optimiser) if checkpoint else TrainState()

        _log_data(store, parts, sampler, n_pairs)
        frames = DeviceStore(store, device)
        loss = wrap_ddp(BatchLoss(model, settings.optimiser, int(store.n_frames.max())), world)
        mean = mean_frame(store, parts.train)
        metrics = until_done.enter_context(MetricsLogger(run if world.first else None, state))

        def save(name: str) -> None:
            if world.first:
                save_checkpoint(checkpoint_file(run, name), model, optimiser, state)

        def evaluate() -> float:
            """Measure and log the held-out loss after `state.epoch` epochs, and what the callback returns."""
            if metrics.writer is None:  # not the first process
                return math.inf
            held_out = held_out_loss(model, frames, dev_sampler, mean)
            if not math.isfinite(held_out.loss):
                raise DivergedError("the held-out loss", held_out.loss, state.step)
            values = {f"dev_{name}": value for name, value in asdict(held_out).items()}
            if on_epoch_end:
                last = state.epoch == n_epochs
                values |= on_epoch_end(
                    EpochState(state.epoch, state.step, model, settings, store, parts, metrics.writer, last)
                )
                model.train()
            metrics.log_epoch(values, optimiser.param_groups[0]["lr"])
            return held_out.loss

        if not metrics.n_epochs:
            evaluate()
        saved = time.monotonic()
        with Tracker("training", n_pairs * (n_epochs - state.epoch), "pairs", options.quiet) as tracker:
            metrics.start(tracker)
            for batches in sampler.epochs(state.epoch, n_epochs):
                if not batches:
                    raise UserError(
                        f"no pairs are left to train on in epoch {state.epoch + 1}: increase data.sample (now "
                        f"{settings.data.sample:g}) to keep more words; {checkpoint_left(run)}"
                    )
                for number in range(state.step_in_epoch, len(batches)):
                    rate = learning_rate(settings.optimiser, (state.epoch + number / len(batches)) / n_epochs)
                    for group in optimiser.param_groups:
                        group["lr"] = rate
                    share = batches[number][world.share(batches[number].group)]
                    batch = frames.batch(sampler.batch(share))
                    # Forward, backward, gradient clipping, optimiser step.
                    metrics.add_step(train_step(loss, optimiser, batch, settings.optimiser, world))
                    late = time.monotonic() - saved > options.checkpoint_seconds
                    due = late or state.step % options.checkpoint_every == 0
                    if due or len(metrics.pending) >= options.log_every:
                        metrics.log_steps(rate)
                    if due:
                        save(LAST)
                        saved = time.monotonic()
                        metrics.restart_timer()
                metrics.log_steps(optimiser.param_groups[0]["lr"])

                state.epoch += 1
                held_out = evaluate()
                state.reset_sums()
                if held_out < state.best_loss:
                    state.best_loss = held_out
                    save(BEST)  # before the last: a run that is killed between them repeats the end of this epoch
                save(LAST)
                metrics.restart_timer()
        return Run(run, model.eval(), settings, store, asdict(state))


def _training_sampler(store: Store, rows: np.ndarray, settings: TrainSettings) -> Sampler:
    data = settings.data
    return Sampler.from_store(
        store,
        rows,
        window=data.window,
        batch_size=settings.optimiser.batch_size,
        seed=settings.seed,
        min_count=data.min_count,
        sample=data.sample,
        subsample=data.subsample,
        across_utterances=data.across_utterances,
    )


def _log_data(store: Store, parts: Split, sampler: Sampler, n_pairs: int) -> None:
    log.info(
        "training on %s words and %s%s pairs per epoch; %s words of %d held-out %s",
        *(f"{len(parts.train):,}", "at most " * bool(((sampler.keep > 0) & (sampler.keep < 1)).any()), f"{n_pairs:,}"),
        *(f"{len(parts.held_out):,}", parts.n_held_out, parts.by),
    )
    if len(np.unique(store.word_id[parts.train])) == 1:
        word = store.types[store.word_id[parts.train[0]]]
        log.warning("all words to train on are '%s': their vectors will distinguish nothing", word)
    if n_singletons := sampler.n_singletons():
        log.info("%s words are the only one of their utterance and are not trained on", f"{n_singletons:,}")
