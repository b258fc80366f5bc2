"""Train and test every fold of a run with every seed, one after another or in parallel."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emotion.classifiers.base import Classifier
from emotion.classifiers.inner import calibrate
from emotion.classifiers.registry import load_classifier
from emotion.data.audio_inputs import prepared_examples
from emotion.data.dataset import Prepared
from emotion.data.examples import Examples
from emotion.data.normalise import Scaler
from emotion.training.member import Member
from emotion.training.run import CONTROL_FILE, CONTROL_MODEL, PREDICTIONS_FILE, Run
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path
from speech2vec.runtime.guarded import guarded_cell
from speech2vec.runtime.processes import in_processes
from speech2vec.runtime.progress import Tracker, log


def build_examples(run: Run, prepared: Prepared) -> Examples:
    """All utterances of a run's own corpus as inputs of its classifier, before the normalisation of each fold.

    Raises
    ------
    UserError
        The run's word vectors belong to another corpus.
    """
    n, vectors = len(prepared), None
    if run.vocabulary is not None:
        vectors = run.vocabulary.rows(list(prepared.text))
    elif run.segments is not None:
        vectors = run.segments.of_each()
        if len(vectors) != n:
            raise UserError(f"{run.folder} has word vectors of {len(vectors)} utterances, {prepared.folder} has {n}")
    return prepared_examples(run.inputs, run.settings, prepared, vectors, version=run.info["functionals"])


def train_fold(
    run: Run,
    prepared: Prepared,
    examples: Examples,
    fold: str,
    seed: int,
    *,
    device: torch.device | str = "cpu",
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Train and test one fold with one seed, and write its folder."""
    started = time.monotonic()
    train, development, test = fold_parts(run, prepared, examples, fold, run.classifier)
    scaler = None
    if train.frames is not None and run.settings.training.normalisation != "none":
        scaler = Scaler.fit(train.frames)
        train, development = train.scaled(scaler), development.scaled(scaler)
    context = run.context(seed, device, on_epoch=on_epoch)
    fitted = run.classifier.fit(train, development, context)
    seconds = time.monotonic() - started
    temperature = 1.0
    if run.settings.training.calibration and not run.classifier.calibrated:
        temperature = calibrate(run.classifier, fitted, train, development, context)
    member = Member(fold, seed, fitted, scaler, temperature)
    member.save(run.model_folder(fold, seed), member.predict_proba(test), seconds=seconds)


def fold_parts(run: Run, prepared: Prepared, examples: Examples, fold: str, classifier: Classifier) -> list[Examples]:
    """The training, development and test part of a fold; a classifier that does not use development trains on it.

    Each is normalised as the settings say, by recordings of its own and means over the training speakers: nothing of
    the training depends on the recordings of others.
    """
    index_of = {name: i for i, name in enumerate(prepared.utterance_id)}
    train, development, test = (run.splits[fold][part] for part in ("train", "development", "test"))
    if not classifier.uses_development:
        train, development = train + development, []
    ids = (train, development, test)
    parts = [examples.part(np.array([index_of[name] for name in names], dtype=np.int64)) for names in ids]
    how = run.settings.training.normalisation
    population = parts[0].population() if how == "speaker-mean" else None
    return [part.normalised(how, population) for part in parts]


def train_folds(
    run: Run, prepared: Prepared, jobs: int = 1, device: torch.device | str = "cpu", quiet: bool = False
) -> None:
    """Train all untrained folds and seeds of a run, `jobs` at a time; finished ones are kept if another fails.

    Raises
    ------
    UserError
        A loss is not finite, or the run was started with another corpus.
    """
    missing = run.untrained()
    with Tracker(f"training {run.model_name}", len(missing), "folds and seeds", quiet) as tracker:
        if jobs == 1 or len(missing) < 2:
            examples = build_examples(run, prepared)
            for fold, seed in missing:
                train_fold(
                    run,
                    prepared,
                    examples,
                    fold,
                    seed,
                    device=device,
                    on_epoch=lambda row: tracker.advance(0, note=_note(row)),
                )
                tracker.advance()
            return
        # One thread per process: parallel folds are faster than one fold on all cores.
        work = partial(_train_in_process, run.folder, prepared.folder, device)
        for _ in in_processes(work, missing, min(jobs, len(missing))):
            tracker.advance()


def _note(row: dict[str, Any]) -> str:
    development = f", development UA {row['dev_UA']:.3f}" if "dev_UA" in row else ""
    return f"loss {row['train_loss']:.3f}{development}"


def _train_in_process(
    run_folder: Path, prepared_folder: Path, device: torch.device | str, fold_seed: tuple[str, int]
) -> None:
    run, prepared, examples = _opened(run_folder, prepared_folder)
    fold, seed = fold_seed
    train_fold(run, prepared, examples, fold, seed, device=device)


@lru_cache(maxsize=1)
def _opened(run_folder: Path, prepared_folder: Path) -> tuple[Run, Prepared, Examples]:
    """Run and inputs, loaded once per process."""
    torch.set_num_threads(1)
    run, prepared = Run.open(run_folder), Prepared.open(prepared_folder)
    return run, prepared, build_examples(run, prepared)


def write_predictions(run: Run, prepared: Prepared) -> None:
    """Write ``predictions.csv``: one line per test utterance and seed, with the name of the corpus."""
    found = {(fold, seed): run.test_probabilities(fold, seed) for fold, seed in run.fold_seeds()}
    _write_csv(run.folder / PREDICTIONS_FILE, run, prepared, found)


def write_control(run: Run, prepared: Prepared) -> None:
    """Write ``control.csv``: predictions like the run's of the `svm` on statistics, trained on the same folds.

    It is not written for that classifier itself, nor where an utterance has no audio.
    """
    if run.model_name == CONTROL_MODEL or not prepared.n_windows.all() or (run.folder / CONTROL_FILE).exists():
        return
    svm, seed = load_classifier(CONTROL_MODEL), run.info["seeds"][0]  # it does not depend on the seed
    examples = prepared_examples(svm.inputs, run.settings, prepared)
    found = {}
    try:
        for fold in run.splits:
            train, development, test = fold_parts(run, prepared, examples, fold, svm)
            fitted = svm.fit(train, development, run.context(seed))
            found[fold, seed] = fitted.predict_proba(test)
    except UserError as error:
        log.warning("no linear SVM beside the %s model: %s", run.model_name, error)
        return
    _write_csv(run.folder / CONTROL_FILE, run, prepared, found)


def _write_csv(path: Path, run: Run, prepared: Prepared, found: Mapping[tuple[str, int], np.ndarray]) -> None:
    """Write the test probabilities of folds and seeds."""
    index_of = {name: i for i, name in enumerate(prepared.utterance_id)}
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        probabilities = [f"p_{label}" for label in run.labels]
        writer.writerow(
            ["corpus", "seed", "fold", "utterance_id", "speaker", "style", "label", "predicted", *probabilities]
        )
        for (fold, seed), rows in found.items():
            for name, row in zip(run.splits[fold]["test"], rows, strict=True):
                i = index_of[name]
                known = [name, prepared.speaker[i], prepared.style[i] or "", prepared.label[i]]
                cells = [run.corpus, seed, fold, *known, run.labels[row.argmax()]]
                writer.writerow([*map(guarded_cell, cells), *(f"{p:.6f}" for p in row)])
