"""``speech2vec-emotion prepare``: a corpus folder to labels, texts and features on disk."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from emotion.cli import options
from speech2vec.runtime import console
from speech2vec.runtime.errors import DONE_WITH_FAILURES, UserError
from speech2vec.runtime.output import claim_output
from speech2vec.runtime.processes import count_jobs
from speech2vec.runtime.progress import set_up_logging


def prepare(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="What corpus it is.")],
    output: console.OutputOption,
    root: Annotated[
        Path | None, typer.Argument(metavar="ROOT", help="The corpus' folder; the file itself for 'table'.")
    ] = None,
    audio: Annotated[Path | None, typer.Option("--audio", help="composite: the prepared set that gives audio.")] = None,
    text: Annotated[Path | None, typer.Option("--text", help="composite: the prepared set that gives texts.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="What tables call the set (default: KIND).")] = None,
    preset: options.PresetOption = "default",
    config: console.ConfigOption = None,
    overrides: console.SetOption = None,
    seed: console.SeedOption = 0,
    jobs: console.JobsOption = 0,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Read an emotion corpus, compute its features, and check its counts.

    KIND is iemocap, ravdess, emodb, crema-d, meld, table or composite; ROOT the corpus' folder, for a table its file
    (CSV, TSV or JSONL). The four classes neu, hap, sad and ang are kept; --set labels=full keeps all labels of the
    corpus. --preset paper gives the published features, 34 in windows of 0.1 s; default adds log-mel energies, in
    windows of 0.05 s every 0.025 s. Utterances left out are in report.json, by name and reason. A COMPOSITE set pairs
    the audio of one prepared set with texts of another of the same label:
    speech2vec-emotion prepare composite --audio DIR --text DIR --seed 1 -o OUT.
    """
    from emotion.corpora.registry import read_emotion_corpus
    from emotion.data.dataset import META_FILE, Prepared
    from emotion.data.prepare import prepare_composite, prepare_corpus, prepare_settings

    set_up_logging(quiet)
    started = time.monotonic()
    if kind == "composite":
        if audio is None or text is None or root is not None:
            raise UserError("composite takes --audio DIR and --text DIR, both prepared sets, and no ROOT")
        if config or overrides or name or preset != "default":
            raise UserError("composite has no settings and its name is made of its parts and its seed")
        sounds, texts = Prepared.open(audio), Prepared.open(text)
        claim_output(output, force=force, inputs=[audio, text], folder_with=[META_FILE])
        outcome = prepare_composite(sounds, texts, output, seed)
    else:
        if audio is not None or text is not None:
            raise UserError("--audio and --text belong to the kind 'composite'")
        if root is None:
            raise UserError(f"{kind} needs the corpus' folder: speech2vec-emotion prepare {kind} ROOT -o DIR")
        settings = prepare_settings(preset, config, overrides or ())
        corpus = read_emotion_corpus(kind, root)
        claim_output(output, force=force, inputs=[root], folder_with=[META_FILE])
        outcome = prepare_corpus(corpus, output, settings, name=name, jobs=count_jobs(jobs), quiet=quiet)
    print(summary(outcome.meta, outcome.report))
    print(f"-> {output} ({time.monotonic() - started:.1f} s)")
    if outcome.failures:
        raise typer.Exit(DONE_WITH_FAILURES)


def summary(meta: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """Counts by session and class, the check against the whole release, and what was left out, as text."""
    counts, labels = meta["counts"], list(meta["labels"])
    lines = [
        f"{meta['name']}: {counts['utterances']:,} utterances, {counts['speakers']:,} speakers, "
        f"{counts['seconds'] / 3600:.2f} h, {counts['windows']:,} windows"
    ]
    if meta["composite"]:
        lines.append("COMPOSITE: audio and text come from different corpora; scores compare with nothing published.")
    if counts["text_only"]:
        lines.append(f"text only: {counts['text_only']:,} utterances")
    if counts["without_words"]:
        lines.append(f"transcripts without words: {counts['without_words']:,}")
    rows = [*counts["by_session"].items(), ("all", counts["by_label"])]
    width = max(8, *(len(label) + 2 for label in labels))
    lines.append(f"{'session':<9}" + "".join(f"{label:>{width}}" for label in [*labels, "total"]))
    for session, row in rows:
        numbers = [*(row[label] for label in labels), sum(row.values())]
        lines.append(f"{session:<9}" + "".join(f"{number:>{width},}" for number in numbers))
    if counts["by_style"]:
        lines.append(", ".join(f"{style} {count:,}" for style, count in counts["by_style"].items()))
    differences = report["count_differences"]
    if differences:
        lines.append(f"COUNTS DIFFER from the whole release: {'; '.join(differences)}")
    elif differences is not None:
        lines.append("counts are those of the whole release")
    for reason, count in report["reasons"].items():
        lines.append(f"left out, {reason}: {count:,}")
    notes: dict[str, int] = {}
    for note in report.get("notes", ()):
        notes[note["reason"]] = notes.get(note["reason"], 0) + 1
    lines += [f"kept, but {reason}: {count:,}" for reason, count in notes.items()]
    if report["reasons"] or notes:
        lines.append("report.json names each of them")
    return "\n".join(lines)
