"""The program `speech2vec-align`."""

from __future__ import annotations

import typer

from align.cli.check import check
from align.cli.export import export
from align.cli.import_ import import_
from align.cli.merge import merge
from align.cli.run import run
from speech2vec.runtime import console

app = typer.Typer(
    name="speech2vec-align",
    help="Forced alignment: audio and transcripts in, words with times out; every utterance is aligned or reported.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run)
app.command("import")(import_)
app.command()(export)
app.command()(check)
app.command()(merge)


def main() -> None:
    """Run the program."""
    console.run_app(app)
