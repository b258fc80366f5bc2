"""``speech2vec-align merge``: shards become one ALIGNED folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from align.cli.summary import summarise
from speech2vec.corpus.manifest import REPORT_FILE
from speech2vec.runtime import console
from speech2vec.runtime.output import claim_output
from speech2vec.runtime.progress import set_up_logging


def merge(
    shards: Annotated[list[Path], typer.Argument(help="The ALIGNED folders that 'run --shard K/N' made.")],
    output: console.OutputOption,
    force: console.ForceOption = False,
    quiet: console.QuietOption = False,
) -> None:
    """Join the shards of a run into one ALIGNED folder."""
    from align.aligned import merge_aligned

    set_up_logging(quiet)
    claim_output(output, force=force, inputs=shards, folder_with=[REPORT_FILE])
    summarise(merge_aligned(shards, output), output)
