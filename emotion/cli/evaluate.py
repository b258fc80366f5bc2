"""``speech2vec-emotion evaluate``: the scores of a run, with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import emotion
from emotion.cli import options
from speech2vec.runtime import console
from speech2vec.runtime.progress import log, set_up_logging


def evaluate(
    run: options.RunArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder for the report; default RUN/evaluation, or RUN/evaluation-CORPUS."),
    ] = None,
    on: Annotated[
        Path | None, typer.Option("--on", help="Another corpus to score the run on: output of 'prepare'.")
    ] = None,
    draws: Annotated[int, typer.Option("--draws", min=100, help="Number of bootstrap draws.")] = 2000,
    seed: console.SeedOption = 0,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """WA, UA, macro F1, recall per class and confusion matrix of a run's test utterances, or of another corpus.

    Improvised and scripted utterances are also scored separately. Without --on, all scores are computed from
    RUN/predictions.csv. With it, all folds and seeds together classify the other corpus; its labels are matched by
    name.
    """
    set_up_logging(quiet)
    folder = output or (run / "evaluation" if on is None else run / f"evaluation-{on.resolve().name}")
    print(emotion.evaluate(run, folder, on=on, draws=draws, seed=seed, force=force))
    log.info("written to %s: report.txt, scores.json, confusion.png", folder)
