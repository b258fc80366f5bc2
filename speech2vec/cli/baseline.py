"""`speech2vec baseline`: vectors of text from the words of the same corpus."""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from speech2vec.runtime import console
from speech2vec.runtime.config import load_settings
from speech2vec.runtime.output import check_output
from speech2vec.runtime.progress import log, set_up_logging
from speech2vec.vectors.baselines import BaselineSettings, read_sentences, train_baseline
from speech2vec.vectors.word_vectors import write_vectors


class Kind(str, Enum):
    """Which model of text."""

    word2vec = "word2vec"
    fasttext = "fasttext"
    ppmi = "ppmi"


class Objective(str, Enum):
    """What is predicted from what."""

    skipgram = "skipgram"
    cbow = "cbow"


def baseline(
    source: Annotated[
        Path, typer.Argument(help="A store, an ALIGNED folder, an utterances.jsonl or a file of 'utterance_id WORDS'.")
    ],
    output: console.OutputOption,
    kind: Annotated[Kind | None, typer.Option("--kind", help="Which model of text [word2vec].")] = None,
    objective: Annotated[
        Objective | None, typer.Option("--objective", help="Predict neighbours, or from them [skipgram].")
    ] = None,
    vector_size: Annotated[int | None, typer.Option("--vector-size", help="Dimension of the vectors [50].")] = None,
    window: Annotated[int | None, typer.Option("--window", help="Neighbours to either side [3].")] = None,
    min_count: Annotated[int | None, typer.Option("--min-count", help="Rarer words are left out [5].")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Passes over the corpus [20].")] = None,
    binary: Annotated[bool, typer.Option("--binary", help="Write the binary form.")] = False,
    config: console.ConfigOption = None,
    set_: console.SetOption = None,
    seed: console.SeedSettingOption = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Threads; one gives the same vectors every time.")] = 1,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Train a text baseline and write its vectors as a word2vec file."""
    set_up_logging(quiet)
    given = {
        "kind": kind and kind.value,
        "objective": objective and objective.value,
        "vector_size": vector_size,
        "window": window,
        "min_count": min_count,
        "epochs": epochs,
        "seed": seed,
    }
    settings = load_settings(BaselineSettings, config, set_ or (), given=given)
    check_output(output, force=force, inputs=[source, config])
    sentences = read_sentences(source)
    n_words = sum(len(sentence) for sentence in sentences)
    log.info("training %s on %d words of %d utterances", settings.kind, n_words, len(sentences))
    started = time.monotonic()
    vectors = train_baseline(sentences, settings, jobs)
    write_vectors(output, vectors, binary=binary)
    how = (
        settings.kind if settings.kind == "ppmi" else f"{settings.kind} {settings.objective}, {settings.epochs} epochs"
    )
    print(
        f"{output}: {len(vectors):,} words of {vectors.vector_size} dimensions, {how}, window {settings.window}, "
        f"min_count {settings.min_count}, on {n_words:,} words in {time.monotonic() - started:.0f} s"
    )
