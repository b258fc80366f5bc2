"""``speech2vec-emotion predict``: class probabilities of recordings."""

from __future__ import annotations

import csv
import io
import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import emotion
from emotion.cli import options
from speech2vec.runtime import console
from speech2vec.runtime.errors import DONE_WITH_FAILURES, UserError
from speech2vec.runtime.files import atomic_path
from speech2vec.runtime.guarded import guarded_cell
from speech2vec.runtime.output import check_output
from speech2vec.runtime.progress import log, set_up_logging

if TYPE_CHECKING:
    from emotion.prediction.predict import PredictionTable
    from speech2vec.corpus.readers import Problem


class Format(str, Enum):
    table = "table"
    csv = "csv"
    json = "json"


def predict(
    run: options.RunArgument,
    recordings: Annotated[list[Path], typer.Argument(metavar="AUDIO|FOLDER...", help="What to classify.")],
    text: Annotated[
        str | None, typer.Option("--text", help="Transcript; otherwise a .txt or .lab file beside it, or recognised.")
    ] = None,
    chunk: Annotated[str | None, typer.Option("--chunk", help="Split recordings: 'vad' or seconds.")] = None,
    channel: Annotated[
        str | None, typer.Option("--channel", help="A channel from 0, or 'all'; default is their mean.")
    ] = None,
    transcriber: Annotated[
        str, typer.Option("--transcriber", help="What recognises missing words: pocketsphinx or whisper:FOLDER.")
    ] = "pocketsphinx",
    format_: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.table,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A file; default is standard output.")] = None,
    device: console.DeviceOption = console.Device.auto,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Class probabilities of each recording, or of each of its chunks and channels."""
    set_up_logging(quiet)
    classifier = emotion.load(run, device=device.value)
    if output is not None:
        check_output(output, force=force, inputs=[run, *recordings])
    found = classifier.predict(recordings, text=text, chunk=chunk, channel=channel, transcriber=transcriber)
    for problem in found.problems:
        log.error("error: %s", _line(problem))
    if not found.predictions:
        raise UserError("nothing could be classified")
    result = _format(found, format_)
    if output is None:
        print(result)
    else:
        with atomic_path(output) as temporary:
            temporary.write_text(result + "\n", encoding="utf-8")
    if found.problems:
        raise typer.Exit(DONE_WITH_FAILURES)


def _line(problem: Problem) -> str:
    """The problem, preceded by the name of its recording or part, once."""
    path, _, reason = problem.detail.partition(": ")
    return f"{problem.utterance_id}: {reason if problem.utterance_id.startswith(path) and reason else problem.detail}"


def _format(found: PredictionTable, format_: Format) -> str:
    if format_ is Format.table:
        return str(found)
    if format_ is Format.json:
        return json.dumps(found.to_dict()["predictions"], indent=2, ensure_ascii=False)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(map(guarded_cell, row) for row in found.rows())
    return out.getvalue().rstrip("\n")
