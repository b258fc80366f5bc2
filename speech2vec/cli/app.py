"""The program `speech2vec`: features, training, export and evaluation of word embeddings learned from sound."""

from __future__ import annotations

import os

from speech2vec.runtime.command_group import LazyGroup
from speech2vec.runtime.console import run_app

app = LazyGroup(
    help="Features, training, export and evaluation of word embeddings learned from sound.",
    functions={
        "download": ("speech2vec.cli.download:download", "Download a public corpus, benchmark or set of vectors."),
        "features": ("speech2vec.cli.features:features", "Compute MFCC of every aligned word into a store."),
        "merge": ("speech2vec.cli.features:merge", "Join the shards of one feature extraction into a store."),
        "baseline": ("speech2vec.cli.baseline:baseline", "Train Word2Vec or fastText on the same transcripts."),
        "train": ("speech2vec.cli.train:train", "Train Speech2Vec on a store."),
        "export": ("speech2vec.cli.train:export", "Write the vectors of a run's words in word2vec format."),
        "embed": ("speech2vec.cli.embed:embed", "Write a vector for every spoken word of new recordings."),
        "evaluate": ("speech2vec.cli.evaluate:evaluate", "Word similarity of vectors, beside its controls."),
        "neighbours": ("speech2vec.cli.evaluate:neighbours", "Print the words with the nearest vectors."),
        "same-different": ("speech2vec.cli.probes:same_different", "Does a run tell spoken words apart?"),
        "homophones": ("speech2vec.cli.probes:homophones", "Do words that sound alike have similar vectors?"),
        "report": ("speech2vec.cli.report:report", "Write one self-contained page about a run."),
        "compare": ("speech2vec.cli.report:compare", "Write one page that compares several runs."),
        "doctor": ("speech2vec.cli.doctor:doctor", "Say what is installed and what is missing."),
    },
)


def main() -> None:
    """Entry point of the program."""
    # Before torch is loaded: its threads must not spin while they wait, for the recurrence has threads of its own.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    run_app(app)
