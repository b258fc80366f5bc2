"""``speech2vec-emotion train``: a classifier for each fold and seed of a protocol."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

import emotion
from emotion.classifiers import CLASSIFIERS
from emotion.cli import options
from emotion.data.splits import SplitProtocol
from emotion.settings import classifier_settings
from speech2vec.runtime import console
from speech2vec.runtime.progress import log, set_up_logging


class Checkpoint(str, Enum):
    last = "last"
    best = "best"


def train(
    prepared: options.PreparedArgument,
    output: console.OutputOption,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help=f"{', '.join(CLASSIFIERS)}; several joined by +; or package.module:Class.",
        ),
    ] = "voice",
    embeddings: Annotated[
        str | None, typer.Option("--embeddings", help="A word2vec file, random:D, or segments:RUN (with --aligned).")
    ] = None,
    aligned: Annotated[
        Path | None, typer.Option("--aligned", help="Word alignment from speech2vec-align for segments:RUN.")
    ] = None,
    checkpoint: Annotated[
        Checkpoint | None, typer.Option("--checkpoint", help="Which encoder of segments:RUN [default: last].")
    ] = None,
    protocol: options.ProtocolOption = SplitProtocol.speaker_folds,
    folds: options.FoldsOption = 6,
    preset: options.PresetOption = "default",
    seeds: options.SeedsOption = 5,
    seed: console.SeedOption = 0,
    config: console.ConfigOption = None,
    set_: console.SetOption = None,
    jobs: console.JobsOption = 1,
    device: console.DeviceOption = console.Device.auto,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
    resume: console.ResumeOption = False,
) -> None:
    """Train a classifier, test it on unseen speakers, and write its run folder.

    Each fold of the protocol is trained with each seed; --resume trains the missing ones.
    """
    set_up_logging(quiet)
    classifier = emotion.train(
        prepared,
        output,
        model=model,
        embeddings=embeddings,
        aligned=aligned,
        checkpoint=checkpoint and checkpoint.value,
        protocol=protocol,
        folds=folds,
        preset=preset,
        seeds=seeds,
        seed=seed,
        settings=classifier_settings(preset, config, set_ or ()),
        jobs=jobs,
        device=device.value,
        quiet=quiet,
        force=force,
        resume=resume,
    )
    print(emotion.evaluate(classifier))
    log.info("next: speech2vec-emotion evaluate %s, or predict %s AUDIO", output, output)
