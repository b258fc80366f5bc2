"""A run that is opened to be used: its model at a checkpoint, beside the store that it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from speech2vec import checkpoint as checkpoints
from speech2vec.config import read_toml, validate_settings
from speech2vec.devices import choose_device
from speech2vec.errors import UserError
from speech2vec.files import read_json
from speech2vec.model import Speech2Vec, seeded_model
from speech2vec.presets import TrainSettings
from speech2vec.run_folder import CONFIG_FILE, LAST, ORIGIN_FILE, checkpoint_file
from speech2vec.store import Store


@dataclass(frozen=True)
class LoadedRun:
    """A run's model beside the store that it was trained on."""

    path: Path
    model: Speech2Vec
    settings: TrainSettings
    store: Store
    progress: dict[str, object]


def load_run(
    run: Path, store: Path | None = None, *, device: str = "cpu", trained: bool = True, checkpoint: str = LAST
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
