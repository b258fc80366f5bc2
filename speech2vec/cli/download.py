"""`speech2vec download`: public corpora, alignments, benchmarks and vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speech2vec.runtime import console
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
        Path | None, typer.Option("--from", help="Take it from this file (or folder) instead of the network.")
    ] = None,
    mirror: Annotated[
        str | None, typer.Option("--mirror", help="Address of a folder with the same files; checksums stay.")
    ] = None,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Fetch public data with checksums; a transfer that broke goes on where it was."""
    from speech2vec.corpus.datasets import find_dataset
    from speech2vec.corpus.download import download as fetch
    from speech2vec.runtime.errors import UserError

    set_up_logging(quiet)
    datasets = [find_dataset(name) for name in names]
    if from_ is not None and (len(datasets) > 1 or mirror is not None):
        raise UserError("--from takes the place of the network for one download at a time")
    for dataset in datasets:
        placed = fetch(dataset, output, from_, mirror, force, quiet)
        if placed:
            shown = ", ".join(str(path) for path in placed[:4]) + (", ..." if len(placed) > 4 else "")
            print(f"{dataset.name}: {shown} ({dataset.source}, licence: {dataset.licence})")
        else:
            print(f"{dataset.name}: already in {output}")
