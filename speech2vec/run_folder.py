"""The folder of a run: what is written when it begins, and what is read when it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from speech2vec import checkpoint as checkpoints
from speech2vec.checkpoint import Checkpoint
from speech2vec.config import fingerprint, read_toml, to_toml, validate_settings
from speech2vec.encoding import CONFIG_FILE, LAST, ORIGIN_FILE, checkpoint_file
from speech2vec.errors import UserError
from speech2vec.presets import TrainSettings
from speech2vec.runs import atomic_path, environment, read_json, write_json
from speech2vec.store import Store

METRICS_FILE = "metrics.jsonl"
ENVIRONMENT_FILE = "environment.json"


def begin(run: Path, store: Store, settings: TrainSettings, device: str, n_processes: int = 1) -> None:
    """Write what a new run is made of: settings, store, machine."""
    run.mkdir(parents=True, exist_ok=True)
    origin = {"path": str(store.path.absolute()), "fingerprint": store.fingerprint, "n_words": store.n_words}
    write_json(run / ORIGIN_FILE, {**origin, "synthetic": store.synthetic})
    write_json(run / ENVIRONMENT_FILE, {**environment(), "device": device, "processes": n_processes})
    with atomic_path(run / CONFIG_FILE) as temporary:  # last: what holds it is a run
        temporary.write_text(to_toml(settings), encoding="utf-8")


def go_on(run: Path, store: Store, settings: TrainSettings) -> Checkpoint | None:
    """The checkpoint that a run goes on from; None if it was killed before the first.

    Raises
    ------
    UserError
        If it was begun with other settings or on another store, or its checkpoint cannot be read.
    """
    before = validate_settings(TrainSettings, read_toml(run / CONFIG_FILE))
    if fingerprint(before) != fingerprint(settings):
        raise UserError(f"{run} was begun with other settings ({run / CONFIG_FILE}): resume with those, or start anew")
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


def read_metrics(run: Path, epoch: int) -> list[dict[str, Any]]:
    """The metrics up to an epoch; lines written after its checkpoint (by a run that was killed) are dropped."""
    file = run / METRICS_FILE
    if not file.exists():
        return []
    kept = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
            done = values["epoch"]
        except (ValueError, TypeError, KeyError):  # half a line: the run was killed as it wrote
            break
        if done <= epoch:
            kept.append(values)
    with atomic_path(file) as temporary:
        temporary.write_text("".join(json.dumps(values) + "\n" for values in kept), encoding="utf-8")
    return kept


def device_name(device: torch.device) -> str:
    """The device as its maker calls it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
