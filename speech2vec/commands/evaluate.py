"""`speech2vec evaluate` and `speech2vec neighbours`: what word vectors know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speech2vec import console
from speech2vec.errors import UserError

if TYPE_CHECKING:
    from speech2vec.evaluation import Model


def evaluate(
    vectors: Annotated[list[Path], typer.Argument(help="word2vec files, text or binary; any number.")],
    output: console.OutputOption,
    wordsim: Annotated[
        Path | None, typer.Option("--wordsim", help="Folder of benchmarks [the two sets that gensim ships].")
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="The run the vectors come from [the folder a vectors file lies in].")
    ] = None,
    store: Annotated[Path | None, typer.Option("--store", help="The run's store [the one it names].")] = None,
    min_count: Annotated[
        list[int] | None, typer.Option("--min-count", min=1, help="Rarer words are left out (repeatable) [1 and 5].")
    ] = None,
    resamples: Annotated[int, typer.Option("--resamples", min=100, help="Samples of the bootstrap.")] = 1000,
    seed: console.SeedOption = 0,
    device: console.DeviceOption = console.Device.auto,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Score word vectors on word-similarity benchmarks, beside the same encoder untrained and random vectors."""
    from speech2vec.benchmarks import read_benchmarks
    from speech2vec.evaluation import (
        EVALUATION_FILE,
        Model,
        distinct_names,
        evaluate_levels,
        format_evaluation,
        write_evaluation,
    )
    from speech2vec.vectors import read_vectors

    console.set_up_logging(quiet)
    if len({path.resolve() for path in vectors}) < len(vectors):
        raise UserError("the same vectors file is given twice")
    benchmarks = read_benchmarks(wordsim)
    models = [
        Model(name, "file", read_vectors(path), path)
        for name, path in zip(distinct_names(vectors), vectors, strict=True)
    ]
    console.claim_output(output, force, inputs=[*vectors, wordsim, run, store], folder_with=[EVALUATION_FILE])
    runs = [run or find_run(path) for path in vectors]
    if not any(runs):
        if min_count:
            raise UserError("--min-count needs the corpus' counts: give --run, the run that the vectors come from")
        console.log.info("no run is given: no untrained encoder stands beside these vectors")
    controls = untrained_controls(models, runs, store, device, required=run is not None)
    if min_count and not controls:
        raise UserError("--min-count needs the corpus' counts, and the run's store could not be read")
    synthetic = any(control.synthetic for control in controls.values()) if controls else None
    models = with_counts_of_runs(models, runs, controls) + [control.model for control in controls.values()]
    levels = evaluate_levels(models, benchmarks, sorted(set(min_count or (1, 5))), seed, resamples)
    settings = {
        "seed": seed,
        "resamples": resamples,
        "wordsim": str(wordsim) if wordsim else "the two sets that gensim ships",
        "run": str(run) if run else None,
    }
    write_evaluation(output, models, benchmarks, levels, synthetic, settings)
    print(format_evaluation(models, levels, synthetic))
    print(f"\nwritten: {output / 'evaluation.json'}, {output / 'scores.csv'}")


def neighbours(
    vectors: Annotated[Path, typer.Argument(help="A word2vec file, text or binary.")],
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help="The words whose neighbours are asked for.")],
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many neighbours.")] = 10,
    quiet: console.QuietOption = False,
) -> None:
    """Print the words with the nearest vectors, by cosine."""
    from speech2vec.vectors import read_vectors

    console.set_up_logging(quiet)
    loaded = read_vectors(vectors)
    unknown = []
    for word in words:
        try:
            nearest = loaded.neighbours(word, number)
        except UserError as error:
            unknown.append(str(error))
            continue
        print(f"{word}: " + ", ".join(f"{other} {cosine:.3f}" for other, cosine in nearest))
    if len(unknown) == len(words):
        raise UserError("; ".join(unknown))
    for line in unknown:
        console.log.error("%s", line)
    if unknown:
        raise typer.Exit(console.DONE_WITH_FAILURES)


def find_run(vectors: Path) -> Path | None:
    """The run folder that a vectors file lies in, or None."""
    for folder in list(vectors.resolve().parents)[:3]:
        if (folder / "config.toml").is_file() and (folder / "checkpoints").is_dir():
            return folder
    return None


@dataclass(frozen=True)
class Control:
    """A run's encoder untrained, with the counts of the run's corpus, and whether its speech is synthetic."""

    model: Model
    synthetic: bool


def untrained_controls(
    models: Sequence[Model], runs: Sequence[Path | None], store: Path | None, device: console.Device, required: bool
) -> dict[Path, Control]:
    """One control for each run whose store can be read, on the words of the run's first vectors file.

    Parameters
    ----------
    models : sequence of Model
    runs : sequence of Path or None
        The run of each model.
    store : Path or None
        In place of the stores that the runs record.
    device : Device
    required : bool
        Whether a run that cannot be loaded is an error, and not a warning.

    Raises
    ------
    UserError
        A required run cannot be loaded.
    """
    from speech2vec.evaluation import Model, distinct_names, only_words
    from speech2vec.instances import word_vectors
    from speech2vec.loaded_run import load_run

    of_run: dict[Path, list[Model]] = {}
    for model, folder in zip(models, runs, strict=True):
        if folder is not None:
            of_run.setdefault(folder, []).append(model)
    controls = {}
    for name, (folder, own) in zip(distinct_names(list(of_run)), of_run.items(), strict=True):
        try:
            loaded = load_run(folder, store, device=device.value, trained=False)
        except UserError as error:
            if required:
                raise
            named = ", ".join(f"'{model.name}'" for model in own)
            console.log.warning("no untrained encoder and no counts stand beside %s: %s", named, error)
            continue
        corpus = loaded.store
        console.log.info("encoding %s words with the untrained encoder", f"{corpus.n_words:,}")
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
                console.log.warning(
                    "'%s' comes from no run, and the runs are of different corpora: it keeps its rare words", model.name
                )
        counted.append(replace(model, counts=counts))
    return counted
