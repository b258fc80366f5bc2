"""``speech2vec-align run``: a corpus becomes words in time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from align.cli.summary import summarise
from speech2vec.runtime import console
from speech2vec.runtime.output import check_output
from speech2vec.runtime.processes import count_jobs, parse_shard
from speech2vec.runtime.progress import log, set_up_logging

if TYPE_CHECKING:
    from align.base import Aligner


def run(
    corpus: Annotated[
        Path, typer.Argument(help="A folder in LibriSpeech's layout, audio beside .txt/.lab, or an utterances.jsonl.")
    ],
    output: console.OutputOption,
    aligner: Annotated[
        str, typer.Option("--aligner", help="pocketsphinx, mfa, ctc, or your own: package.module:Class.")
    ] = "pocketsphinx",
    mfa_train: Annotated[
        bool, typer.Option("--mfa-train", help="With --aligner mfa: learn the model from the corpus (train=true).")
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
    """Align speech with its transcripts: each word of each utterance gets its time."""
    from align.base import AlignmentError, load_aligner, settings_type
    from align.run import WRITTEN, align_corpus, refuse_composite, refuse_empty, shard_of
    from speech2vec.corpus.readers import read_corpus
    from speech2vec.runtime.config import load_settings

    set_up_logging(quiet)
    if mfa_train and aligner != "mfa":
        raise AlignmentError("--mfa-train goes with --aligner mfa")
    kind = load_aligner(aligner)
    settings = load_settings(settings_type(kind), config, set_ or (), given={"train": mfa_train or None})
    chosen = _device_for(kind, aligner, device)
    asked = read_corpus(corpus)
    refuse_empty(asked, corpus)
    refuse_composite(asked)
    if shard is not None:
        asked = shard_of(asked, *parse_shard(shard))
    check_output(output, force=force, resume=resume, inputs=[corpus], folder_with=WRITTEN)
    report = align_corpus(
        asked,
        output,
        aligner,
        settings,
        jobs=count_jobs(jobs),
        device=chosen,
        shard=shard,
        quiet=quiet,
        force=force,
    )
    summarise(report, output)


def _device_for(kind: type[Aligner], name: str, asked: console.Device) -> str:
    """cpu, or cuda where it is there; torch is loaded only for aligners that compute with it."""
    from align.base import flag

    if flag(kind, "takes_device"):
        from speech2vec.runtime.devices import choose_device

        return choose_device(asked.value).type
    if asked is console.Device.cuda:
        log.warning("--device cuda changes nothing: the aligner %s computes on the CPU", name)
    return "cpu"
