"""The Python interface: what a notebook calls, and the command line too (docs/python.md).

Paths may be given as strings. Results print as a table, show as one in a notebook and have `to_dict()`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from speech2vec.evaluation.evaluate import evaluate
from speech2vec.evaluation.homophones import homophones
from speech2vec.evaluation.monitor import Monitor
from speech2vec.evaluation.same_different import InstanceFilter, same_different
from speech2vec.features.extraction import extract as extract_features
from speech2vec.features.extraction import merge
from speech2vec.features.frontend import FeatureSettings, PretrainedSettings
from speech2vec.features.mfcc import MfccSettings
from speech2vec.features.parts import Extraction
from speech2vec.features.store import Store
from speech2vec.reporting.comparison import compare
from speech2vec.reporting.page import report
from speech2vec.runtime.config import load_settings, setting_values
from speech2vec.runtime.devices import choose_device
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import only_writer
from speech2vec.runtime.output import check_output
from speech2vec.runtime.processes import count_jobs
from speech2vec.runtime.progress import log
from speech2vec.training import fitting, trainer
from speech2vec.training import run as runs
from speech2vec.training.distributed import init_distributed, local_device, report_once
from speech2vec.training.methods import PUBLISHED
from speech2vec.training.presets import FEATURES, PRESETS, TrainSettings, other_features, preset_of, short_settings
from speech2vec.training.run import RUN_CONTENTS
from speech2vec.training.trainer import TrainOptions
from speech2vec.vectors.embeddings import Embeddings
from speech2vec.vectors.portable import embed as embed_recordings
from speech2vec.vectors.trained_run import Run

__all__ = [
    "InstanceFilter",
    "MfccSettings",
    "PretrainedSettings",
    "Run",
    "TrainSettings",
    "UserError",
    "compare",
    "embed",
    "evaluate",
    "extract",
    "homophones",
    "load",
    "merge",
    "report",
    "same_different",
    "train",
]

_FILLS_A_GPU = 16_384  # pairs per batch: enough sequences for every multiprocessor of a large card


def extract(
    aligned: str | Path,
    store: str | Path,
    *,
    preset: str = "default",
    encoder: str | Path | None = None,
    settings: MfccSettings | PretrainedSettings | Mapping[str, Any] | None = None,
    jobs: int = 0,
    shard: tuple[int, int] | None = None,
    resume: bool = False,
    force: bool = False,
    quiet: bool = False,
) -> Extraction:
    """Compute the MFCC of every aligned word into a store, or the frames of a pretrained encoder.

    Parameters
    ----------
    aligned : path
        What ``speech2vec-align`` or `align.run` wrote.
    store : path
        Folder to write.
    preset : str
        `default`, `paper` or `reality-check`.
    encoder : str, path or None
        A pretrained audio encoder whose frames replace the MFCC: a folder, or a name in the cache of Hugging Face.
    settings : MfccSettings or PretrainedSettings, or mapping of keys to values, or None
        Changes of the preset; an instance replaces it, and `encoder`.
    jobs : int
        Processes; 0 uses one for each core.
    shard : (K, N) or None
        Compute only part K of N.
    resume, force : bool
        Continue an extraction that was interrupted, or replace a store.
    quiet : bool
        Show no progress.

    Returns
    -------
    Extraction
        Counts, and every utterance that failed or lost words.

    Raises
    ------
    UserError
        If the input is not an alignment, the store exists, or no word can be used.

    Examples
    --------
    >>> print(s2v.extract("aligned", "store"))  # doctest: +SKIP
    """
    if isinstance(settings, MfccSettings | PretrainedSettings):
        _refuse_beside_instance(encoder=encoder)
        chosen: FeatureSettings = settings
    else:
        kind: Any = MfccSettings if encoder is None else PretrainedSettings
        given = {"encoder": None if encoder is None else str(encoder)}
        chosen = load_settings(kind, preset=preset_of(FEATURES, preset), given=given, changes=settings)
    return extract_features(
        Path(aligned),
        Path(store),
        chosen,
        jobs=count_jobs(jobs),
        shard=shard,
        quiet=quiet,
        force=force,
        resume=resume,
    )


def _refuse_beside_instance(**given: Any) -> None:
    """Refuse arguments that an instance of settings would silence."""
    if names := [name for name, value in given.items() if value is not None]:
        raise UserError(f"settings is an instance, which replaces all others: set {' and '.join(names)} in it")


def train(
    store: str | Path,
    run: str | Path,
    *,
    preset: str = "default",
    epochs: int | None = None,
    vector_size: int | None = None,
    seed: int | None = None,
    settings: TrainSettings | Mapping[str, Any] | None = None,
    device: str = "auto",
    evaluate_every: int = 5,
    checkpoint_every: int = 500,
    log_every: int = 50,
    resume: bool = False,
    force: bool = False,
    quiet: bool = False,
) -> Run:
    """Train on a store: Speech2Vec as published, or by another method (docs/methods.md).

    Held-out speakers give the loss and its controls after every epoch, and what other methods reach, beside theirs.
    Started by ``torchrun``, all processes call it and share the batches.

    Parameters
    ----------
    store : path
        What `extract` wrote.
    run : path
        Folder to write.
    preset : str
        `default`, `large-batch`, `paper` or `reality-check` of the published method, or the name of another method.
    epochs, vector_size, seed : int or None
        Short for the settings ``optimiser.epochs``, ``model.vector_size`` and ``seed``; of another method, for its own
        of these names.
    settings : TrainSettings, or mapping of dotted keys to values, or None
        Changes of the preset, such as ``{"model.cell": "gru"}``; an instance replaces it, and goes with none of the
        short ones.
    device : {"auto", "cpu", "cuda"}
    evaluate_every : int
        Epochs between evaluations of the vectors; 0 disables them.
    checkpoint_every, log_every : int
        Steps between checkpoints, and between points in TensorBoard.
    resume, force : bool
        Continue an interrupted run with the same settings; replace a run.
    quiet : bool
        Show no progress.

    Returns
    -------
    Run

    Raises
    ------
    UserError
        If there is nothing to train on, the run exists, or training fails; the last checkpoint is kept.

    Examples
    --------
    >>> run = s2v.train("store", "run", epochs=20, settings={"model.cell": "gru"})  # doctest: +SKIP
    >>> run.metrics[-1]["dev_loss"]  # doctest: +SKIP
    """
    store, run = Path(store), Path(run)
    with report_once(), contextlib.ExitStack() as until_done:
        if isinstance(settings, TrainSettings):
            _refuse_beside_instance(epochs=epochs, vector_size=vector_size, seed=seed)
        else:
            chosen_preset = preset_of(PRESETS, preset)
            chosen_values = setting_values(preset=chosen_preset, changes=settings)
            short = short_settings(chosen_values, epochs, vector_size, seed)
            settings = load_settings(TrainSettings, preset=chosen_preset, given=short, changes=settings)
        if evaluate_every < 0:
            raise UserError(f"evaluate_every counts epochs, 0 is never: it is not {evaluate_every}")
        options = TrainOptions(
            resume=resume, force=force, checkpoint_every=checkpoint_every, log_every=log_every, quiet=quiet
        )
        opened = Store.open(store)
        chosen = local_device(choose_device(device))
        with init_distributed(chosen) as world:
            monitor = None
            if world.first:
                until_done.enter_context(only_writer(run))
                check_output(run, force=force, resume=resume, inputs=[store], folder=RUN_CONTENTS)
                _advise(preset, settings, opened, chosen.type, world.size)
                monitor = Monitor(evaluate_every) if evaluate_every else None
            if settings.method != PUBLISHED:
                fitting.check_processes(settings.method, world.size)
                measure = monitor.measure if monitor else None
                trained = fitting.fit(opened, run, settings, chosen, measure, resume=resume, force=force, quiet=quiet)
                return Run.of(trained)
            options = replace(options, quiet=quiet or not world.first)
            trained = trainer.train(opened, run, settings, chosen, options, monitor, world)
    return Run.of(trained)


def _advise(preset: str, settings: TrainSettings, store: Store, device: str, n_processes: int) -> None:
    """Log what the user may not have meant."""
    if others := other_features(preset, store.settings):
        log.warning(
            "preset %s expects features with %s: 'speech2vec features ALIGNED -o STORE --preset %s' computes them",
            *(preset, ", ".join(others), preset),
        )
    if device == "cuda" and preset == "default" and settings.optimiser.batch_size < _FILLS_A_GPU * n_processes:
        log.info(
            "batches of %s pairs do not fill a GPU; --preset large-batch is for large corpora on a GPU",
            f"{settings.optimiser.batch_size:,}",
        )


def load(
    run: str | Path,
    store: str | Path | None = None,
    *,
    checkpoint: str = "last",
    device: str = "auto",
    trained: bool = True,
) -> Run:
    """Open a run.

    Parameters
    ----------
    run : path
        What `train` or ``speech2vec train`` wrote.
    store : path or None
        Used instead of the store that the run records (which may have moved).
    checkpoint : {"last", "best"}
        `best` is that of the epoch with the lowest held-out loss, of the published method alone.
    device : {"auto", "cpu", "cuda"}
    trained : bool
        False gives the control: the same network at its initial weights, or what the method says.

    Raises
    ------
    UserError
        If the folder is not a run, it has no such checkpoint, or its store is not found.

    Examples
    --------
    >>> vectors = s2v.load("run").word_vectors()  # doctest: +SKIP
    """
    where = None if store is None else Path(store)
    return Run.load(Path(run), where, device=device, trained=trained, checkpoint=checkpoint)


def embed(
    run: runs.Run | str | Path,
    source: str | Path,
    *,
    text: str | None = None,
    aligner: str = "pocketsphinx",
    keep_aligned: str | Path | None = None,
    jobs: int = 0,
    quiet: bool = False,
) -> Embeddings:
    """A vector for every spoken word of new recordings; words without times are aligned first.

    Parameters
    ----------
    run : Run or path
    source : path
        An audio file, a folder of recordings with transcripts, or a folder that ``speech2vec-align`` wrote.
    text : str or None
        Transcript of one audio file [the .txt or .lab file beside it].
    aligner : str
        As ``speech2vec-align run --aligner``.
    keep_aligned : path or None
        Where the alignment is kept.
    jobs : int
        Processes; 0 uses one for each core.
    quiet : bool
        Show no progress.

    Returns
    -------
    Embeddings
        Words, times and vectors; `Embeddings.save` writes Parquet or NumPy files.

    Raises
    ------
    UserError
        If there is nothing to encode.

    Examples
    --------
    >>> s2v.embed("run", "new.wav", text="and now the weather").save("new.parquet")  # doctest: +SKIP
    """
    return embed_recordings(
        run if isinstance(run, runs.Run) else load(run),
        Path(source),
        text=text,
        aligner=aligner,
        keep_aligned=None if keep_aligned is None else Path(keep_aligned),
        jobs=count_jobs(jobs),
        quiet=quiet,
    )
