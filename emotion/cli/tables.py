"""``speech2vec-emotion tables``: the paper's Tables 1 to 3 on a prepared corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from emotion.cli import options
from emotion.data.splits import SplitProtocol
from speech2vec.runtime import console
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.output import claim_output
from speech2vec.runtime.processes import count_jobs
from speech2vec.runtime.progress import Tracker, log, set_up_logging

_VECTORS_HELP = "SIZE=FILE, for one 50=vectors.txt (repeatable)."


def tables(
    prepared: options.PreparedArgument,
    output: console.OutputOption,
    speech_embeddings: Annotated[list[str] | None, typer.Option("--speech-embeddings", help=_VECTORS_HELP)] = None,
    word_embeddings: Annotated[list[str] | None, typer.Option("--word-embeddings", help=_VECTORS_HELP)] = None,
    extra_embeddings: Annotated[
        list[str] | None, typer.Option("--extra-embeddings", help="One more row a size: SIZE=FILE (repeatable).")
    ] = None,
    protocol: options.ProtocolOption = SplitProtocol.session5,
    folds: options.FoldsOption = 6,
    preset: options.PresetOption = "paper",
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
    """Train and print Tables 1 to 3, with published figures and random vectors beside; --resume goes on row by row."""
    from emotion.data.dataset import Prepared
    from emotion.evaluation.table_rows import check_systems, table_rows, train_systems
    from emotion.evaluation.tables import make_tables, write_tables
    from emotion.settings import classifier_settings
    from emotion.training.plan import warn_of_features
    from speech2vec.runtime.devices import choose_device
    from speech2vec.runtime.files import only_writer

    set_up_logging(quiet)
    settings = classifier_settings(preset, config, set_ or [])
    corpus = Prepared.open(prepared)
    chosen = choose_device(device.value)
    speech, word, extra = (_by_size(given) for given in (speech_embeddings, word_embeddings, extra_embeddings))
    rows = table_rows(speech, word, extra)
    seed_list = list(range(seed, seed + seeds))
    check_systems(rows, corpus, protocol=protocol, seeds=seed_list, n_folds=folds)
    warn_of_features(corpus, preset, settings)
    n_systems = len({row.system for row in rows if row.system})
    with only_writer(output):
        claim_output(
            output,
            force=force,
            resume=resume,
            inputs=[prepared, *speech.values(), *word.values(), *extra.values()],
            folder_with=["runs", "tables.txt"],
        )
        with Tracker("tables", n_systems, "systems", quiet) as tracker:
            results = train_systems(
                rows,
                corpus,
                output,
                protocol=protocol,
                settings=settings,
                seeds=seed_list,
                n_folds=folds,
                jobs=count_jobs(jobs),
                device=chosen,
                on_system=lambda title: tracker.advance(note=title),
            )
        made = make_tables(rows, results, corpus, protocol.value, seeds)
        write_tables(made, output)
    print(made.text())
    log.info("written to %s: tables.txt, tables.csv, tables.html, differences.csv, runs/", output)


def _by_size(options: Sequence[str] | None) -> dict[int, str]:
    found: dict[int, str] = {}
    for option in options or ():
        size, equals, file = option.partition("=")
        if not equals or not size.isdigit() or not file:
            raise UserError(f"vectors are given as SIZE=FILE, for one 50=vectors.txt, not '{option}'")
        if not Path(file).is_file():
            raise UserError(f"{file}: there is no such vectors file")
        found[int(size)] = file
    return found
