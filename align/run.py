"""Aligning a corpus: resumable, in shards, with every utterance accounted for.

Aligning in several processes: a crash costs the utterance that caused it, and no other.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from align.aligned import failures_of_corpus, read_report, write_aligned
from align.base import (
    AlignmentError,
    AlignmentResult,
    Failure,
    Reason,
    check_results,
    flag,
    load_aligner,
    settings_type,
)
from align.journal import JOURNAL_FILE, Journal
from speech2vec.corpus.manifest import REPORT_FILE, Utterance
from speech2vec.corpus.readers import Corpus
from speech2vec.runtime.config import Settings, validate_settings
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import only_writer
from speech2vec.runtime.output import claim_output
from speech2vec.runtime.processes import Answer, stream_from_processes
from speech2vec.runtime.progress import Tracker, log

# One of these lies in every folder that a run wrote.
WRITTEN = (REPORT_FILE, JOURNAL_FILE)


def shard_of(corpus: Corpus, k: int, n: int) -> Corpus:
    """Shard `k` of `n`: together they are the corpus; a speaker is cut between two shards at most."""
    utterances = sorted(corpus.utterances, key=lambda u: (u.speaker, u.utterance_id))
    problems = sorted(corpus.problems, key=lambda p: (p.utterance_id, p.reason, p.detail))
    return Corpus(
        utterances[len(utterances) * (k - 1) // n : len(utterances) * k // n],
        problems[len(problems) * (k - 1) // n : len(problems) * k // n],
    )


def refuse_empty(corpus: Corpus, path: Path) -> None:
    """Refuse a corpus without utterances.

    Raises
    ------
    UserError
        Naming where it was read from.
    """
    if not corpus.utterances and not corpus.problems:
        raise UserError(f"{path} holds no utterances: nothing can be aligned")


def refuse_composite(corpus: Corpus) -> None:
    """Refuse utterances whose text is that of another recording (COMPOSITE sets of ``speech2vec-emotion prepare``).

    Raises
    ------
    UserError
        Naming how many, and the first.
    """
    composite = [utterance.utterance_id for utterance in corpus.utterances if utterance.extras.get("composite")]
    if composite:
        raise UserError(
            f"{len(composite)} of {len(corpus.utterances)} utterances are COMPOSITE (first: {composite[0]}): their "
            "texts were not said in their audio, so that no word can be found in it"
        )


def _digest(corpus: Corpus) -> str:
    """Changes with the corpus: its utterances, their texts, where they lie."""
    digest = hashlib.sha256()
    for utterance in corpus.utterances:
        row = {**utterance.to_json(), "audio": str(Path(utterance.audio).absolute())}
        digest.update(json.dumps(row, sort_keys=True, default=str).encode("utf-8", "surrogatepass"))
    for problem in corpus.problems:
        digest.update(repr(problem).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def align_corpus(
    corpus: Corpus,
    output: Path,
    aligner: str,
    settings: Settings,
    *,
    jobs: int = 1,
    device: str = "cpu",
    shard: str | None = None,
    quiet: bool = True,
    force: bool = False,
) -> dict[str, Any]:
    """Align a corpus into an ALIGNED folder; what an interrupted run left there is not done again.

    Parameters
    ----------
    corpus : Corpus
        Already cut to the shard, if there is one.
    output : Path
    aligner : str
        As `align.base.load_aligner` takes it.
    settings : Settings
        Of that aligner.
    jobs : int
        Processes.
    device : str
        cpu or cuda; it has to be there (`speech2vec.devices.choose_device`).
    shard : str or None
        Which part this is, for the report.
    quiet : bool
        No progress.
    force : bool
        What is in the folder is deleted, once the aligner has started.

    Returns
    -------
    dict
        The report (`align.aligned.write_aligned`).

    Raises
    ------
    UserError
        If the folder holds the run of another corpus or other settings, or another process writes to it.
    AlignmentError
        If the aligner cannot work at all.
    """
    recorded = {"aligner": aligner, **settings.model_dump(mode="json")}
    identity = {"settings": recorded, "corpus": _digest(corpus), "shard": shard}
    with only_writer(output):
        if (output / REPORT_FILE).exists() and not (output / JOURNAL_FILE).exists() and not force:
            return _finished(output, identity)
        recipe = Recipe(aligner, settings.model_dump(), device)
        return _align(corpus, output, recipe, identity, jobs=jobs, quiet=quiet, force=force)


def _align(
    corpus: Corpus, output: Path, recipe: Recipe, identity: dict[str, Any], *, jobs: int, quiet: bool, force: bool
) -> dict[str, Any]:
    path = output / JOURNAL_FILE
    left = corpus.utterances
    if path.exists() and not force:
        with Journal(path, identity) as journal:
            left = [utterance for utterance in left if utterance.utterance_id not in journal]
        log.info("%d of %d utterances were done before", len(corpus.utterances) - len(left), len(corpus.utterances))
    with Tracker("aligning", total=len(left), unit="utterances", quiet=quiet) as tracker:
        outcomes = _begun(align_in_processes(left, recipe, jobs))
        if force:
            claim_output(output, force=force, folder_with=WRITTEN)
        with Journal(path, identity) as journal:
            for outcome in outcomes:
                journal.add(outcome)
                tracker.advance()
            report = write_aligned(
                output,
                corpus.utterances,
                journal.outcomes(corpus.utterances),
                problems=failures_of_corpus(corpus.problems),
                settings=identity["settings"],
                extra={"corpus": identity["corpus"], "shard": identity["shard"]},
            )
            journal.remove()
    return report


def _begun(outcomes: Iterator[AlignmentResult]) -> Iterator[AlignmentResult]:
    """The same outcomes, the first computed already, so that an aligner that cannot start leaves nothing behind."""
    return itertools.chain(list(itertools.islice(outcomes, 1)), outcomes)


def _finished(output: Path, identity: dict[str, Any]) -> dict[str, Any]:
    report = read_report(output)
    changed = sorted(key for key, value in identity.items() if report.get(key) != value)
    if changed:
        raise UserError(
            f"{output} holds a finished alignment with another {' and '.join(changed)}: --force replaces it"
        )
    log.info("%s is finished already", output)
    return report


# Large enough that its overhead does not show, small enough that the processes end together.
UTTERANCES_PER_PART = 32


@dataclass(frozen=True)
class Recipe:
    """All that a process needs to make its aligner."""

    aligner: str
    settings: Mapping[str, Any]
    device: str = "cpu"


def align_in_processes(utterances: Sequence[Utterance], recipe: Recipe, jobs: int) -> Iterator[AlignmentResult]:
    """One outcome for each utterance, as they come.

    Parameters
    ----------
    utterances : sequence of Utterance
    recipe : Recipe
    jobs : int
        Processes; an aligner that uses several cores by itself runs in one process and is told this number.

    Raises
    ------
    AlignmentError
        If the aligner cannot work at all.
    """
    kind = load_aligner(recipe.aligner)
    whole = flag(kind, "whole_corpus")
    alone = whole or not flag(kind, "parallel")
    make = partial(_aligner, recipe, jobs if alone else 1)
    size = len(utterances) if whole else UTTERANCES_PER_PART
    parts = [utterances[i : i + size] for i in range(0, len(utterances), size or 1)]
    waiting = {utterance.utterance_id for utterance in utterances}
    while parts:
        # A part that killed its process is aligned again one by one: the next death names the utterance at fault.
        suspects: list[Utterance] = []
        for answer in stream_from_processes(make, parts, 1 if alone else jobs, threads=None if alone else 1):
            if isinstance(answer, Answer):
                waiting.remove(answer.result.utterance_id)
                yield answer.result
                continue
            ended = f"process ended with exit code {answer.exit_code}"
            if not answer.started:
                raise AlignmentError(f"the aligner's {ended} while it was starting")
            left = [utterance for utterance in answer.item if utterance.utterance_id in waiting]
            if whole or len(left) == 1:
                yield from (Failure(u.utterance_id, Reason.ALIGNER_CRASHED, f"its {ended}") for u in left)
            else:
                suspects += left
        parts = [[utterance] for utterance in suspects]


def _aligner(recipe: Recipe, jobs: int) -> Callable[[Sequence[Utterance]], Iterator[AlignmentResult]]:
    kind = load_aligner(recipe.aligner)
    aligner = kind(validate_settings(settings_type(kind), recipe.settings), jobs=jobs, device=recipe.device)
    return lambda part: check_results(part, aligner.align(part))
