"""``speech2vec-align export``: export an alignment to other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import click
import typer

import align
from speech2vec.runtime import console
from speech2vec.runtime.errors import DONE_WITH_FAILURES
from speech2vec.runtime.progress import set_up_logging

_FORMATS = click.Choice(["textgrid", "ctm", "csv", "alignment.txt"])


def export(
    aligned: Annotated[Path, typer.Argument(help="The ALIGNED folder to export.")],
    output: console.OutputOption,
    kind: Annotated[str, typer.Option("--format", click_type=_FORMATS, help="The format to write.")] = "textgrid",
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Export words with their times to TextGrids, a CTM, a CSV or .alignment.txt files."""
    set_up_logging(quiet)
    report = align.export(aligned, output, kind, force=force, quiet=quiet)
    print(report)
    if report.left_out or report.failed:
        raise typer.Exit(DONE_WITH_FAILURES)
