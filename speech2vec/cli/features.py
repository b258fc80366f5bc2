"""`speech2vec features` and `speech2vec merge`: from words in time to a feature store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from speech2vec import api
from speech2vec.cli.options import PresetOption
from speech2vec.features.extraction import merge as merge_shards
from speech2vec.features.frontend import PretrainedSettings
from speech2vec.features.mfcc import MfccSettings
from speech2vec.features.parts import Extraction
from speech2vec.runtime import console
from speech2vec.runtime.config import load_settings
from speech2vec.runtime.errors import DONE_WITH_FAILURES
from speech2vec.runtime.processes import parse_shard
from speech2vec.runtime.progress import set_up_logging
from speech2vec.training.presets import FEATURES, preset_of


def features(
    aligned: Annotated[Path, typer.Argument(help="What speech2vec-align wrote.")],
    output: console.OutputOption,
    preset: PresetOption = "default",
    config: console.ConfigOption = None,
    set_: console.SetOption = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="A pretrained audio encoder whose frames replace the MFCC: a folder, or a name in the cache of "
            "Hugging Face (docs/pretrained.md)."
        ),
    ] = None,
    jobs: console.JobsOption = 0,
    shard: console.ShardOption = None,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
    resume: console.ResumeOption = False,
) -> None:
    """Compute the MFCC of every aligned word into a store (docs/mfcc.md gives the conventions)."""
    set_up_logging(quiet)
    kind: Any = MfccSettings if encoder is None else PretrainedSettings
    result = api.extract(
        aligned,
        output,
        settings=load_settings(kind, config, set_ or (), preset_of(FEATURES, preset), {"encoder": encoder}),
        jobs=jobs,
        shard=parse_shard(shard) if shard else None,
        resume=resume,
        force=force,
        quiet=quiet,
    )
    _print_result(f"shard {shard} of store {output}" if shard else f"store {output}", result)


def merge(
    shards: Annotated[list[Path], typer.Argument(help="The folders that 'features --shard' wrote, all of them.")],
    output: console.OutputOption,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Join the shards of one feature extraction into a store."""
    set_up_logging(quiet)
    _print_result(f"store {output}", merge_shards(shards, output, force=force))


def _print_result(title: str, result: Extraction) -> None:
    print(f"{title}: {result}")
    if result.failed:
        raise typer.Exit(DONE_WITH_FAILURES)
