"""Align a corpus into an ALIGNED folder: resumable, in shards, in several processes.

Each result goes into a journal first, so that an interrupted run can be continued. Aligners run in processes of their
own: if one crashes or raises an exception, only the utterance that caused it is lost.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from align.aligned import failures_of_corpus, write_aligned
from align.base import AlignmentError, AlignmentResult, Failure, Reason, align_batch, load_aligner
from align.journal import JOURNAL_FILE, Journal
from speech2vec.corpus.manifest import REPORT_FILE, UTTERANCES_FILE, WORDS_FILE, Utterance, read_report
from speech2vec.corpus.readers import Corpus, read_corpus
from speech2vec.runtime.config import Settings, validate_settings
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import only_writer
from speech2vec.runtime.output import FolderContents, claim_output
from speech2vec.runtime.processes import Answer, stream_from_processes
from speech2vec.runtime.progress import Tracker, log

ALIGNED_CONTENTS = FolderContents(marks=(REPORT_FILE, JOURNAL_FILE), others=(UTTERANCES_FILE, WORDS_FILE))

# Large enough to hide the overhead of a batch, small enough that all processes end at about the same time.
UTTERANCES_PER_BATCH = 32


def read_to_align(path: Path) -> Corpus:
    """Read a corpus that has utterances.

    Raises
    ------
    UserError
        There is no such corpus, it is a table, or it is empty.
    """
    if path.is_file() and path.suffix.lower() in (".csv", ".tsv"):
        raise UserError(
            f"{path} is a table: 'speech2vec-emotion prepare table {path} -o PREPARED' makes PREPARED/utterances.jsonl "
            "of it, which can be aligned"
        )
    corpus = read_corpus(path)
    if not corpus.utterances and not corpus.problems:
        raise UserError(f"{path} contains no utterances: there is nothing to align")
    return corpus


def refuse_composite(corpus: Corpus) -> None:
    """Refuse utterances whose text belongs to another recording (COMPOSITE tables of ``scripts.make_composite``).

    Raises
    ------
    UserError
        With their number and the first id.
    """
    composite = [utterance.utterance_id for utterance in corpus.utterances if utterance.extras.get("composite")]
    if composite:
        raise UserError(
            f"{len(composite)} of {len(corpus.utterances)} utterances are COMPOSITE (first: {composite[0]}): their "
            "texts were not spoken in their audio, so they cannot be aligned"
        )


def shard_of(corpus: Corpus, k: int, n: int) -> Corpus:
    """Return shard `k` of `n`, counted from 1; the utterances of a speaker stay together where possible."""
    utterances = sorted(corpus.utterances, key=lambda u: (u.speaker, u.utterance_id))
    problems = sorted(corpus.problems, key=lambda p: (p.utterance_id, p.reason, p.detail))
    return Corpus(
        utterances[len(utterances) * (k - 1) // n : len(utterances) * k // n],
        problems[len(problems) * (k - 1) // n : len(problems) * k // n],
    )


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
    """Align a corpus into an ALIGNED folder, continuing an interrupted run if there is one.

    Parameters
    ----------
    corpus : Corpus
        Only the shard, if there is one.
    output : Path
    aligner : str
        See `align.base.load_aligner`.
    settings : Settings
        An instance of the aligner's `settings_type`.
    jobs : int
        Number of processes.
    device : str
        cpu or cuda; must exist (see `speech2vec.runtime.devices.choose_device`).
    shard : str or None
        Which shard this is, for the report.
    quiet : bool
        Show no progress.
    force : bool
        Delete what is in the folder, once the aligner has started.

    Returns
    -------
    dict
        The report (see `align.aligned.write_aligned`).

    Raises
    ------
    UserError
        If the folder holds a run with another corpus or other settings, or another process writes to it.
    AlignmentError
        If the aligner cannot work at all.
    """
    recorded = {"aligner": aligner, **settings.model_dump(mode="json")}
    identity = {"settings": recorded, "corpus": _digest(corpus), "shard": shard}
    with only_writer(output):
        if (output / REPORT_FILE).exists() and not (output / JOURNAL_FILE).exists() and not force:
            return _finished_report(output, identity)
        recipe = Recipe(aligner, settings.model_dump(), device, _state_of(output))
        return _align(corpus, output, recipe, identity, jobs=jobs, quiet=quiet, force=force)


def _digest(corpus: Corpus) -> str:
    """A hash of the utterances, their texts, and the paths of their audio."""
    digest = hashlib.sha256()
    for utterance in corpus.utterances:
        row = {**utterance.to_json(), "audio": str(Path(utterance.audio).absolute())}
        digest.update(json.dumps(row, sort_keys=True, default=str).encode("utf-8", "surrogatepass"))
    for problem in corpus.problems:
        digest.update(repr(problem).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def _finished_report(output: Path, identity: dict[str, Any]) -> dict[str, Any]:
    report = read_report(output)
    changed = sorted(key for key, value in identity.items() if report.get(key) != value)
    if changed:
        raise UserError(
            f"{output} holds a finished alignment with another {' and '.join(changed)}: --force replaces it"
        )
    log.info("%s is already finished", output)
    return report


def _align(
    corpus: Corpus, output: Path, recipe: Recipe, identity: dict[str, Any], *, jobs: int, quiet: bool, force: bool
) -> dict[str, Any]:
    path = output / JOURNAL_FILE
    left = corpus.utterances
    if force or not path.exists():  # what an aligner kept belongs to the results in the journal
        shutil.rmtree(_state_of(output), ignore_errors=True)
    if path.exists() and not force:
        with Journal(path, identity) as journal:
            left = [utterance for utterance in left if utterance.utterance_id not in journal]
        log.info("%d of %d utterances are already done", len(corpus.utterances) - len(left), len(corpus.utterances))
    # One that learns from all utterances answers for many at once, at its end: a rate would promise what it is not.
    total = None if load_aligner(recipe.aligner).whole_corpus else len(left)
    with Tracker("aligning", total=total, unit="utterances", quiet=quiet) as tracker:
        results = _start(align_in_processes(left, recipe, jobs))
        if force:
            claim_output(output, force=force, folder=ALIGNED_CONTENTS)
        with Journal(path, identity) as journal:
            for result in results:
                journal.add(result)
                tracker.advance()
            report = write_aligned(
                output,
                corpus.utterances,
                journal.results(corpus.utterances),
                problems=failures_of_corpus(corpus.problems),
                settings=identity["settings"],
                extra={"corpus": identity["corpus"], "shard": identity["shard"]},
            )
            journal.remove()
    shutil.rmtree(_state_of(output), ignore_errors=True)
    return report


def _state_of(output: Path) -> Path:
    """The folder for `align.base.Aligner.state`; not in the output, which ``--force`` removes at the first result."""
    output = output.absolute()
    return output.with_name(f".{output.name}.aligner")


def _start(results: Iterator[AlignmentResult]) -> Iterator[AlignmentResult]:
    """Compute the first result now: an aligner that cannot start then leaves the output as it was."""
    return itertools.chain(list(itertools.islice(results, 1)), results)


@dataclass(frozen=True)
class Recipe:
    """What a process needs to construct its aligner: the parameters of `align_corpus`."""

    aligner: str
    settings: Mapping[str, Any]
    device: str = "cpu"
    state: Path | None = None


def align_in_processes(utterances: Sequence[Utterance], recipe: Recipe, jobs: int) -> Iterator[AlignmentResult]:
    """Yield one result for each utterance, as soon as it is known.

    Parameters
    ----------
    utterances : sequence of Utterance
    recipe : Recipe
    jobs : int
        Number of processes. An aligner that uses several cores by itself runs in one process and is given `jobs`.

    Raises
    ------
    AlignmentError
        If the aligner cannot work at all.
    """
    kind = load_aligner(recipe.aligner)
    alone = kind.whole_corpus or not kind.parallel
    make = partial(_make_aligner, recipe, jobs if alone else 1)
    size = len(utterances) if kind.whole_corpus else UTTERANCES_PER_BATCH
    batches = [utterances[i : i + size] for i in range(0, len(utterances), size or 1)]
    waiting = {utterance.utterance_id for utterance in utterances}
    while batches:
        # A batch that crashed its process is aligned again one by one: the next crash shows the utterance at fault.
        suspects: list[Utterance] = []
        for answer in stream_from_processes(make, batches, 1 if alone else jobs, threads=None if alone else 1):
            if isinstance(answer, Answer):
                waiting.remove(answer.result.utterance_id)
                yield answer.result
                continue
            ended = f"process ended with exit code {answer.exit_code}"
            if not answer.started:
                raise AlignmentError(f"the aligner's {ended} while it was starting")
            left = [utterance for utterance in answer.item if utterance.utterance_id in waiting]
            if kind.whole_corpus or len(left) == 1:
                yield from (Failure(u.utterance_id, Reason.ALIGNER_CRASHED, f"its {ended}") for u in left)
            else:
                suspects += left
        batches = [[utterance] for utterance in suspects]


def _make_aligner(recipe: Recipe, jobs: int) -> Callable[[Sequence[Utterance]], Iterator[AlignmentResult]]:
    kind = load_aligner(recipe.aligner)
    aligner = kind(validate_settings(kind.settings_type, recipe.settings), jobs=jobs, device=recipe.device)
    aligner.state = recipe.state
    return partial(align_batch, aligner)
