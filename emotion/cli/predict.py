"""``speech2vec-emotion predict``: class probabilities of recordings."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emotion.cli import options
from speech2vec.runtime import console
from speech2vec.runtime.errors import DONE_WITH_FAILURES, UserError
from speech2vec.runtime.output import claim_output
from speech2vec.runtime.progress import log, set_up_logging

if TYPE_CHECKING:
    from emotion.prediction.predict import Prediction
    from emotion.training.run import Run
    from speech2vec.corpus.readers import Problem


class Format(str, Enum):
    table = "table"
    csv = "csv"
    json = "json"


def predict(
    run: options.RunArgument,
    recordings: Annotated[list[Path], typer.Argument(metavar="AUDIO|FOLDER...", help="What is to be classified.")],
    text: Annotated[
        str | None, typer.Option("--text", help="What was said; else .txt or .lab beside it, or recognised.")
    ] = None,
    chunk: Annotated[str | None, typer.Option("--chunk", help="Cut long recordings: 'vad' or seconds.")] = None,
    channel: Annotated[
        str | None, typer.Option("--channel", help="A channel from 0, or 'all'; else their mean.")
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="How the result is written.")] = Format.table,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A file; standard output if left out.")] = None,
    device: console.DeviceOption = console.Device.auto,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Class probabilities of each recording, or of each of its chunks and channels."""
    from emotion.prediction.ensemble import load_ensemble
    from emotion.prediction.predict import predict as predict_utterances
    from emotion.prediction.recordings import recordings as find_recordings
    from emotion.training.run import Run
    from speech2vec.runtime.devices import choose_device
    from speech2vec.runtime.files import atomic_path

    set_up_logging(quiet)
    opened = Run.open(run)
    chosen = choose_device(device.value)
    if output is not None:
        claim_output(output, force=force, inputs=[run, *recordings])
    if text is not None and not opened.uses_text:
        log.warning("--text changes nothing: the %s model goes by the sound alone", opened.model_name)
    if opened.data_warning:
        log.warning("trained on %s: %s", opened.corpus, opened.data_warning)
    utterances, unusable = find_recordings(recordings, text, chunk, channel)
    predictions, problems = predict_utterances(opened, load_ensemble(opened, chosen), utterances)
    problems = unusable + problems
    for problem in problems:
        log.error("error: %s", _line(problem))
    if not predictions:
        raise UserError("nothing could be classified")
    result = render(predictions, opened, format_)
    if output is None:
        print(result)
    else:
        with atomic_path(output) as temporary:
            temporary.write_text(result + "\n", encoding="utf-8")
    if problems:
        raise typer.Exit(DONE_WITH_FAILURES)


def _line(problem: Problem) -> str:
    """The problem with the name of its recording, or of the part of it, in front, once."""
    path, _, reason = problem.detail.partition(": ")
    return f"{problem.utterance_id}: {reason if problem.utterance_id.startswith(path) and reason else problem.detail}"


def render(predictions: Sequence[Prediction], run: Run, format_: Format) -> str:
    """Predictions as text: aligned columns, CSV or JSON; with the words, where the model takes any.

    CSV and JSON name the corpus of training; the table does where it was not natural speech (`Run.data_warning`).
    """
    with_text = any(p.text is not None for p in predictions)
    with_corpus = format_ is Format.csv or bool(run.data_warning)
    if format_ is Format.json:
        rows = [
            {
                "audio": str(p.audio), "start": round(p.start, 3), "end": round(p.end, 3), "channel": p.channel,
                "label": p.label, "probabilities": {label: round(p.probabilities[label], 6) for label in run.labels},
                **({"text": p.text} if with_text else {}),
                "trained_on": run.corpus,
            }
            for p in predictions
        ]  # fmt: skip
        return json.dumps(rows, indent=2, ensure_ascii=False)
    more = [*(["text"] if with_text else []), *(["trained_on"] if with_corpus else [])]
    header = ["audio", "start", "end", "channel", "label", *run.labels, *more]
    lines = [
        [
            str(p.audio), f"{p.start:.2f}", f"{p.end:.2f}", "" if p.channel is None else str(p.channel), p.label,
            *(f"{p.probabilities[label]:.4f}" for label in run.labels),
            *([p.text or ""] if with_text else []), *([run.corpus] if with_corpus else []),
        ]
        for p in predictions
    ]  # fmt: skip
    if format_ is Format.csv:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([header, *lines])
        return out.getvalue().rstrip("\n")
    widths = [max(len(row[i]) for row in (header, *lines)) for i in range(len(header))]
    return "\n".join(
        "  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in (header, *lines)
    )
