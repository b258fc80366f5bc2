"""``speech2vec-align check``: what is wrong with an alignment, and how far two alignments are apart."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speech2vec.corpus.manifest import REPORT_FILE
from speech2vec.runtime import console
from speech2vec.runtime.errors import DONE_WITH_FAILURES, UserError
from speech2vec.runtime.output import check_output, claim_output
from speech2vec.runtime.progress import set_up_logging

if TYPE_CHECKING:
    from align.check import Issue
    from align.compare import Comparison


_LISTED = 5


def check(
    aligned: Annotated[Path, typer.Argument(help="The ALIGNED folder to check.")],
    against: Annotated[
        Path | None, typer.Option("--against", help="Another ALIGNED of the same speech: compare the word boundaries.")
    ] = None,
    histogram: Annotated[
        Path | None, typer.Option("--histogram", help="With --against: a PNG of the differences.")
    ] = None,
    findings: Annotated[Path | None, typer.Option("--findings", help="All findings as a CSV file.")] = None,
    drop: Annotated[
        list[str] | None, typer.Option("--drop", help="A kind of finding to leave out of a new ALIGNED (repeatable).")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="With --drop: the new ALIGNED.")] = None,
    config: console.ConfigOption = None,
    set_: console.SetOption = None,
    force: console.ForceOption = False,
    quiet: console.QuietOption = False,
) -> None:
    """Check an alignment: what is missing, impossible or improbable; compare it with another; filter it."""
    from align.check import FAULTS, Checker, CheckSettings, Kind
    from align.compare import compare
    from speech2vec.runtime.config import load_settings

    set_up_logging(quiet)
    unwanted = []
    for name in drop or []:
        if name not in {kind.value for kind in Kind}:
            raise UserError(f"--drop takes {', '.join(kind.value for kind in Kind)}, not '{name}'")
        unwanted.append(Kind(name))
    if bool(unwanted) != bool(output):
        raise UserError("--drop and -o/--output go together: what is left out, and where the rest goes")
    if histogram and not against:
        raise UserError("--histogram draws the differences to another alignment: give it with --against")
    checker = Checker(aligned, load_settings(CheckSettings, config, set_ or []))
    for option, path in (("--findings", findings), ("--histogram", histogram)):
        if path:
            check_output(path, force=force, inputs=[aligned, against], option=option)
    if output:
        claim_output(output, force=force, inputs=[aligned, against], folder_with=[REPORT_FILE])
    found = list(checker.findings())
    print(f"{aligned}: {checker.report['aligned']:,} of {checker.report['asked']:,} utterances aligned")
    _print_findings(found, [kind.value for kind in Kind])
    if findings:
        _write_findings(found, findings)
    if against:
        comparison = compare(aligned, against)
        _print_comparison(comparison, aligned, against)
        if histogram:
            from align.compare import draw_differences

            draw_differences(comparison, histogram, aligned.name, against.name)
            print(f"histogram: {histogram}")
    if output:
        report = checker.write_without(unwanted, output)
        before = checker.report
        print(
            f"{output}: {report['words']:,} of {before['words']:,} words and {report['aligned']:,} of "
            f"{before['aligned']:,} utterances kept"
        )
    if any(finding.kind in FAULTS for finding in found):
        raise typer.Exit(DONE_WITH_FAILURES)


def _print_findings(found: list[Issue], kinds: list[str]) -> None:
    counts = Counter(finding.kind.value for finding in found)
    for kind in kinds:
        print(f"  {kind:20} {counts[kind]:8,}")
        for finding in [f for f in found if f.kind.value == kind][:_LISTED]:
            where = f" '{finding.word}' {finding.start:.2f}-{finding.end:.2f} s" if finding.start is not None else ""
            print(f"      {finding.utterance_id}{where}{': ' if finding.detail else ''}{finding.detail}")
        if counts[kind] > _LISTED:
            print(f"      ... and {counts[kind] - _LISTED:,} more (--findings FILE.csv lists all)")


def _write_findings(found: list[Issue], path: Path) -> None:
    from speech2vec.runtime.files import atomic_path

    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow(["kind", "utterance_id", "position", "word", "start", "end", "detail"])
        for f in found:
            rows.writerow([f.kind.value, f.utterance_id, f.position, f.word, f.start, f.end, f.detail])


def _print_comparison(comparison: Comparison, first: Path, second: Path) -> None:
    from align.compare import WITHIN

    print(f"{first} against {second}: {comparison.n_utterances:,} utterances, {comparison.n_words:,} words")
    print(
        f"  only in the first {comparison.only_first:,}, only in the second {comparison.only_second:,} utterances; "
        f"{comparison.unmatched:,} words without a partner"
    )
    print(
        f"  boundary difference: median {comparison.median * 1000:.1f} ms, mean {comparison.mean * 1000:.1f} ms, "
        f"bias {comparison.bias * 1000:+.1f} ms"
    )
    shares = ", ".join(f"{limit * 1000:.0f} ms {comparison.share_within(limit):.2%}" for limit in WITHIN)
    print(f"  within {shares}")
    print("  furthest apart:")
    for boundary in comparison.worst:
        print(
            f"      {boundary.utterance_id} '{boundary.word}' {boundary.side}: {boundary.first:.3f} s and "
            f"{boundary.second:.3f} s ({boundary.difference * 1000:+.0f} ms)"
        )
