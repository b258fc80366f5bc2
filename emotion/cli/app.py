"""The program `speech2vec-emotion`: speech emotion classifiers from acoustic features and word embeddings."""

from __future__ import annotations

import typer

from emotion.cli import evaluate, export, predict, prepare, tables, train
from speech2vec.runtime.console import run_app

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)
for command in (
    prepare.prepare,
    train.train,
    evaluate.evaluate,
    tables.tables,
    predict.predict,
    export.export,
):
    app.command()(command)


def main() -> None:
    """Entry point of the program."""
    run_app(app)
