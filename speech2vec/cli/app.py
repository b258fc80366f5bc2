"""The program `speech2vec`: features, training, export and evaluation of word embeddings learned from sound."""

from __future__ import annotations

import os

import typer

from speech2vec.cli import baseline, download, embed, evaluate, features, report, train
from speech2vec.cli import probes as analyse
from speech2vec.runtime.console import run_app

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


for command in (
    download.download,
    features.features,
    features.merge,
    baseline.baseline,
    train.train,
    train.export,
    embed.embed,
    evaluate.evaluate,
    evaluate.neighbours,
    analyse.same_different,
    analyse.homophones,
    report.report,
    report.compare,
):
    app.command()(command)


def main() -> None:
    """Entry point of the program."""
    # Before torch is loaded: its threads must not spin while they wait, for the recurrence has threads of its own.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    run_app(app)
