"""The program `speech2vec-emotion`: speech emotion classifiers from acoustic features and word embeddings."""

from __future__ import annotations

from speech2vec.runtime.command_group import LazyGroup
from speech2vec.runtime.console import run_app

app = LazyGroup(
    help="Speech-emotion classifiers from acoustic features and word embeddings.",
    functions={
        "prepare": ("emotion.cli.prepare:prepare", "Read a corpus: labels, speakers and acoustic features."),
        "train": ("emotion.cli.train:train", "Train a classifier on speaker-independent folds."),
        "evaluate": ("emotion.cli.evaluate:evaluate", "Scores of a run, with intervals over speakers."),
        "report": ("emotion.cli.report:report", "Write a page about a run: scores, confusions, reliability."),
        "tables": ("emotion.cli.tables:tables", "Train and compare all systems of the paper's tables."),
        "predict": ("emotion.cli.predict:predict", "Predict the emotion of new recordings."),
        "export": ("emotion.cli.export:export", "Write a run as one file for deployment."),
    },
)


def main() -> None:
    """Entry point of the program."""
    run_app(app)
