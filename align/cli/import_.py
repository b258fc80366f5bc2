"""``speech2vec-align import``: import alignments made by other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import align
from align.cli.finish import finish
from speech2vec.runtime import console
from speech2vec.runtime.config import load_settings
from speech2vec.runtime.progress import set_up_logging


def import_(
    corpus: Annotated[
        Path,
        typer.Argument(help="A folder in LibriSpeech's layout, audio with .txt or .lab files, or an utterances.jsonl."),
    ],
    alignments: Annotated[Path, typer.Option("--alignments", help="A folder of alignments, or one file.")],
    output: console.OutputOption,
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="textgrid, alignment.txt, ctm, csv, mfa-json, wdseg or whisper; by default recognised by content.",
        ),
    ] = None,
    tier: Annotated[str | None, typer.Option("--tier", help="The tier of the TextGrids that holds the words.")] = None,
    config: console.ConfigOption = None,
    set_: console.SetOption = None,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Import alignments: TextGrid, .alignment.txt, CTM, CSV, MFA's JSON, wdseg, Whisper's JSON."""
    set_up_logging(quiet)
    given = {"format": format_name, "tier": tier}
    settings = load_settings(align.ImportSettings, config, set_ or (), given=given)
    finish(align.import_alignments(corpus, alignments, output, settings=settings, force=force, quiet=quiet))
