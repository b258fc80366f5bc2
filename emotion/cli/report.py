"""``speech2vec-emotion report``: what a run can do, as a page to read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import emotion
from speech2vec.runtime import console
from speech2vec.runtime.progress import set_up_logging


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Output of 'train'; the page is about the first.")
    ],
    output: console.OutputOption,
    draws: Annotated[int, typer.Option("--draws", min=100, help="Number of bootstrap draws.")] = 2000,
    seed: console.SeedOption = 0,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Write one self-contained page about a run: how good it is, what it confuses, and whether its probabilities hold.

    Beside it stands the control of every run, a linear SVM on the same folds, and the other runs, if any are given.
    """
    from emotion.reporting.text import statements  # imports torch, which --help need not wait for

    set_up_logging(quiet)
    found = emotion.report(runs[0], output, others=runs[1:], draws=draws, seed=seed, force=force)
    if caution := found.own.run.data_warning:
        print(f"{found.own.run.corpus}: {caution}")
    for sentence in statements(found):
        print(sentence)
    print(f"written: {output} ({output.stat().st_size / 1e6:.1f} MB; open it in a browser, it needs no network)")
