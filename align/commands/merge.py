"""``speech2vec-align merge``: shards become one ALIGNED folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from align.commands.summary import summarise
from speech2vec import console
from speech2vec.manifest import REPORT_FILE


def merge(
    shards: Annotated[list[Path], typer.Argument(help="The ALIGNED folders that 'run --shard K/N' made.")],
    output: console.OutputOption,
    force: console.ForceOption = False,
    quiet: console.QuietOption = False,
) -> None:
    """Join the shards of a run into one ALIGNED folder."""
    from align.merge import merge_aligned

    console.set_up_logging(quiet)
    console.claim_output(output, force=force, inputs=shards, folder_with=[REPORT_FILE])
    summarise(merge_aligned(shards, output), output)
