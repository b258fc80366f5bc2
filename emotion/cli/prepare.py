"""``speech2vec-emotion prepare``: from a corpus folder to labels, texts and features on disk."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

import emotion
from emotion.cli import options
from emotion.data.prepare import prepare_settings
from speech2vec.runtime import console
from speech2vec.runtime.errors import DONE_WITH_FAILURES
from speech2vec.runtime.progress import set_up_logging


def prepare(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="The kind of corpus.")],
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="The corpus folder; for 'table' the file.")],
    output: console.OutputOption,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the corpus in tables [default: KIND, or the table's name].")
    ] = None,
    preset: options.PresetOption = "default",
    config: console.ConfigOption = None,
    overrides: console.SetOption = None,
    jobs: console.JobsOption = 0,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Read an emotion corpus, compute its features, and check its counts.

    KIND is iemocap, ravdess, emodb, crema-d, nemo, meld or table; ROOT is the corpus folder, for a table the file (CSV,
    TSV or JSONL). The four classes neu, hap, sad and ang are kept; --set labels=full keeps all labels of the corpus,
    and --set 'labels=["neu","surprise"]' these. --preset paper gives the published features, 34 in windows of 0.1 s;
    default levels recordings to their active speech, trims the silence around it and adds log-mel energies, in windows
    of 0.05 s every 0.025 s. report.json lists the utterances left out, by name and reason.
    """
    set_up_logging(quiet)
    started = time.monotonic()
    prepared = emotion.prepare(
        kind,
        root,
        output,
        name=name,
        preset=preset,
        settings=prepare_settings(preset, config, overrides or ()),
        jobs=jobs,
        quiet=quiet,
        force=force,
    )
    print(prepared)
    print(f"-> {output} ({time.monotonic() - started:.1f} s)")
    if prepared.failures:
        raise typer.Exit(DONE_WITH_FAILURES)
