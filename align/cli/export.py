"""``speech2vec-align export``: an ALIGNED folder for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from align.aligned import read_report
from align.exporting import Exported, ExportFormat, export_aligned
from speech2vec.runtime import console
from speech2vec.runtime.errors import DONE_WITH_FAILURES
from speech2vec.runtime.files import atomic_folder
from speech2vec.runtime.output import check_output
from speech2vec.runtime.progress import Tracker, set_up_logging

_SHOWN = 20


# What lies in a folder of each of the formats.
_MARKS = ("**/*.TextGrid", "**/*.alignment.txt", "words.ctm", "words.csv")


def export(
    aligned: Annotated[Path, typer.Argument(help="What 'run' or 'import' wrote.")],
    output: console.OutputOption,
    kind: Annotated[ExportFormat, typer.Option("--format", help="What to write.")] = ExportFormat.textgrid,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Export words in time: TextGrids, a CTM, a CSV or .alignment.txt files."""
    set_up_logging(quiet)
    total = int(read_report(aligned).get("aligned", 0))
    check_output(output, force=force, inputs=[aligned], folder_with=_MARKS)
    done = Exported()
    with atomic_folder(output) as folder, Tracker("exporting", total, "utterances", quiet) as tracker:
        for _ in export_aligned(aligned, kind, folder, done):
            tracker.advance()
    files = "1 file" if done.n_files == 1 else f"{done.n_files:,} files"
    print(f"{done.n_utterances:,} utterances, {done.n_words:,} words in {files} -> {output}")
    if done.n_clipped:
        print(f"  {done.n_clipped:,} words start later, as they overlapped the word before")
    _list("words without length are left out", done.left_out)
    _list("utterances cannot be written so", [f"{name}: {reason}" for name, reason in done.failed])
    if done.left_out or done.failed:
        raise typer.Exit(DONE_WITH_FAILURES)


def _list(what: str, items: list[str]) -> None:
    if items:
        print(f"  {len(items):,} {what}:")
        for item in items[:_SHOWN]:
            print(f"    {item}")
        if len(items) > _SHOWN:
            print(f"    and {len(items) - _SHOWN:,} more")
