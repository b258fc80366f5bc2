"""``speech2vec-emotion evaluate``: the scores of a run, with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emotion.cli import options
from speech2vec.runtime import console
from speech2vec.runtime.output import check_output
from speech2vec.runtime.progress import log, set_up_logging


def evaluate(
    run: options.RunArgument,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where the report is written; default RUN/evaluation.")
    ] = None,
    draws: Annotated[int, typer.Option("--draws", min=100, help="Bootstrap draws.")] = 2000,
    seed: console.SeedOption = 0,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """WA, UA, macro F1, recall by class and confusion matrix of a run's test utterances.

    Improvised and scripted utterances are reported apart. predictions.csv, which all of it is computed from, lies in
    the run folder.
    """
    from emotion.evaluation.evaluate import evaluate_run, write_evaluation
    from emotion.training.run import Run

    set_up_logging(quiet)
    opened = Run.open(run)
    folder = output or run / "evaluation"
    check_output(folder, force=force, inputs=[run], folder_with=["scores.json", "report.txt"])
    evaluation = evaluate_run(opened, draws, seed)
    write_evaluation(evaluation, folder)
    print(evaluation.text())
    log.info("written to %s: report.txt, scores.json, confusion.png", folder)
