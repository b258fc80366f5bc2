"""The program `speech2vec-align`: forced alignment, and what is done with alignments."""

from __future__ import annotations

from speech2vec.runtime.command_group import LazyGroup
from speech2vec.runtime.console import run_app

app = LazyGroup(
    help="Forced alignment: audio and transcripts in, words with times out; every failure is reported.",
    functions={
        "run": ("align.cli.run:run", "Align a corpus: words in time for every utterance."),
        "import": ("align.cli.import_:import_", "Read alignments that another program made."),
        "export": ("align.cli.export:export", "Write an alignment as TextGrid, CTM or CSV."),
        "check": ("align.cli.check:check", "Check an alignment, or compare it with another."),
        "merge": ("align.cli.merge:merge", "Join the shards of one alignment."),
    },
)


def main() -> None:
    """Entry point of the program."""
    run_app(app)
