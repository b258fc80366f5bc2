"""The ALIGNED folder: utterances.jsonl, words.parquet and report.json; how it is written, read and merged.

Every utterance of the corpus is either in words.parquet, or with the reason why not in report.json.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from align.base import Aligned, AlignmentResult, Failure, Reason
from speech2vec.corpus.manifest import (
    REPORT_FILE,
    UTTERANCES_FILE,
    WORDS_FILE,
    WORDS_SCHEMA,
    Utterance,
    Word,
    read_report,
    read_utterances,
    read_words,
    words_table,
    write_utterances,
)
from speech2vec.corpus.readers import Problem
from speech2vec.runtime.config import fingerprint
from speech2vec.runtime.environment import environment
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path, write_json
from speech2vec.runtime.processes import parse_shard

ROWS_AT_ONCE = 50_000


def write_aligned(
    folder: Path,
    utterances: Sequence[Utterance],
    results: Iterable[AlignmentResult],
    *,
    problems: Iterable[Failure] = (),
    settings: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write an ALIGNED folder. The report is written last: a folder with a report is complete.

    Parameters
    ----------
    folder : Path
    utterances : sequence of Utterance
        All utterances of the corpus.
    results : iterable of AlignmentResult
        Exactly one for each utterance (`align.base.check_results` makes sure); words are written in this order.
    problems : iterable of Failure
        What could not be read as an utterance of the corpus.
    settings : mapping or None
        What the words depend on: the aligner and its settings.
    extra : mapping or None
        Further entries of the report.

    Returns
    -------
    dict
        The report.

    Raises
    ------
    RuntimeError
        If the number of results is not the number of utterances.
    """
    folder = Path(folder)
    failed = list(problems)
    n_asked = len(utterances) + len(failed)
    n_aligned = n_words = n_guessed = 0
    guessed: dict[str, str] = {}
    for result in _write_words(folder / WORDS_FILE, results):
        if isinstance(result, Failure):
            failed.append(result)
            continue
        n_aligned += 1
        n_words += len(result.words)
        n_guessed += sum(word.word in result.guessed for word in result.words)
        guessed.update(result.guessed)
    if n_aligned + len(failed) != n_asked:
        raise RuntimeError(f"{n_asked} utterances, but {n_aligned} aligned and {len(failed)} failed")
    write_utterances(
        folder / UTTERANCES_FILE, (dataclasses.replace(u, audio=Path(u.audio).absolute()) for u in utterances)
    )
    failed.sort(key=lambda failure: failure.utterance_id)
    reasons = Counter(failure.reason.value for failure in failed)
    report = {
        "asked": n_asked,
        "aligned": n_aligned,
        "words": n_words,
        "guessed_pronunciations": n_guessed,
        "reasons": dict(reasons.most_common()),
        "failed": [failure.to_json() for failure in failed],
        "guessed_words": dict(sorted(guessed.items())),
        "settings": dict(settings or {}),
        "fingerprint": fingerprint(dict(settings or {})),
        **(extra or {}),
        "environment": environment(),
    }
    write_json(folder / REPORT_FILE, report)
    return report


def _write_words(path: Path, results: Iterable[AlignmentResult]) -> Iterator[AlignmentResult]:
    """Write the words of `results` while passing them on, a group of rows at a time: memory does not grow."""
    rows: list[Word] = []
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, WORDS_SCHEMA, compression="zstd") as writer:
        for result in results:
            if isinstance(result, Aligned):
                rows.extend(result.words)
                if len(rows) >= ROWS_AT_ONCE:
                    writer.write_table(words_table(rows))
                    rows = []
            yield result
        writer.write_table(words_table(rows))


def failures_of_corpus(problems: Iterable[Problem]) -> list[Failure]:
    """Convert what could not be read as an utterance of the corpus into failures."""
    return [Failure(problem.utterance_id, Reason(problem.reason), problem.detail) for problem in problems]


def read_failures(report: Mapping[str, Any]) -> list[Failure]:
    """Return the failures that a report lists.

    Raises
    ------
    UserError
        If the list is damaged, or holds a reason that is not in `align.base.Reason`.
    """
    try:
        return [Failure(row["utterance_id"], Reason(row["reason"]), row.get("detail", "")) for row in report["failed"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"the list of failures in {REPORT_FILE} is damaged: {error}") from error


def split_failures(failures: Iterable[Failure], utterances: Container[str]) -> tuple[list[Failure], list[Failure]]:
    """Separate what could not be read as an utterance from the utterances that could not be aligned.

    A duplicate id belongs to the former, although the first utterance with this id exists.

    Parameters
    ----------
    failures : iterable of Failure
    utterances : container of str
        The ids of the utterances.

    Returns
    -------
    problems, failed : list of Failure
    """
    problems: list[Failure] = []
    failed: list[Failure] = []
    for failure in failures:
        is_problem = failure.utterance_id not in utterances or failure.reason is Reason.DUPLICATE_ID
        (problems if is_problem else failed).append(failure)
    return problems, failed


def iterate_aligned(folder: Path) -> Iterator[Aligned]:
    """Yield the aligned utterances of an ALIGNED folder, in the order of words.parquet."""
    guessed: Mapping[str, str] = {}
    if (Path(folder) / REPORT_FILE).exists():
        guessed = read_report(folder).get("guessed_words", {})
    words: list[Word] = []
    done: set[str] = set()
    for batch in read_words(folder).to_batches():
        for row in batch.to_pylist():
            if words and words[0].utterance_id != row["utterance_id"]:
                yield _with_guesses(words, guessed)
                done.add(words[0].utterance_id)
                words = []
            if row["utterance_id"] in done:
                where = Path(folder) / WORDS_FILE
                raise UserError(f"{where}: the words of utterance '{row['utterance_id']}' are not contiguous")
            words.append(Word(**row))
    if words:
        yield _with_guesses(words, guessed)


def _with_guesses(words: list[Word], guessed: Mapping[str, str]) -> Aligned:
    own = {word.word: guessed[word.word] for word in words if word.word in guessed}
    return Aligned(words[0].utterance_id, tuple(words), own)


def merge_aligned(folders: Sequence[Path], output: Path) -> dict[str, Any]:
    """Merge ALIGNED folders: the shards of a run, or runs over different parts of a corpus.

    Returns
    -------
    dict
        The report of the merged folder.

    Raises
    ------
    UserError
        If a shard is missing or not finished, an utterance is in two folders, or their settings differ.
    """
    reports = [read_report(folder) for folder in folders]
    for folder, report in zip(folders, reports, strict=True):
        if report.get("fingerprint") != reports[0].get("fingerprint"):
            raise UserError(f"{folder} was made with other settings than {folders[0]}: they cannot be merged")
    _check_complete(folders, reports)
    utterances: list[Utterance] = []
    folder_of: dict[str, Path] = {}
    for folder in folders:
        for utterance in read_utterances(folder):
            if utterance.utterance_id in folder_of:
                both = f"{folder_of[utterance.utterance_id]} and {folder}"
                raise UserError(f"utterance '{utterance.utterance_id}' is in {both}")
            folder_of[utterance.utterance_id] = folder
            utterances.append(utterance)
    failures = [failure for report in reports for failure in read_failures(report)]
    problems, failed = split_failures(failures, folder_of)
    extra = {
        "merged": [str(folder) for folder in folders],
        "shard": None,
        "words_left_out": {name: n for report in reports for name, n in report.get("words_left_out", {}).items()},
    }
    return write_aligned(
        output,
        utterances,
        _results(folders, folder_of, failed),
        problems=problems,
        settings=reports[0].get("settings"),
        extra=extra,
    )


def _results(
    folders: Sequence[Path], folder_of: Mapping[str, Path], failed: list[Failure]
) -> Iterator[AlignmentResult]:
    """One result for each utterance, whatever the folders hold."""
    waiting = dict(folder_of)
    for folder in folders:
        for aligned in iterate_aligned(folder):
            if waiting.pop(aligned.utterance_id, None) != folder:
                raise UserError(f"{folder} has words of '{aligned.utterance_id}', which is not among its utterances")
            yield aligned
    for failure in failed:
        if waiting.pop(failure.utterance_id, None) is None:
            raise UserError(f"'{failure.utterance_id}' is both aligned and failed, or failed twice: align it again")
        yield failure
    for name, folder in waiting.items():
        yield Failure(name, Reason.NO_ANSWER, f"neither aligned nor in the report of {folder}")


def _check_complete(folders: Sequence[Path], reports: Sequence[dict[str, Any]]) -> None:
    shards = {folder: report["shard"] for folder, report in zip(folders, reports, strict=True) if report.get("shard")}
    if not shards:
        return
    numbers = {parse_shard(text) for text in shards.values()}
    totals = {n for _, n in numbers}
    if len(totals) > 1:
        raise UserError(f"the shards are of different totals: {', '.join(sorted(shards.values()))}")
    (total,) = totals
    missing = (f"{k}/{total}" for k in range(1, total + 1) if (k, total) not in numbers)
    if first := list(itertools.islice(missing, 10)):
        more = total - len(numbers) - len(first)
        rest = f" and {more:,} more" if more > 0 else ""
        raise UserError(f"shard(s) {', '.join(first)}{rest} are missing: nothing was merged")
