"""`speech2vec train` and `speech2vec export`: from a store to a run, from a run to vectors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from speech2vec import api
from speech2vec.cli.options import CheckpointOption, PresetOption, RunArgument, StoreOption
from speech2vec.runtime import console
from speech2vec.runtime.config import load_settings, setting_values
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.output import check_output
from speech2vec.runtime.progress import log, set_up_logging
from speech2vec.training.distributed import report_once
from speech2vec.training.methods import PUBLISHED
from speech2vec.training.presets import PRESETS, TrainSettings, preset_of, short_settings
from speech2vec.vectors.instances import word_vectors
from speech2vec.vectors.word_vectors import write_vectors


def train(
    store: Annotated[Path, typer.Argument(help="What 'speech2vec features' wrote.")],
    output: console.OutputOption,
    preset: PresetOption = "default",
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Short for --set optimiser.epochs, or METHOD.epochs.")
    ] = None,
    vector_size: Annotated[
        int | None, typer.Option("--vector-size", help="Short for --set model.vector_size, or METHOD.vector_size.")
    ] = None,
    evaluate_every: Annotated[int, typer.Option("--evaluate-every", min=0, help="Epochs; 0 disables evaluation.")] = 5,
    checkpoint_every: Annotated[int, typer.Option("--checkpoint-every", min=1, help="Steps.")] = 500,
    log_every: Annotated[int, typer.Option("--log-every", min=1, help="Steps between points in TensorBoard.")] = 50,
    config: console.ConfigOption = None,
    set_: console.SetOption = None,
    seed: console.SeedSettingOption = None,
    device: console.DeviceOption = console.Device.auto,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
    resume: console.ResumeOption = False,
) -> None:
    """Train on a store: Speech2Vec as published, or by another method; scores are those of held-out speakers."""
    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun started, one reports
    set_up_logging(quiet or not first)
    with report_once():
        chosen = preset_of(PRESETS, preset)
        given = short_settings(setting_values(config, set_ or (), chosen), epochs, vector_size, seed)
        settings = load_settings(TrainSettings, config, set_ or (), chosen, given)
    run = api.train(
        store,
        output,
        preset=preset,
        settings=settings,
        device=device.value,
        evaluate_every=evaluate_every,
        checkpoint_every=checkpoint_every,
        log_every=log_every,
        resume=resume,
        force=force,
        quiet=quiet,
    )
    if first:
        print(run)
        others = [name for name, values in PRESETS.items() if "method" in values]
        if settings.method == PUBLISHED:
            log.info("other methods learn other things from this store, and faster: --preset %s", ", ".join(others))


def export(
    run: RunArgument,
    output: console.OutputOption,
    store: StoreOption = None,
    min_count: Annotated[int, typer.Option("--min-count", min=1, help="Rarer words get no vector.")] = 1,
    binary: Annotated[bool, typer.Option("--binary", help="Write the binary format.")] = False,
    untrained: Annotated[bool, typer.Option("--untrained", help="The control: the encoder before training.")] = False,
    held_out: Annotated[bool, typer.Option("--held-out", help="Of the held-out speakers' words alone.")] = False,
    checkpoint: CheckpointOption = "last",
    device: console.DeviceOption = console.Device.auto,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Write the vectors of words (the mean over the instances of a word) in word2vec format."""
    set_up_logging(quiet)
    check_output(output, force=force, inputs=[run, store])
    loaded = api.load(run, store, device=device.value, trained=not untrained, checkpoint=checkpoint)
    vectors = word_vectors(loaded, min_count, held_out=held_out)
    if not len(vectors.words):
        raise UserError(f"no word occurs {min_count} times or more in {loaded.store.path}: a smaller --min-count helps")
    write_vectors(output, vectors, binary=binary)
    print(f"{output}: {len(vectors.words):,} words, {vectors.vectors.shape[1]} dimensions")
