"""`speech2vec same-different` and `speech2vec homophones`: what vectors of spoken words, and of word types, know."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speech2vec import api
from speech2vec.cli.options import CheckpointOption, RunArgument, StoreOption, WarpedOption, WordsimOption
from speech2vec.evaluation.same_different import InstanceFilter
from speech2vec.runtime import console
from speech2vec.runtime.files import write_json
from speech2vec.runtime.output import check_output
from speech2vec.runtime.progress import set_up_logging

JsonOption = Annotated[Path | None, typer.Option("-o", "--output", help="Also write everything to this JSON file.")]


def same_different(
    run: RunArgument,
    output: JsonOption = None,
    store: StoreOption = None,
    checkpoint: CheckpointOption = "last",
    min_characters: Annotated[int, typer.Option("--min-characters", min=1, help="Shorter words are left out.")] = 5,
    min_seconds: Annotated[float, typer.Option("--min-seconds", min=0, help="Shorter instances are left out.")] = 0.5,
    max_instances: Annotated[int, typer.Option("--max-instances", min=2, help="Subsample above this many.")] = 10_000,
    warped: WarpedOption = 300,
    seed: console.SeedOption = 0,
    device: console.DeviceOption = console.Device.auto,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Average precision of telling the same word from different words, beside its baselines."""
    set_up_logging(quiet)
    if output is not None:
        check_output(output, force=force, inputs=[run, store])
    result = api.same_different(
        run,
        store=store,
        checkpoint=checkpoint,
        selection=InstanceFilter(min_characters, min_seconds, max_instances),
        dtw_instances=warped,
        seed=seed,
        device=device.value,
        quiet=quiet,
    )
    if output is not None:
        write_json(output, result.to_dict())
    print(result)


def homophones(
    vectors: Annotated[Path, typer.Argument(help="Word vectors in word2vec's format, text or binary.")],
    output: JsonOption = None,
    run: Annotated[Path | None, typer.Option("--run", help="The run they come from, for halves of one word.")] = None,
    store: StoreOption = None,
    checkpoint: CheckpointOption = "last",
    wordsim: WordsimOption = None,
    dictionary: Annotated[
        Path | None, typer.Option("--dictionary", help="Pronunciations [CMUdict in PocketSphinx].")
    ] = None,
    min_count: Annotated[int, typer.Option("--min-count", min=1, help="Leave out rarer words (with --run).")] = 5,
    seed: console.SeedOption = 0,
    device: console.DeviceOption = console.Device.auto,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Compare the vectors of homophones: they must be alike if vectors come from sound."""
    set_up_logging(quiet)
    if output is not None:
        check_output(output, force=force, inputs=[vectors, run, store, wordsim, dictionary])
    result = api.homophones(
        vectors,
        run=run,
        store=store,
        checkpoint=checkpoint,
        wordsim=wordsim,
        dictionary=dictionary,
        min_count=min_count,
        seed=seed,
        device=device.value,
    )
    if output is not None:
        write_json(output, result.to_dict())
    print(result)
