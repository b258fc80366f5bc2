"""A run of another method than the published one: fitted, measured beside its control, and kept.

Such a method is not resumed in the middle: a run that was killed has no checkpoint, which is written last, and starts
again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from speech2vec.features.store import Store
from speech2vec.model.encoding import StoreVectors
from speech2vec.model.kinds import save_encoder
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import append_json_line, remove_partial
from speech2vec.runtime.progress import log
from speech2vec.training.distributed import SINGLE_PROCESS
from speech2vec.training.failures import explain_failures
from speech2vec.training.methods import METHODS
from speech2vec.training.metrics import DivergedError
from speech2vec.training.presets import TrainSettings, VectorSettings
from speech2vec.training.run import (
    LAST,
    METRICS_FILE,
    Run,
    check_resumed,
    checkpoint_file,
    create_run,
    device_name,
    is_run,
    load_fitted,
    truncate_metrics,
)
from speech2vec.training.sampler import split

Measure = Callable[[StoreVectors, np.ndarray, VectorSettings], dict[str, float]]


def fit(
    store: Store,
    run: Path,
    settings: TrainSettings,
    device: torch.device,
    measure: Measure | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    quiet: bool = False,
) -> Run:
    """Fit the encoder of ``settings.method`` to the training speakers of a store, and write a run folder.

    Parameters
    ----------
    store : Store
    run : Path
        Folder to write.
    settings : TrainSettings
    device : torch.device
    measure : callable or None
        Called with the control and with the fitted encoder, and the held-out rows; what it returns are the metrics of
        epoch 0 and 1.
    resume, force, quiet : bool
        See `speech2vec.training.trainer.TrainOptions`. A run that is complete is not fitted again.

    Raises
    ------
    UserError
        If there is nothing to fit to, a resumed run has other settings or another store, or the disk is full.
    """
    method = METHODS[settings.method]
    parts = split(store, settings.data.held_out, settings.seed)
    labels = method.labels(store, parts.train, settings.of_method)
    file = checkpoint_file(run, LAST)
    with explain_failures(store, run, settings, device, SINGLE_PROCESS):
        resumes = resume and is_run(run)
        if resumes:
            check_resumed(run, store, settings)
            if file.exists():
                encoder, progress = load_fitted(file, store)
                return Run(run, encoder, settings, store, progress, labels)
        log.info(
            "fitting %s to %s words (labels used: %s); %s words of %d held-out %s",
            *(settings.method, f"{len(parts.train):,}", labels, f"{len(parts.held_out):,}"),
            *(parts.n_held_out, parts.by),
        )
        if len(np.unique(store.word_id[parts.train])) == 1:
            word = store.types[store.word_id[parts.train[0]]]
            log.warning("all words to train on are '%s': their vectors will distinguish nothing", word)
        started = time.perf_counter()
        encoder = method.fit(store, parts.train, settings.of_method, seed=settings.seed, device=device, quiet=quiet)
        progress = {"epoch": 1, "seconds": round(time.perf_counter() - started, 3)}
        fitted = Run(run, encoder, settings, store, progress, labels)
        if not np.isfinite(fitted.vectors(parts.held_out)).all():
            raise DivergedError("the vector of a held-out word", float("nan"), 0)
        if resumes:
            remove_partial(run)
            truncate_metrics(run, -1)  # of what was fitted, and not kept
        else:  # only now: settings that cannot be fitted cost no run that lies there
            create_run(run, store, settings, device_name(device), force=force, labels=labels)
        for values, model in (({"epoch": 0}, StoreVectors(fitted.untrained(), store)), (progress, fitted.vectors)):
            measured = measure(model, parts.held_out, settings.vectors) if measure else {}
            append_json_line(run / METRICS_FILE, {**values, **measured})
        save_encoder(file, encoder, progress=json.dumps(progress))
        return fitted


def check_processes(method: str, n_processes: int) -> None:
    """Refuse several processes, which only the published method shares its batches among.

    Raises
    ------
    UserError
    """
    if n_processes > 1:
        raise UserError(f"the method {method} trains in one process: start it without torchrun")
