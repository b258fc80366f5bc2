"""Arguments and options that several commands of `speech2vec` take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speech2vec.runtime.errors import UserError


def _best_or_last(checkpoint: str) -> str:
    if checkpoint not in ("best", "last"):
        raise UserError(f"--checkpoint takes best or last, not '{checkpoint}'")
    return checkpoint


PresetOption = Annotated[
    str,
    typer.Option(
        "--preset",
        help="default, large-batch (for a GPU), paper (as published), reality-check (as in arXiv 2209.10791); of "
        "'train' the name of another method too.",
    ),
]
RunArgument = Annotated[Path, typer.Argument(help="What 'speech2vec train' wrote.")]
StoreOption = Annotated[Path | None, typer.Option("--store", help="Use this store, not the one that the run records.")]
CheckpointOption = Annotated[str, typer.Option("--checkpoint", callback=_best_or_last, help="best or last.")]
WordsimOption = Annotated[
    Path | None, typer.Option("--wordsim", help="Folder of rated pairs, for synonyms [the sets in gensim].")
]
WarpedOption = Annotated[
    int, typer.Option("--dtw", min=0, help="Instances to compare by dynamic time warping; 0 disables it.")
]
