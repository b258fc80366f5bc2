"""The end of every command that writes an ALIGNED folder."""

from __future__ import annotations

import typer

from align import AlignmentReport
from speech2vec.corpus.manifest import REPORT_FILE
from speech2vec.runtime.errors import DONE_WITH_FAILURES, UserError


def finish(report: AlignmentReport) -> None:
    """Print a report and end with its exit code.

    Raises
    ------
    UserError
        If no utterance was aligned.
    typer.Exit
        With `DONE_WITH_FAILURES` if some were not.
    """
    print(report)
    if report.failed and not report.aligned:
        raise UserError(f"no utterance was aligned; {report.folder / REPORT_FILE} gives the reason of each")
    if report.failed:
        raise typer.Exit(DONE_WITH_FAILURES)
