"""``speech2vec-emotion tables``: the paper's Tables 1 to 3 on a prepared corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import emotion
from emotion.cli import options
from emotion.data.splits import SplitProtocol
from emotion.settings import classifier_settings
from speech2vec.runtime import console
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import log, set_up_logging

_VECTORS_HELP = "SIZE=FILE, such as 50=vectors.txt (repeatable)."


def tables(
    prepared: options.PreparedArgument,
    output: console.OutputOption,
    speech_embeddings: Annotated[list[str] | None, typer.Option("--speech-embeddings", help=_VECTORS_HELP)] = None,
    word_embeddings: Annotated[list[str] | None, typer.Option("--word-embeddings", help=_VECTORS_HELP)] = None,
    extra_embeddings: Annotated[
        list[str] | None, typer.Option("--extra-embeddings", help="Additional rows: SIZE=FILE (repeatable).")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Another system, as for train, such as svm+dual (repeatable).")
    ] = None,
    protocol: options.ProtocolOption = SplitProtocol.session5,
    folds: options.FoldsOption = 6,
    preset: options.PresetOption = "paper",
    seeds: options.SeedsOption = 5,
    seed: console.SeedOption = 0,
    config: console.ConfigOption = None,
    set_: console.SetOption = None,
    jobs: console.JobsOption = 1,
    device: console.DeviceOption = console.Device.auto,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
    resume: console.ResumeOption = False,
) -> None:
    """Train and print Tables 1 to 3 and every other system, beside published figures; --resume continues row by row."""
    set_up_logging(quiet)
    made = emotion.tables(
        prepared,
        output,
        speech=_by_size(speech_embeddings),
        word=_by_size(word_embeddings),
        extra=_by_size(extra_embeddings),
        models=model or (),
        protocol=protocol,
        folds=folds,
        preset=preset,
        seeds=seeds,
        seed=seed,
        settings=classifier_settings(preset, config, set_ or ()),
        jobs=jobs,
        device=device.value,
        quiet=quiet,
        force=force,
        resume=resume,
    )
    print(made)
    log.info("written to %s: tables.txt, tables.csv, differences.csv, runs/", output)


def _by_size(options: Sequence[str] | None) -> dict[int, str]:
    found: dict[int, str] = {}
    for option in options or ():
        size, equals, file = option.partition("=")
        if not equals or not size.isdigit() or not file:
            raise UserError(f"vectors must be given as SIZE=FILE, such as 50=vectors.txt, not '{option}'")
        if not Path(file).is_file():
            raise UserError(f"{file}: no such vectors file")
        found[int(size)] = file
    return found
