"""``speech2vec-align check``: check an alignment, and compare it with another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import align
from align.runner import ALIGNED_CONTENTS
from speech2vec.runtime import console
from speech2vec.runtime.config import load_settings
from speech2vec.runtime.errors import DONE_WITH_FAILURES, UserError
from speech2vec.runtime.output import check_output
from speech2vec.runtime.progress import set_up_logging


def check(
    aligned: Annotated[Path, typer.Argument(help="The ALIGNED folder to check.")],
    against: Annotated[
        Path | None,
        typer.Option("--against", help="Another ALIGNED folder of the same speech: compare the word boundaries."),
    ] = None,
    histogram: Annotated[
        Path | None, typer.Option("--histogram", help="With --against: draw the differences to this PNG file.")
    ] = None,
    findings: Annotated[Path | None, typer.Option("--findings", help="Write all issues to this CSV file.")] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option("--drop", help="With --output: a kind of issue to remove, such as low-score (repeatable)."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="With --drop: the ALIGNED folder to write.")
    ] = None,
    config: console.ConfigOption = None,
    set_: console.SetOption = None,
    force: console.ForceOption = False,
    quiet: console.QuietOption = False,
) -> None:
    """Check an alignment for what is missing, impossible or improbable; compare it with another; filter it."""
    set_up_logging(quiet)
    kinds = [kind.value for kind in align.IssueKind]
    if unknown := [kind for kind in drop or [] if kind not in kinds]:
        raise UserError(f"--drop takes {', '.join(kinds)}, not '{unknown[0]}'")
    if bool(drop) != bool(output):
        raise UserError("--drop and -o/--output need each other: what to remove, and where to write the rest")
    if histogram and not against:
        raise UserError("--histogram needs --against: it draws the differences to another alignment")
    settings = load_settings(align.CheckSettings, config, set_ or [])
    for option, path, folder in (
        ("--findings", findings, None),
        ("--histogram", histogram, None),
        ("-o/--output", output, ALIGNED_CONTENTS),
    ):
        if path:
            check_output(path, force=force, inputs=[aligned, against], option=option, folder=folder)
    report = align.check(aligned, settings=settings)
    print(report)
    if findings:
        report.write_csv(findings)
    if against:
        comparison = align.compare(aligned, against)
        print(comparison)
        if histogram:
            from align.histogram import draw_differences  # loads matplotlib

            draw_differences(comparison, histogram)
            print(f"histogram: {histogram}")
    if output:
        kept = align.drop(aligned, drop or [], output, settings=settings, force=force)
        print(
            f"{output}: {kept.words:,} of {report.words:,} words and {kept.aligned:,} of {report.aligned:,} "
            "utterances kept"
        )
    if report.has_faults:
        raise typer.Exit(DONE_WITH_FAILURES)
