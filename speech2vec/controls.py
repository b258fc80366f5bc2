"""The controls of an evaluation: each run's encoder untrained, and how often its corpus holds each word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from speech2vec.console import log
from speech2vec.errors import UserError
from speech2vec.evaluation import Model, distinct_names, only_words
from speech2vec.instances import word_vectors
from speech2vec.loaded_run import load_run
from speech2vec.run_folder import checkpoint_file, is_begun


def find_run(vectors: Path) -> Path | None:
    """The run folder that a vectors file lies in, or None."""
    for folder in list(vectors.resolve().parents)[:3]:
        if is_begun(folder) and checkpoint_file(folder).parent.is_dir():
            return folder
    return None


@dataclass(frozen=True)
class Control:
    """A run's encoder untrained, with the counts of the run's corpus, and whether its speech is synthetic."""

    model: Model
    synthetic: bool


def untrained_controls(
    models: Sequence[Model], runs: Sequence[Path | None], store: Path | None, device: str, required: bool
) -> dict[Path, Control]:
    """One control for each run whose store can be read, on the words of the run's first vectors file.

    Parameters
    ----------
    models : sequence of Model
    runs : sequence of Path or None
        The run of each model.
    store : Path or None
        In place of the stores that the runs record.
    device : str
    required : bool
        Whether a run that cannot be loaded is an error, and not a warning.

    Raises
    ------
    UserError
        A required run cannot be loaded.
    """
    of_run: dict[Path, list[Model]] = {}
    for model, folder in zip(models, runs, strict=True):
        if folder is not None:
            of_run.setdefault(folder, []).append(model)
    controls = {}
    for name, (folder, own) in zip(distinct_names(list(of_run)), of_run.items(), strict=True):
        try:
            loaded = load_run(folder, store, device=device, trained=False)
        except UserError as error:
            if required:
                raise
            named = ", ".join(f"'{model.name}'" for model in own)
            log.warning("no untrained encoder and no counts stand beside %s: %s", named, error)
            continue
        corpus = loaded.store
        log.info("encoding %s words with the untrained encoder", f"{corpus.n_words:,}")
        vectors = only_words(word_vectors(loaded), own[0].vectors.words)
        counts = dict(zip(corpus.types, corpus.counts.tolist(), strict=True))
        controls[folder] = Control(Model(f"untrained {name}", "untrained", vectors, counts=counts), corpus.synthetic)
    return controls


def with_counts_of_runs(
    models: Sequence[Model], runs: Sequence[Path | None], controls: Mapping[Path, Control]
) -> list[Model]:
    """The models with the word counts of their runs; files of no run take those that all runs have in common."""
    every = [control.model.counts for control in controls.values()]
    common = every[0] if every and all(counts == every[0] for counts in every) else None
    counted = []
    for model, folder in zip(models, runs, strict=True):
        if folder is not None:
            counts = controls[folder].model.counts if folder in controls else None
        else:
            counts = common
            if every and common is None:
                log.warning(
                    "'%s' comes from no run, and the runs are of different corpora: it keeps its rare words", model.name
                )
        counted.append(replace(model, counts=counts))
    return counted
