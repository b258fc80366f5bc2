"""`speech2vec evaluate` and `speech2vec neighbours`: what word vectors know."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speech2vec import api
from speech2vec.evaluation.scores import EVALUATION_CONTENTS, EVALUATION_FILE, SCORES_FILE
from speech2vec.runtime import console
from speech2vec.runtime.errors import DONE_WITH_FAILURES, UserError
from speech2vec.runtime.output import check_output, claim_output
from speech2vec.runtime.progress import log, set_up_logging
from speech2vec.vectors.word_vectors import read_vectors


def evaluate(
    vectors: Annotated[list[Path], typer.Argument(help="word2vec files, text or binary; any number.")],
    output: console.OutputOption,
    wordsim: Annotated[
        Path | None, typer.Option("--wordsim", help="Folder of benchmarks [the two sets that gensim ships].")
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="The run the vectors come from [the folder a vectors file lies in].")
    ] = None,
    store: Annotated[Path | None, typer.Option("--store", help="The run's store [the one it names].")] = None,
    text: Annotated[
        Path | None, typer.Option("--text", help="Text vectors to compare with [those of the run's transcripts].")
    ] = None,
    min_count: Annotated[
        list[int] | None, typer.Option("--min-count", min=1, help="Rarer words are left out (repeatable) [1 and 5].")
    ] = None,
    resamples: Annotated[int, typer.Option("--resamples", min=100, help="Samples of the bootstrap.")] = 1000,
    seed: console.SeedOption = 0,
    device: console.DeviceOption = console.Device.auto,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Score word vectors on word-similarity benchmarks, beside the same encoder untrained, text and random ones."""
    set_up_logging(quiet)
    inputs = [*vectors, wordsim, run, store, text]
    check_output(output, force=force, inputs=inputs, folder=EVALUATION_CONTENTS)
    evaluation = api.evaluate(
        vectors,
        run=run,
        store=store,
        text=text,
        wordsim=wordsim,
        min_count=min_count,
        resamples=resamples,
        seed=seed,
        device=device.value,
    )
    claim_output(output, force=force, inputs=inputs, folder=EVALUATION_CONTENTS)
    evaluation.save(output)
    print(evaluation)
    print(f"\nwritten: {output / EVALUATION_FILE}, {output / SCORES_FILE}")


def neighbours(
    vectors: Annotated[Path, typer.Argument(help="A word2vec file, text or binary.")],
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help="The words whose neighbours are asked for.")],
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many neighbours.")] = 10,
    quiet: console.QuietOption = False,
) -> None:
    """Print the words with the nearest vectors, by cosine."""
    set_up_logging(quiet)
    loaded = read_vectors(vectors)
    unknown = []
    for word in words:
        try:
            nearest = loaded.neighbours(word, number)
        except UserError as error:
            unknown.append(str(error))
            continue
        print(f"{word}: " + ", ".join(f"{other} {cosine:.3f}" for other, cosine in nearest))
    if len(unknown) == len(words):
        raise UserError("; ".join(unknown))
    for line in unknown:
        log.error("%s", line)
    if unknown:
        raise typer.Exit(DONE_WITH_FAILURES)
