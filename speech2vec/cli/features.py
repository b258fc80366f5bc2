"""`speech2vec features` and `speech2vec merge`: from words in time to a feature store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speech2vec.cli.options import PresetOption
from speech2vec.runtime import console
from speech2vec.runtime.config import load_settings
from speech2vec.runtime.errors import DONE_WITH_FAILURES
from speech2vec.runtime.processes import count_jobs, parse_shard
from speech2vec.runtime.progress import set_up_logging


def features(
    aligned: Annotated[Path, typer.Argument(help="What speech2vec-align wrote.")],
    output: console.OutputOption,
    preset: PresetOption = "default",
    config: console.ConfigOption = None,
    set_: console.SetOption = None,
    jobs: console.JobsOption = 0,
    shard: console.ShardOption = None,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
    resume: console.ResumeOption = False,
) -> None:
    """Compute MFCC for every aligned word into a store (docs/mfcc.md has the conventions)."""
    from speech2vec.features.extraction import extract
    from speech2vec.features.mfcc import MfccSettings
    from speech2vec.training.presets import FEATURES, preset_of

    set_up_logging(quiet)
    settings = load_settings(MfccSettings, config, set_ or (), preset_of(FEATURES, preset))
    share = parse_shard(shard) if shard else None
    result = extract(
        aligned,
        output,
        settings,
        jobs=count_jobs(jobs),
        shard=share,
        quiet=quiet,
        force=force,
        resume=resume,
    )
    _tell(result, output, f"shard {shard} of store" if shard else "store")


def merge(
    shards: Annotated[list[Path], typer.Argument(help="The folders that 'features --shard' wrote, all of them.")],
    output: console.OutputOption,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Join the shards of one feature extraction into a store."""
    from speech2vec.features.extraction import merge as merge_shards

    set_up_logging(quiet)
    _tell(merge_shards(shards, output, force), output, "store")


def _tell(result, output: Path, what: str) -> None:  # type: ignore[no-untyped-def]  # its module is heavy
    print(
        f"{what} {output}: {result.n_words:,} words, {result.n_frames:,} frames "
        f"of {result.seconds / 3600:.2f} h of audio; {result.short_words} words shorter than a frame"
    )
    if result.shortened_words:
        print(f"  {result.shortened_words:,} words are longer than max_frames, and end there")
    for failure in result.failed:
        print(f"  not (wholly) used: {failure['utterance_id']}: {failure['reason']} ({failure['detail']})")
    if result.failed:
        raise typer.Exit(DONE_WITH_FAILURES)
