"""Joining the shards of a run into one ALIGNED folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from align.aligned import iterate_aligned, read_failures, read_report, split_failures, write_aligned
from align.base import Failure, Outcome
from speech2vec.console import parse_shard
from speech2vec.errors import UserError
from speech2vec.manifest import Utterance, read_utterances


def merge_aligned(folders: Sequence[Path], output: Path) -> dict[str, Any]:
    """Join ALIGNED folders: the shards of a run, or runs over different parts of a corpus.

    Returns
    -------
    dict
        The report of the whole.

    Raises
    ------
    UserError
        If a shard is missing or not finished, an utterance is in two of them, or their settings differ.
    """
    reports = [read_report(folder) for folder in folders]
    for folder, report in zip(folders, reports, strict=True):
        if report.get("fingerprint") != reports[0].get("fingerprint"):
            raise UserError(f"{folder} was made with other settings than {folders[0]}: they do not belong together")
    _check_complete(folders, reports)
    utterances: list[Utterance] = []
    home: dict[str, Path] = {}
    for folder in folders:
        for utterance in read_utterances(folder):
            if utterance.utterance_id in home:
                raise UserError(
                    f"utterance '{utterance.utterance_id}' is in {home[utterance.utterance_id]} and {folder}"
                )
            home[utterance.utterance_id] = folder
            utterances.append(utterance)
    failures = [failure for report in reports for failure in read_failures(report)]
    problems, failed = split_failures(failures, home)
    extra = {
        "merged": [str(folder) for folder in folders],
        "shard": None,
        "words_left_out": {name: n for report in reports for name, n in report.get("words_left_out", {}).items()},
    }
    return write_aligned(
        output,
        utterances,
        _outcomes(folders, failed),
        problems=problems,
        settings=reports[0].get("settings"),
        extra=extra,
    )


def _outcomes(folders: Sequence[Path], failed: list[Failure]) -> Iterator[Outcome]:
    for folder in folders:
        yield from iterate_aligned(folder)
    yield from failed


def _check_complete(folders: Sequence[Path], reports: Sequence[dict[str, Any]]) -> None:
    shards = {folder: report["shard"] for folder, report in zip(folders, reports, strict=True) if report.get("shard")}
    if not shards:
        return
    numbers = {parse_shard(text) for text in shards.values()}
    totals = {n for _, n in numbers}
    if len(totals) > 1:
        raise UserError(f"the shards come from different cuts: {', '.join(sorted(shards.values()))}")
    (total,) = totals
    missing = [f"{k}/{total}" for k in range(1, total + 1) if (k, total) not in numbers]
    if missing:
        raise UserError(f"shard(s) {', '.join(missing)} are missing: nothing was joined")
