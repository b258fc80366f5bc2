"""``speech2vec-align import``: alignments made elsewhere become an ALIGNED folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from align.aligned import failures_of_corpus, write_aligned
from align.base import AlignmentResult, check_results
from align.cli.summary import summarise
from align.importing import ImportSettings, Tally, import_alignments
from align.run import refuse_empty
from speech2vec.corpus.manifest import REPORT_FILE
from speech2vec.corpus.readers import read_corpus
from speech2vec.runtime import console
from speech2vec.runtime.config import load_settings
from speech2vec.runtime.files import atomic_folder
from speech2vec.runtime.output import check_output
from speech2vec.runtime.progress import Tracker, set_up_logging


def import_(
    corpus: Annotated[Path, typer.Argument(help="LibriSpeech layout, audio with .txt/.lab, or an utterances.jsonl.")],
    alignments: Annotated[Path, typer.Option("--alignments", help="A folder of alignments, or one file.")],
    output: console.OutputOption,
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format", help="textgrid, alignment.txt, ctm, csv, mfa-json, wdseg or whisper; else by content."
        ),
    ] = None,
    tier: Annotated[str | None, typer.Option("--tier", help="The TextGrid tier that holds the words.")] = None,
    config: console.ConfigOption = None,
    set_: console.SetOption = None,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Import alignments: TextGrid, .alignment.txt, CTM, CSV, MFA's JSON, wdseg, Whisper's JSON."""
    set_up_logging(quiet)
    settings = load_settings(ImportSettings, config, set_ or (), given={"format": format_name, "tier": tier})
    found = read_corpus(corpus)
    refuse_empty(found, corpus)
    check_output(output, force=force, inputs=[corpus, alignments], folder_with=[REPORT_FILE])
    tally = Tally()
    extra: dict[str, object] = {}

    def outcomes() -> Iterator[AlignmentResult]:
        with Tracker("importing", len(found.utterances), "utterances", quiet) as tracker:
            for outcome in check_results(
                found.utterances, import_alignments(found.utterances, alignments, settings, tally)
            ):
                yield outcome
                tracker.advance()
        extra["import"] = tally.to_json()

    # What is there is replaced once the new folder is whole: a mistyped --alignments costs nothing.
    with atomic_folder(output) as folder:
        report = write_aligned(
            folder,
            found.utterances,
            outcomes(),
            problems=failures_of_corpus(found.problems),
            settings={"aligner": "import", "alignments": alignments.name, **settings.model_dump()},
            extra=extra,
        )
    for name, what in (
        ("not_recognised", "files in no format that is known"),
        ("unreadable", "files that cannot be read"),
        ("without_utterance", "alignments of no utterance in the corpus"),
        ("ignored", "second alignments of an utterance, not used"),
        ("differing", "utterances whose words differ from the transcript"),
    ):
        if getattr(tally, name):
            print(f"{len(getattr(tally, name)):,} {what} (named in report.json)")
    summarise(report, output)
