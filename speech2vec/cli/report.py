"""`speech2vec report` and `speech2vec compare`: what runs learned, as a page to read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speech2vec import api
from speech2vec.cli.options import CheckpointOption, StoreOption, WarpedOption, WordsimOption
from speech2vec.reporting.text import statements
from speech2vec.runtime import console
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.output import check_output
from speech2vec.runtime.progress import set_up_logging


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="What 'speech2vec train' wrote; the page is about the first.")
    ],
    output: console.OutputOption,
    store: StoreOption = None,
    checkpoint: CheckpointOption = "last",
    wordsim: WordsimOption = None,
    warped: WarpedOption = 300,
    map_words: Annotated[int, typer.Option("--map-words", min=10, help="Most frequent words on the map.")] = 1_000,
    words: Annotated[int, typer.Option("--words", min=2, max=65_536, help="Words one can search for.")] = 5_000,
    audio: Annotated[bool, typer.Option("--audio/--no-audio", help="Recordings of words to listen to.")] = True,
    aligned: Annotated[
        Path | None, typer.Option("--aligned", help="Where the recordings are listed [what the store was made from].")
    ] = None,
    seed: console.SeedOption = 0,
    device: console.DeviceOption = console.Device.auto,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Write one self-contained page about a run: its scores with their controls, and a map of its words.

    With further runs, such as those of other methods, their scores stand beside it.
    """
    set_up_logging(quiet)
    check_output(output, force=force, inputs=[*runs, store, wordsim, aligned])
    found = api.report(
        runs[0],
        output,
        others=runs[1:],
        store=store,
        checkpoint=checkpoint,
        wordsim=wordsim,
        dtw_instances=warped,
        map_words=map_words,
        searchable_words=words,
        seed=seed,
        device=device.value,
        quiet=quiet,
        audio=audio,
        aligned=aligned,
    )
    if found.corpus.synthetic:
        print("These figures are from SYNTHETIC speech.")
    for sentence in statements(found):
        print(sentence)
    print(f"written: {output} ({output.stat().st_size / 1e6:.1f} MB; open it in a browser, it needs no network)")


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="What 'speech2vec train' wrote; two or more.")],
    output: console.OutputOption,
    checkpoint: CheckpointOption = "last",
    wordsim: WordsimOption = None,
    seed: console.SeedOption = 0,
    device: console.DeviceOption = console.Device.auto,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Write one self-contained page that sets several runs side by side."""
    set_up_logging(quiet)
    if len(runs) < 2:
        raise UserError("compare takes two runs or more; 'speech2vec report RUN' is about one")
    check_output(output, force=force, inputs=[*runs, wordsim])
    api.compare(runs, output, checkpoint=checkpoint, wordsim=wordsim, seed=seed, device=device.value, quiet=quiet)
    print(f"written: {output} ({len(runs)} runs, {output.stat().st_size / 1e6:.1f} MB)")
