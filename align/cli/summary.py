"""What every command that makes an ALIGNED folder says at its end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from speech2vec.runtime.errors import DONE_WITH_FAILURES, UserError

_LISTED = 20


def summarise(report: Mapping[str, Any], output: Path) -> None:
    """Print what was aligned and what was not; end with the exit code that fits.

    Raises
    ------
    UserError
        If no utterance at all was aligned.
    typer.Exit
        With `console.DONE_WITH_FAILURES` if some were not.
    """
    failed = report["failed"]
    line = f"{output}: {report['aligned']:,} of {report['asked']:,} utterances aligned, {report['words']:,} words"
    if report.get("guessed_pronunciations"):
        line += f", {report['guessed_pronunciations']:,} with a guessed pronunciation"
    print(line)
    for failure in failed[:_LISTED]:
        detail = f" ({failure['detail']})" if failure["detail"] else ""
        print(f"not aligned: {failure['utterance_id']}: {failure['reason']}{detail}")
    if len(failed) > _LISTED:
        print(f"... and {len(failed) - _LISTED:,} more: {output / 'report.json'} names them all")
    if failed and not report["aligned"]:
        raise UserError(f"no utterance was aligned; {output / 'report.json'} names each with its reason")
    if failed:
        raise typer.Exit(DONE_WITH_FAILURES)
