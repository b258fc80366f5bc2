"""The folder of a training run: its files, how one is created, resumed, and loaded for use."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import nn

from speech2vec.features.store import Store
from speech2vec.model.encoding import StoreVectors
from speech2vec.model.kinds import load_encoder
from speech2vec.model.speech2vec import Speech2Vec, seeded_model, shapes_of
from speech2vec.model.word_encoder import WordEncoder
from speech2vec.runtime.config import differences, fingerprint, read_toml, to_toml, validate_settings
from speech2vec.runtime.devices import choose_device
from speech2vec.runtime.environment import environment
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path, remove_partial, require_file, shortened, write_json
from speech2vec.runtime.output import FolderContents, claim_output
from speech2vec.runtime.progress import log
from speech2vec.training.checkpoint import Checkpoint, load_checkpoint, require_same_shapes
from speech2vec.training.methods import METHODS, PUBLISHED
from speech2vec.training.methods.method import NO_LABELS
from speech2vec.training.origin import ORIGIN_FILE, Origin
from speech2vec.training.presets import TrainSettings
from speech2vec.training.sampler import Split, split

CONFIG_FILE = "config.toml"
METRICS_FILE = "metrics.jsonl"
ENVIRONMENT_FILE = "environment.json"

LAST, BEST = "last", "best"  # checkpoints: after the last step; after the epoch with the lowest held-out loss

# With what the other commands write to a run in the documentation and in `scripts`.
RUN_CONTENTS = FolderContents(
    marks=(CONFIG_FILE, ORIGIN_FILE),
    others=(
        *(METRICS_FILE, ENVIRONMENT_FILE, "events.out.tfevents.*", "projector_config.pbtxt"),
        *(f"checkpoints/{name}.safetensors" for name in (LAST, BEST)),
        *(f"projector/{name}.tsv" for name in ("vectors", "words")),
        *("vectors.txt", "vectors.bin", "same-different.json", "homophones.json", "report.html"),
        *("evaluation/evaluation.json", "evaluation/scores.csv"),
    ),
)


def checkpoint_file(run: Path, name: str = LAST) -> Path:
    """Path of a run's checkpoint `LAST` or `BEST`."""
    return Path(run) / "checkpoints" / f"{name}.safetensors"


def is_run(folder: Path) -> bool:
    """Whether the folder holds a run, which may have been stopped before its first checkpoint."""
    return (folder / CONFIG_FILE).exists()


def create_run(
    run: Path,
    store: Store,
    settings: TrainSettings,
    device: str,
    n_processes: int = 1,
    force: bool = False,
    labels: str = NO_LABELS,
) -> None:
    """Write what describes a new run: settings, store, labels used, machine; `force` replaces an existing run."""
    if force:
        claim_output(run, force=force, inputs=[store.path], folder=RUN_CONTENTS)
    run.mkdir(parents=True, exist_ok=True)
    remove_partial(run)  # of one that was killed before it was a run
    Origin.of(store, labels).write(run)
    write_json(run / ENVIRONMENT_FILE, {**environment(), "device": device, "processes": n_processes})
    with atomic_path(run / CONFIG_FILE) as temporary:  # last: this file makes the folder a run
        temporary.write_text(to_toml(settings), encoding="utf-8")


def resume_run(run: Path, store: Store, settings: TrainSettings) -> Checkpoint | None:
    """The checkpoint from which a run of the published method continues; None if it was stopped before the first.

    Raises
    ------
    UserError
        If it was started with other settings or on another store, or its checkpoint cannot be read.
    """
    check_resumed(run, store, settings)
    remove_partial(run)
    last = checkpoint_file(run, LAST)
    if not last.exists():
        return None
    checkpoint = load_checkpoint(last)
    require_same_shapes(last, shapes_of(store.n_mfcc, settings.model), checkpoint.weights)
    return checkpoint


def check_resumed(run: Path, store: Store, settings: TrainSettings) -> None:
    """Check that a run can go on.

    Raises
    ------
    UserError
        If it was started with other settings or on another store, or holds out other words than a new run would.
    """
    before = validate_settings(TrainSettings, read_toml(run / CONFIG_FILE))
    if fingerprint(before) != fingerprint(settings):
        raise UserError(
            f"{run} was started with other settings ({', '.join(differences(before, settings))}): resume with those, "
            "or start a new run"
        )
    origin = Origin.read(run)
    if (origin.fingerprint, origin.n_words) != (store.fingerprint, store.n_words) or not origin.has_words_of(store):
        raise UserError(f"{run} was started on another store ({origin.path}) than {store.path}")
    if origin.words is None:
        new, old = (split(store, settings.data.held_out, settings.seed, limited=one) for one in (True, False))
        if not np.array_equal(new.held_out, old.held_out):
            raise UserError(
                f"{run} was started when speakers who dominate a corpus were held out, too: it can be used, but not "
                "resumed; start a new run"
            )


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl, one per epoch; an incomplete last line (of a run in progress) is skipped.

    Raises
    ------
    UserError
        If any other line cannot be read.
    """
    rows, unreadable, n_lines = _metrics(run)
    if unreadable and unreadable[0] < n_lines:
        raise UserError(
            f"{run / METRICS_FILE}, line {unreadable[0]}: not a JSON object with an epoch; remove the line, or "
            "let 'speech2vec train --resume' do so"
        )
    return rows


def truncate_metrics(run: Path, epoch: int) -> list[dict[str, Any]]:
    """Remove from metrics.jsonl the epochs that a run resumed after `epoch` epochs will write again.

    They were written after its last checkpoint, by a process that was killed before the next one. Unreadable lines are
    removed too, with a warning.

    Returns
    -------
    list of dict
        The remaining lines.
    """
    rows, unreadable, n_lines = _metrics(run)
    kept = [values for values in rows if values["epoch"] <= epoch]
    if unreadable:
        log.warning(
            "%s: %d unreadable lines removed (first: line %d)",
            *(run / METRICS_FILE, len(unreadable), unreadable[0]),
        )
    if len(kept) < n_lines:
        with atomic_path(run / METRICS_FILE) as temporary:
            temporary.write_text("".join(json.dumps(values) + "\n" for values in kept), encoding="utf-8")
    return kept


def _metrics(run: Path) -> tuple[list[dict[str, Any]], list[int], int]:
    """The readable lines of metrics.jsonl, the line numbers of the others, and the number of all lines."""
    file = run / METRICS_FILE
    lines = require_file(file).read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else []
    rows, unreadable = [], []
    for number, line in enumerate(lines, start=1):
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            values = None
        if isinstance(values, dict) and isinstance(values.get("epoch"), int) and all(map(_is_number, values.values())):
            rows.append(values)
        else:
            unreadable.append(number)
    return rows, unreadable, len(lines)


def _is_number(value: object) -> bool:
    """Whether it is a number that a float can hold; an integer in JSON may have any number of digits."""
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63)


def device_name(device: torch.device) -> str:
    """Name of the GPU model, or the CPU's number of threads."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"


R = TypeVar("R", bound="Run")


@dataclass(frozen=True, repr=False)
class Run:
    """A run's model, and the store that it was trained on.

    Parameters
    ----------
    path : Path
    model : WordEncoder
        That of the published method is a network, in evaluation mode.
    settings : TrainSettings
    store : Store
    progress : dict
        Epoch, step and running sums of the checkpoint; empty for an untrained model.
    labels : str
        What beside sound and word boundaries training used: `none`, whose words, or the text.
    own_words : bool
        Whether the store's words are those that it was trained on, in part: else none of them is held out.
    limited : bool
        How they were split (see `split`).
    """

    path: Path
    model: WordEncoder
    settings: TrainSettings
    store: Store
    progress: dict[str, Any]
    labels: str = NO_LABELS
    own_words: bool = True
    limited: bool = True

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, method={self.settings.method!r}, store={str(self.store.path)!r})"

    @cached_property
    def split(self) -> Split | None:
        """The store's words that it was trained on, and the held-out ones; None where the words are not its own."""
        if not self.own_words:
            return None
        return split(self.store, self.settings.data.held_out, self.settings.seed, limited=self.limited)

    @cached_property
    def vectors(self) -> StoreVectors:
        """The vectors of the store's words, by row."""
        return StoreVectors(self.model, self.store)

    def untrained(self) -> WordEncoder:
        """The control: what the model was before it learned anything, the same for the same seed."""
        settings = self.settings
        if settings.method == PUBLISHED:
            network = seeded_model(self.store.n_mfcc, settings.model, settings.seed).eval()
            return network.to(self.model.device) if isinstance(self.model, Speech2Vec) else network
        method = METHODS[settings.method]
        return method.untrained(self.model, self.store, settings.of_method, seed=settings.seed)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The values of each epoch, from before training on (`read_metrics`)."""
        return read_metrics(self.path)

    @classmethod
    def load(
        cls: type[R],
        run: str | Path,
        store: str | Path | None = None,
        *,
        device: str = "auto",
        trained: bool = True,
        checkpoint: str = LAST,
    ) -> R:
        """Load a run's model and open its store.

        Parameters
        ----------
        run : Path
        store : Path or None
            Used instead of the store that the run records (which may have moved).
        device : str
        trained : bool
            False gives the control (`untrained`).
        checkpoint : str
            `last` (after the last step; the default of every command) or `best` (after the epoch with the lowest
            held-out loss).

        Raises
        ------
        UserError
            If the folder is not a run, or the store was made with other settings.
        """
        run = Path(run)
        if not is_run(run):
            raise UserError(f"{run} is not a run (no {CONFIG_FILE} in it); create one: speech2vec train STORE -o RUN")
        settings = validate_settings(TrainSettings, read_toml(run / CONFIG_FILE))
        origin = Origin.read(run)
        opened = Store.open(Path(origin.path if store is None else store))
        if opened.fingerprint != origin.fingerprint:
            raise UserError(
                f"the run {run} was trained on a store with other settings ({origin.fingerprint}, "
                f"{opened.path} has {opened.fingerprint}): its vectors would be meaningless"
            )
        file = checkpoint_file(run, checkpoint)
        if settings.method != PUBLISHED and checkpoint != LAST:
            raise UserError(
                f"{run} keeps one checkpoint, '{LAST}', as all runs of the method {settings.method} do: there is no "
                f"{shortened(checkpoint)}"
            )
        if checkpoint not in (LAST, BEST):
            raise UserError(f"a run has the checkpoints {LAST} and {BEST}, not {shortened(checkpoint)}")
        model: WordEncoder
        progress: dict[str, Any] = {}
        if settings.method != PUBLISHED:
            model, progress = load_fitted(file, opened)
        else:
            if trained:
                loaded = load_checkpoint(file)
                require_same_shapes(file, shapes_of(opened.n_mfcc, settings.model), loaded.weights)
                progress = loaded.progress
            model = seeded_model(opened.n_mfcc, settings.model, settings.seed)
            if trained:
                loaded.restore_weights(model)
        if isinstance(model, nn.Module):
            model = model.to(choose_device(device)).eval()
        if not (own := origin.has_words_of(opened)):
            log.info("%s holds other words than %s was trained on: none of them counts as held out", opened.path, run)
        found = cls(run, model, settings, opened, progress, origin.labels, own, origin.words is not None)
        return found if trained else replace(found, model=found.untrained(), progress={})


def load_fitted(file: Path, store: Store) -> tuple[WordEncoder, dict[str, Any]]:
    """The encoder and the progress of a run on a store, of another method than the published one.

    Raises
    ------
    UserError
        If there is no such checkpoint, it is damaged, or takes other frames than the store's.
    """
    if not file.exists():
        raise UserError(f"there is no checkpoint {file}: has the run been trained?")
    encoder, metadata, _ = load_encoder(file)
    if encoder.n_features != store.n_mfcc:
        raise UserError(
            f"{file} belongs to another store: it takes frames of {encoder.n_features} numbers, and those of "
            f"{store.path} have {store.n_mfcc}"
        )
    try:
        progress = TypeAdapter(dict[str, int | float]).validate_json(metadata["progress"])
    except (KeyError, ValueError) as error:
        raise UserError(f"{file} is not the checkpoint of a run: it does not say how it was made") from error
    return encoder, progress
