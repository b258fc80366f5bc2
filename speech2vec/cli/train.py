"""`speech2vec train` and `speech2vec export`: from a store to a run, from a run to vectors."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from speech2vec.cli.options import CheckpointOption, PresetOption, RunArgument, StoreOption
from speech2vec.runtime import console
from speech2vec.runtime.config import load_settings
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.output import check_output, claim_output
from speech2vec.runtime.progress import log, set_up_logging

_FILLS_A_GPU = 16_384  # pairs: enough blocks of sequences for each multiprocessor of a large card


def train(
    store: Annotated[Path, typer.Argument(help="What 'speech2vec features' wrote.")],
    output: console.OutputOption,
    preset: PresetOption = "default",
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Short for --set optimiser.epochs.")] = None,
    vector_size: Annotated[int | None, typer.Option("--vector-size", help="Short for --set model.vector_size.")] = None,
    evaluate_every: Annotated[int, typer.Option("--evaluate-every", min=0, help="Epochs; 0 is never.")] = 5,
    checkpoint_every: Annotated[int, typer.Option("--checkpoint-every", min=1, help="Steps.")] = 500,
    log_every: Annotated[int, typer.Option("--log-every", min=1, help="Steps to a point in TensorBoard.")] = 50,
    config: console.ConfigOption = None,
    set_: console.SetOption = None,
    seed: console.SeedSettingOption = None,
    device: console.DeviceOption = console.Device.auto,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
    resume: console.ResumeOption = False,
) -> None:
    """Train Speech2Vec on a store; loss and controls on held-out speakers after every epoch."""
    from speech2vec.features.store import Store
    from speech2vec.runtime.devices import choose_device
    from speech2vec.runtime.files import only_writer
    from speech2vec.training.distributed import init_distributed, local_device, report_once
    from speech2vec.training.presets import PRESETS, TrainSettings, other_features, preset_of
    from speech2vec.training.run import RUN_MARKS
    from speech2vec.training.trainer import TrainOptions
    from speech2vec.training.trainer import train as run_training

    chosen_preset = preset_of(PRESETS, preset)
    given = {"optimiser.epochs": epochs, "model.vector_size": vector_size, "seed": seed}
    with report_once(), contextlib.ExitStack() as until_done:
        settings = load_settings(TrainSettings, config, set_ or (), chosen_preset, given)
        opened = Store.open(store)
        chosen = local_device(choose_device(device.value))
        with init_distributed(chosen) as world:
            quiet = quiet or not world.first
            set_up_logging(quiet)
            if world.first:
                until_done.enter_context(only_writer(output))
                check_output(output, force=force, resume=resume, inputs=[store], folder_with=RUN_MARKS)
                if others := other_features(preset, opened.settings):
                    log.warning(
                        "preset %s has features with %s: 'speech2vec features ALIGNED -o STORE --preset %s' makes them",
                        *(preset, ", ".join(others), preset),
                    )
                small = settings.optimiser.batch_size < _FILLS_A_GPU * world.size
                if chosen.type == "cuda" and preset == "default" and small:
                    log.info(
                        "batches of %s pairs leave a GPU waiting; --preset large-batch is for much speech on a GPU",
                        f"{settings.optimiser.batch_size:,}",
                    )
            monitor = None
            if evaluate_every and world.first:
                from speech2vec.evaluation.monitor import Monitor

                monitor = Monitor(evaluate_every)
            options = TrainOptions(
                resume=resume, force=force, checkpoint_every=checkpoint_every, log_every=log_every, quiet=quiet
            )
            trained = run_training(opened, output, settings, chosen, options, monitor, world)
    if world.first:
        _print_result(output, trained.metrics, opened.synthetic)


def _print_result(run: Path, metrics: list[dict[str, Any]], synthetic: bool) -> None:
    first, last = metrics[0], metrics[-1]
    print(
        f"run {run}: {last['epoch']} epochs, held-out loss {first['dev_loss']:.4f} -> {last['dev_loss']:.4f} "
        f"on {'synthetic speech' if synthetic else 'speech'} (z shuffled {last['dev_shuffled']:.4f}, "
        f"within the utterance {last['dev_shuffled_within']:.4f}, "
        f"previous frame {last['dev_previous_frame']:.4f}, mean frame {last['dev_mean_frame']:.4f})"
    )
    for name, label in (("same_different_ap", "all pairs"), ("same_different_ap_cross_speaker", "across speakers")):
        if name in last and name in first:
            print(f"  same-different average precision, {label}: untrained {first[name]:.4f} -> {last[name]:.4f}")


def export(
    run: RunArgument,
    output: console.OutputOption,
    store: StoreOption = None,
    min_count: Annotated[int, typer.Option("--min-count", min=1, help="Rarer words get no vector.")] = 1,
    binary: Annotated[bool, typer.Option("--binary", help="word2vec's binary format instead of text.")] = False,
    untrained: Annotated[bool, typer.Option("--untrained", help="The encoder at its initial weights.")] = False,
    checkpoint: CheckpointOption = "last",
    device: console.DeviceOption = console.Device.auto,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Write the words' vectors (mean over a word's instances) in word2vec's format."""
    from speech2vec.training.run import Run
    from speech2vec.vectors.instances import word_vectors
    from speech2vec.vectors.word_vectors import write_vectors

    set_up_logging(quiet)
    claim_output(output, force=force, inputs=[run, store])
    loaded = Run.load(run, store, device=device.value, trained=not untrained, checkpoint=checkpoint)
    vectors = word_vectors(loaded, min_count)
    if not len(vectors.words):
        raise UserError(f"no word occurs {min_count} times or more in {loaded.store.path}: a smaller --min-count helps")
    write_vectors(output, vectors, binary=binary)
    print(f"{output}: {len(vectors.words):,} words, {vectors.vectors.shape[1]} dimensions")
