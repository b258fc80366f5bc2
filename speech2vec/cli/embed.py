"""`speech2vec embed`: a vector for every spoken word of new recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speech2vec import api
from speech2vec.cli.options import CheckpointOption, RunArgument, StoreOption
from speech2vec.runtime import console
from speech2vec.runtime.errors import DONE_WITH_FAILURES
from speech2vec.runtime.output import check_output
from speech2vec.vectors.embeddings import check_suffix


def embed(
    run: RunArgument,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="AUDIO|FOLDER|ALIGNED",
            help="One recording, a folder of recordings with transcripts, or what speech2vec-align wrote.",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the vectors go: a .parquet or .npz file.")],
    text: Annotated[
        str | None, typer.Option("--text", help="What is said in one recording [the .lab or .txt file beside it].")
    ] = None,
    aligner: Annotated[
        str, typer.Option("--aligner", help="What finds words without times, as of 'speech2vec-align run'.")
    ] = "pocketsphinx",
    keep_aligned: Annotated[
        Path | None, typer.Option("--keep-aligned", help="Keep the words in time in this folder, and resume there.")
    ] = None,
    store: StoreOption = None,
    checkpoint: CheckpointOption = "last",
    jobs: console.JobsOption = 0,
    device: console.DeviceOption = console.Device.auto,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Encode every spoken word of new recordings; words without times are aligned first (docs/quickstart.md)."""
    check_suffix(output)
    check_output(output, force=force, inputs=[run, source, store, keep_aligned])
    embeddings = api.embed(
        api.load(run, store, device=device.value, checkpoint=checkpoint),
        source,
        text=text,
        aligner=aligner,
        keep_aligned=keep_aligned,
        jobs=jobs,
        quiet=quiet,
    )
    embeddings.save(output)
    print(f"{output}: {embeddings}")
    if embeddings.failed:
        raise typer.Exit(DONE_WITH_FAILURES)
