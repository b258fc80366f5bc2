"""``speech2vec-emotion train``: a classifier for each fold and seed of a protocol."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from emotion.cli import options
from emotion.data.splits import SplitProtocol
from speech2vec.runtime import console
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.output import claim_output
from speech2vec.runtime.processes import count_jobs
from speech2vec.runtime.progress import log, set_up_logging


class ModelName(str, Enum):
    acoustic = "acoustic"
    embedding = "embedding"
    dual = "dual"


class Checkpoint(str, Enum):
    last = "last"
    best = "best"


def train(
    prepared: options.PreparedArgument,
    output: console.OutputOption,
    model: Annotated[ModelName, typer.Option("--model", help="Audio only, words only, or both.")] = ModelName.acoustic,
    embeddings: Annotated[
        str | None, typer.Option("--embeddings", help="A word2vec file, random:D, or segments:RUN (with --aligned).")
    ] = None,
    aligned: Annotated[
        Path | None, typer.Option("--aligned", help="Words in time for segments:RUN, from speech2vec-align.")
    ] = None,
    checkpoint: Annotated[
        Checkpoint | None, typer.Option("--checkpoint", help="Which encoder of segments:RUN [last, as of its export].")
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
    """Train a classifier, test it by speaker, and write its run folder.

    Each fold of the protocol is trained with each seed; --resume trains what is missing.
    """
    from emotion.data.dataset import Prepared
    from emotion.evaluation.evaluate import evaluate_run
    from emotion.models.word_vectors import is_segments, source_path
    from emotion.settings import classifier_settings
    from emotion.training.folds import train_members, write_predictions
    from emotion.training.plan import Plan, check_plan, continue_run, start_run, warn_of_features
    from emotion.training.run import CONFIG_FILE, RUN_FILE
    from speech2vec.runtime.devices import choose_device
    from speech2vec.runtime.files import only_writer

    set_up_logging(quiet)
    settings = classifier_settings(preset, config, set_ or [])
    corpus = Prepared.open(prepared)
    if checkpoint is not None and not is_segments(embeddings):
        raise UserError("--checkpoint chooses the encoder of --embeddings segments:RUN: give the two together")
    checkpoint = checkpoint or Checkpoint.last
    plan = Plan(
        model=model.value,
        protocol=protocol,
        embeddings=embeddings,
        seeds=range(seed, seed + seeds),
        n_folds=folds,
        aligned=aligned,
        checkpoint=checkpoint.value,
    )
    splits = check_plan(corpus, plan)
    chosen, n_jobs = choose_device(device.value), count_jobs(jobs)
    if plan.model != "embedding":
        warn_of_features(corpus, preset, settings)
    with only_writer(output):
        claim_output(
            output,
            force=force,
            resume=resume,
            inputs=[prepared, aligned, source_path(embeddings)],
            folder_with=[RUN_FILE, CONFIG_FILE],
        )
        if resume and (output / RUN_FILE).exists():
            run = continue_run(corpus, output, plan, settings)
        else:
            run = start_run(corpus, output, plan, settings, splits, jobs=n_jobs)
        train_members(run, corpus, jobs=n_jobs, device=chosen, quiet=quiet)
        write_predictions(run, corpus)
    evaluation = evaluate_run(run)
    print(evaluation.text())
    log.info("next: speech2vec-emotion evaluate %s, or predict %s AUDIO", output, output)
