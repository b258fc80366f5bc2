"""`speech2vec download`: public corpora, alignments, benchmarks and vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speech2vec.corpus.datasets import find_dataset
from speech2vec.corpus.download import download as fetch
from speech2vec.runtime import console
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import set_up_logging


def download(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="wordsim, librispeech:SUBSET (dev-clean, train-clean-100, ...), librispeech-alignments, ravdess, "
            "speech2vec-published.",
        ),
    ],
    output: console.OutputOption,
    from_: Annotated[
        Path | None, typer.Option("--from", help="Use this file or folder instead of the network.")
    ] = None,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Download public data with checksums; an interrupted download continues where it stopped."""
    set_up_logging(quiet)
    datasets = [find_dataset(name) for name in names]
    if from_ is not None and len(datasets) > 1:
        raise UserError("--from takes one dataset at a time")
    for dataset in datasets:
        placed = fetch(dataset, output, from_, force, quiet)
        if placed:
            shown = ", ".join(str(path) for path in placed[:4]) + (", ..." if len(placed) > 4 else "")
            print(f"{dataset.name}: {shown} ({dataset.source}, licence: {dataset.licence})")
        else:
            print(f"{dataset.name}: already in {output}")
