"""Words of a store through the encoder of a run: from instances in time to vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from speech2vec import checkpoint as checkpoints
from speech2vec.config import read_toml, validate_settings
from speech2vec.devices import choose_device
from speech2vec.encoder import Segments
from speech2vec.errors import UserError
from speech2vec.files import read_json
from speech2vec.model import Speech2Vec, seeded_model
from speech2vec.presets import TrainSettings
from speech2vec.store import Store

CONFIG_FILE = "config.toml"
ORIGIN_FILE = "store.json"
LAST, BEST = "last", "best"

# Frames encoded at once: bounds the memory, and changes no number beyond rounding.
_FRAMES_AT_ONCE = 100_000
# Words that lie together are encoded before those behind them: a disk is read from front to back.
_WORDS_AT_ONCE = 100_000


@dataclass(frozen=True)
class LoadedRun:
    """A run's model beside the store that it was trained on."""

    path: Path
    model: Speech2Vec
    settings: TrainSettings
    store: Store
    progress: dict[str, object]


def checkpoint_file(run: Path, name: str = LAST) -> Path:
    """Where a run keeps a checkpoint."""
    return Path(run) / "checkpoints" / f"{name}.safetensors"


def load_run(
    run: Path, store: Path | None = None, device: str = "cpu", trained: bool = True, checkpoint: str = LAST
) -> LoadedRun:
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
        `last` (after the last step, as all commands take where ``--checkpoint`` is left out) or `best` (of the epoch
        with the lowest held-out loss).

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
    return LoadedRun(run, model.to(choose_device(device)).eval(), settings, opened, progress)


def segments_of(store: Store, rows: np.ndarray, device: torch.device | str = "cpu") -> Segments:
    """The frames of some words of a store, together on a device."""
    n_frames = store.n_frames[rows].astype(np.int64)
    return Segments(
        torch.from_numpy(store.frames_of(rows)).to(device),
        torch.from_numpy(np.cumsum(n_frames) - n_frames).to(device),
        torch.from_numpy(n_frames).to(device),
        int(n_frames.max(initial=0)),
        int(n_frames.sum()),
    )


def _by_length(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Positions, the longest first, in groups of at most `_FRAMES_AT_ONCE` frames."""
    order = np.argsort(-lengths, kind="stable")
    group = (np.cumsum(lengths[order]) - 1) // _FRAMES_AT_ONCE
    yield from np.split(order, np.flatnonzero(np.diff(group)) + 1)


def encode_instances(
    model: Speech2Vec, store: Store, indices: np.ndarray | None = None, device: str | torch.device = "cpu"
) -> np.ndarray:
    """The vectors of word instances.

    Parameters
    ----------
    model : Speech2Vec
    store : Store
    indices : ndarray of int or None
        Rows of the store; None is all.
    device : str or torch.device
        Where `model` lives.

    Returns
    -------
    ndarray [shape=(n_instances, vector_size)], float32
    """
    rows = np.arange(store.n_words) if indices is None else np.asarray(indices, dtype=np.int64)
    vectors = np.empty((len(rows), model.settings.vector_size), dtype=np.float32)
    if len(rows):
        with torch.inference_mode():
            order = np.argsort(rows, kind="stable")
            for part in np.split(order, range(_WORDS_AT_ONCE, len(rows), _WORDS_AT_ONCE)):
                for group in _by_length(store.n_frames[rows[part]]):
                    words = segments_of(store, rows[part[group]], device)
                    vectors[part[group]] = model.encoder(words).z.float().cpu().numpy()
    return vectors
