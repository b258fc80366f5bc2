"""The folder of a run: what its files are called, what is written when it begins and read when it is resumed.

A run that is opened to be used: its model at a checkpoint, beside the store that it was trained on.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from speech2vec.features.store import Store
from speech2vec.model.speech2vec import Speech2Vec, seeded_model
from speech2vec.runtime.config import differences, fingerprint, read_toml, to_toml, validate_settings
from speech2vec.runtime.devices import choose_device
from speech2vec.runtime.environment import environment
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path, read_json, write_json
from speech2vec.runtime.output import claim_output
from speech2vec.training import checkpoint as checkpoints
from speech2vec.training.checkpoint import Checkpoint
from speech2vec.training.presets import TrainSettings

log = logging.getLogger("speech2vec")


CONFIG_FILE = "config.toml"


ORIGIN_FILE = "store.json"


METRICS_FILE = "metrics.jsonl"


ENVIRONMENT_FILE = "environment.json"


LAST, BEST = "last", "best"  # checkpoints: after the last step; of the epoch with the lowest held-out loss


RUN_MARKS = (CONFIG_FILE, ORIGIN_FILE)  # what tells a run, whole or not, from other folders


def checkpoint_file(run: Path, name: str = LAST) -> Path:
    """Where a run keeps its checkpoint `LAST` or `BEST`."""
    return Path(run) / "checkpoints" / f"{name}.safetensors"


def begin(
    run: Path, store: Store, settings: TrainSettings, device: str, n_processes: int = 1, force: bool = False
) -> None:
    """Write what a new run is made of: settings, store, machine; with `force`, in place of a run that is there."""
    if force:
        claim_output(run, force=force, inputs=[store.path], folder_with=RUN_MARKS)
    run.mkdir(parents=True, exist_ok=True)
    origin = {"path": str(store.path.absolute()), "fingerprint": store.fingerprint, "n_words": store.n_words}
    write_json(run / ORIGIN_FILE, {**origin, "synthetic": store.synthetic})
    write_json(run / ENVIRONMENT_FILE, {**environment(), "device": device, "processes": n_processes})
    with atomic_path(run / CONFIG_FILE) as temporary:  # last: what holds it is a run
        temporary.write_text(to_toml(settings), encoding="utf-8")


def resume(run: Path, store: Store, settings: TrainSettings) -> Checkpoint | None:
    """The checkpoint that a run goes on from; None if it was killed before the first.

    Raises
    ------
    UserError
        If it was begun with other settings or on another store, or its checkpoint cannot be read.
    """
    before = validate_settings(TrainSettings, read_toml(run / CONFIG_FILE))
    if fingerprint(before) != fingerprint(settings):
        raise UserError(
            f"{run} was begun with other settings ({', '.join(differences(before, settings))}): resume with those, or "
            "start anew"
        )
    origin = read_json(run / ORIGIN_FILE)
    if (origin.get("fingerprint"), origin.get("n_words")) != (store.fingerprint, store.n_words):
        raise UserError(f"{run} was begun on another store ({origin.get('path')}) than {store.path}")
    last = checkpoint_file(run, LAST)
    for half in last.parent.glob(".*.tmp"):  # of a run that was killed as it wrote
        half.unlink()
    return checkpoints.load(last) if last.exists() else None


def is_begun(run: Path) -> bool:
    """Whether there is a run to go on with."""
    return (run / CONFIG_FILE).exists()


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl, one for each epoch; an incomplete last line is skipped (a run that
    is still writing).

    Raises
    ------
    UserError
        Another line cannot be read.
    """
    rows, unreadable, n_lines = _metrics(run)
    if unreadable and unreadable[0] < n_lines:
        raise UserError(
            f"{run / METRICS_FILE}, line {unreadable[0]}: no JSON object with an epoch; take the line out, or "
            "'speech2vec train --resume' does"
        )
    return rows


def truncate_metrics(run: Path, epoch: int) -> list[dict[str, Any]]:
    """Take out of a run's metrics.jsonl what a run that goes on after `epoch` epochs will write again.

    Those are the epochs after its checkpoint, written by a run that was killed before the next. Lines that cannot be
    read are taken out too, with a warning.

    Returns
    -------
    list of dict
        What is left.
    """
    rows, unreadable, n_lines = _metrics(run)
    kept = [values for values in rows if values["epoch"] <= epoch]
    if unreadable:
        log.warning(
            "%s: %d lines cannot be read and are taken out (first: line %d)",
            *(run / METRICS_FILE, len(unreadable), unreadable[0]),
        )
    if len(kept) < n_lines:
        with atomic_path(run / METRICS_FILE) as temporary:
            temporary.write_text("".join(json.dumps(values) + "\n" for values in kept), encoding="utf-8")
    return kept


def _metrics(run: Path) -> tuple[list[dict[str, Any]], list[int], int]:
    """The readable lines of metrics.jsonl, the numbers of the others, and how many there are."""
    file = run / METRICS_FILE
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else []
    rows, unreadable = [], []
    for number, line in enumerate(lines, start=1):
        try:
            values = json.loads(line)
        except ValueError:
            values = None
        if isinstance(values, dict) and isinstance(values.get("epoch"), int):
            rows.append(values)
        else:
            unreadable.append(number)
    return rows, unreadable, len(lines)


def device_name(device: torch.device) -> str:
    """The device as its maker calls it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"


@dataclass(frozen=True)
class Run:
    """A run's model beside the store that it was trained on."""

    path: Path
    model: Speech2Vec
    settings: TrainSettings
    store: Store
    progress: dict[str, object]

    @classmethod
    def load(
        cls,
        run: Path,
        store: Path | None = None,
        *,
        device: str = "cpu",
        trained: bool = True,
        checkpoint: str = LAST,
    ) -> Run:
        """Load a run's model and open its store.

        Parameters
        ----------
        run : Path
        store : Path or None
            In place of the store that the run records.
        device : str
        trained : bool
            False gives the same network at its seeded initial weights: the control.
        checkpoint : str
            `last` (after the last step; the default of every command) or `best` (of the epoch with the lowest
            held-out loss).

        Raises
        ------
        UserError
            If the folder is no run, or its store was made with other settings.
        """
        run = Path(run)
        if not (run / CONFIG_FILE).exists():
            raise UserError(f"{run} is no run (it holds no {CONFIG_FILE}); 'speech2vec train STORE -o RUN' makes one")
        settings = validate_settings(TrainSettings, read_toml(run / CONFIG_FILE))
        origin = read_json(run / ORIGIN_FILE)
        opened = Store.open(Path(store) if store is not None else Path(origin["path"]))
        if opened.fingerprint != origin["fingerprint"]:
            raise UserError(
                f"the run {run} was trained on a store with other settings ({origin['fingerprint']}, "
                f"{opened.path} has {opened.fingerprint}): its vectors would mean nothing"
            )
        model = seeded_model(opened.n_mfcc, settings.model, settings.seed)
        progress: dict[str, object] = {}
        if trained:
            file = checkpoint_file(run, checkpoint)
            loaded = checkpoints.load(file)
            checkpoints.restore_weights(model, loaded, file)
            progress = loaded.progress
        return cls(run, model.to(choose_device(device)).eval(), settings, opened, progress)
