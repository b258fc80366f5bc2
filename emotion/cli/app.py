"""The program `speech2vec-emotion`: speech-emotion classifiers from acoustic features and word embeddings."""

from __future__ import annotations

import typer

from emotion.cli import evaluate, export, predict, prepare, tables, train
from speech2vec.runtime.console import run_app

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


app.command()(prepare.prepare)


app.command()(train.train)


app.command()(evaluate.evaluate)


app.command()(tables.tables)


app.command()(predict.predict)


app.command()(export.export)


def main() -> None:
    """Entry point of the program."""
    run_app(app)
