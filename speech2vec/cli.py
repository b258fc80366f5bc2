"""The program `speech2vec`: features, training, export and evaluation of word embeddings learned from sound."""

from __future__ import annotations

import typer

from speech2vec.commands import features, train
from speech2vec.console import run_app

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)
app.command()(features.features)
app.command()(features.merge)
app.command()(train.train)
app.command()(train.export)


def main() -> None:
    """Entry point of the program."""
    run_app(app)
