"""Train and test every fold of a run with every seed, one after another or in parallel."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emotion.data.batches import Examples, Scaler, normalise_by_speaker
from emotion.data.dataset import Prepared
from emotion.training.run import PREDICTIONS_FILE, FoldModel, Run
from emotion.training.trainer import fit, predict_proba
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path
from speech2vec.runtime.processes import in_processes
from speech2vec.runtime.progress import Tracker


def build_examples(run: Run, prepared: Prepared) -> Examples:
    """All utterances of a corpus as inputs of a run's model, before the scaling of each fold.

    Raises
    ------
    UserError
        The run's word vectors belong to another corpus.
    """
    n = len(prepared)
    nothing = np.zeros((0, run.info["n_features"]), dtype=np.float32)
    features = [nothing] * n
    if run.uses_audio:
        features = [np.asarray(prepared.segment(i)) for i in range(n)]
        if run.settings.training.normalisation == "speaker":
            features = normalise_by_speaker(features, list(prepared.speaker))
    words = [np.zeros(0, dtype=np.int64)] * n
    if run.vocabulary is not None:
        words = run.vocabulary.rows(list(prepared.text))
    elif run.segments is not None:
        words = run.segments.of_each()
        if len(words) != n:
            raise UserError(f"{run.folder} has word vectors of {len(words)} utterances, {prepared.folder} has {n}")
    return Examples(features, words, prepared.label_index)


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
    index_of = {name: i for i, name in enumerate(prepared.utterance_id)}
    train, development, test = (
        examples.part(np.array([index_of[name] for name in run.splits[fold][part]], dtype=np.int64))
        for part in ("train", "development", "test")
    )
    scaler = None
    if run.uses_audio and run.settings.training.normalisation != "none":
        scaler = Scaler.fit(train.features)
        train, development, test = (scaled(part, scaler) for part in (train, development, test))
    model = run.build_model(seed)
    selecting = development if len(development) else None
    fitted = fit(model, train, selecting, run.settings, seed=seed, device=device, on_epoch=on_epoch)
    probabilities = predict_proba(model, test, run.settings, device)
    run.save_model(FoldModel(fold, seed, model, scaler), fitted, probabilities)


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
    total = len(missing) * run.settings.training.epochs
    with Tracker(f"training {run.model_name}", total, "epochs", quiet) as tracker:
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
                    on_epoch=lambda row: tracker.advance(note=_note(row)),
                )
            return
        # One thread per process: parallel folds are faster than one fold on all cores.
        work = partial(_train_in_process, run.folder, prepared.folder, device)
        for _ in in_processes(work, missing, min(jobs, len(missing))):
            tracker.advance(run.settings.training.epochs)


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


def scaled(examples: Examples, scaler: Scaler) -> Examples:
    """Scale the features of all utterances."""
    return Examples([scaler(segment) for segment in examples.features], examples.words, examples.labels)


def write_predictions(run: Run, prepared: Prepared) -> None:
    """Write ``predictions.csv``: one line per test utterance and seed, with the name of the corpus."""
    index_of = {name: i for i, name in enumerate(prepared.utterance_id)}
    with (
        atomic_path(run.folder / PREDICTIONS_FILE) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as out,
    ):
        writer = csv.writer(out)
        probabilities = [f"p_{label}" for label in run.labels]
        writer.writerow(
            ["corpus", "seed", "fold", "utterance_id", "speaker", "style", "label", "predicted", *probabilities]
        )
        for fold, seed in run.fold_seeds():
            names = run.splits[fold]["test"]
            for name, row in zip(names, run.test_probabilities(fold, seed), strict=True):
                i = index_of[name]
                known = [name, prepared.speaker[i], prepared.style[i] or "", prepared.label[i]]
                writer.writerow([run.corpus, seed, fold, *known, run.labels[row.argmax()], *(f"{p:.6f}" for p in row)])
