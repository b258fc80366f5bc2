"""``speech2vec-align merge``: merge the shards of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import align
from align.cli.finish import finish
from speech2vec.runtime import console
from speech2vec.runtime.progress import set_up_logging


def merge(
    shards: Annotated[list[Path], typer.Argument(help="The ALIGNED folders that 'run --shard K/N' wrote.")],
    output: console.OutputOption,
    force: console.ForceOption = False,
    quiet: console.QuietOption = False,
) -> None:
    """Merge the shards of a run into one ALIGNED folder."""
    set_up_logging(quiet)
    finish(align.merge(shards, output, force=force))
