"""``speech2vec-align run``: align a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import align
from align.cli.finish import finish
from speech2vec.runtime import console
from speech2vec.runtime.config import load_settings
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import set_up_logging


def run(
    corpus: Annotated[
        Path,
        typer.Argument(help="A folder in LibriSpeech's layout, audio with .txt or .lab files, or an utterances.jsonl."),
    ],
    output: console.OutputOption,
    aligner: Annotated[
        str, typer.Option("--aligner", help="pocketsphinx, mfa, ctc, or your own: package.module:Class.")
    ] = "pocketsphinx",
    mfa_train: Annotated[
        bool, typer.Option("--mfa-train", help="With --aligner mfa: train the model on the corpus (train=true).")
    ] = False,
    shard: console.ShardOption = None,
    config: console.ConfigOption = None,
    set_: console.SetOption = None,
    jobs: console.JobsOption = 0,
    device: console.DeviceOption = console.Device.auto,
    force: console.ForceOption = False,
    resume: console.ResumeOption = False,
    quiet: console.QuietOption = False,
) -> None:
    """Align a corpus: find the start and end of each word of each utterance."""
    set_up_logging(quiet)
    if mfa_train and aligner != "mfa":
        raise UserError("--mfa-train needs --aligner mfa")
    kind = align.load_aligner(aligner).settings_type
    report = align.run(
        corpus,
        output,
        aligner,
        settings=load_settings(kind, config, set_ or (), given={"train": mfa_train or None}),
        shard=shard,
        jobs=jobs,
        device=device.value,
        force=force,
        resume=resume,
        quiet=quiet,
    )
    finish(report)
