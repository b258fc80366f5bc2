"""Aligning in several processes: a crash of one costs one utterance, and none of them outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any

from align.base import Aligned, AlignmentError, Failure, Outcome, Reason, account, load_aligner, settings_type
from speech2vec.config import validate_settings
from speech2vec.errors import UserError
from speech2vec.manifest import Utterance

# Large enough that its overhead does not show, small enough that the processes end together.
UTTERANCES_PER_PART = 32


@dataclass(frozen=True)
class Recipe:
    """All that a process needs to make its aligner."""

    aligner: str
    settings: Mapping[str, Any]
    device: str = "cpu"


@dataclass(frozen=True)
class _Ready:
    """The aligner of a process is made, or has answered for a whole part."""


@dataclass(frozen=True)
class _Stopped:
    """An error that ends the run."""

    message: str


def _die_with_parent() -> None:
    """A process whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(recipe: Recipe, jobs: int, pipe: connection.Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's affair
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        kind = load_aligner(recipe.aligner)
        settings = validate_settings(settings_type(kind), recipe.settings)
        aligner = kind(settings, jobs=jobs, device=recipe.device)
        pipe.send(_Ready())
        while True:
            part = pipe.recv()
            for outcome in account(part, aligner.align(part)):
                pipe.send(outcome)
            pipe.send(_Ready())
    except UserError as error:
        pipe.send(_Stopped(str(error)))
    except EOFError:
        pass  # the parent has no more work


class _Worker:
    def __init__(self, recipe: Recipe, jobs: int) -> None:
        # Not forked: threads of the parent (a progress bar, BLAS) do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(recipe, jobs, theirs), daemon=False)
        self.process.start()
        theirs.close()  # so that its end is noticed here
        self.ready = False
        self.waiting: dict[str, Utterance] = {}

    def give(self, part: Sequence[Utterance]) -> None:
        self.waiting = {utterance.utterance_id: utterance for utterance in part}
        self.pipe.send(part)

    def end(self) -> None:
        self.pipe.close()
        self.process.join()


def align_in_processes(utterances: Sequence[Utterance], recipe: Recipe, jobs: int) -> Iterator[Outcome]:
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
    if not utterances:
        return
    kind = load_aligner(recipe.aligner)
    whole = bool(getattr(kind, "whole_corpus", False))
    alone = whole or not getattr(kind, "parallel", True)
    size = len(utterances) if whole else UTTERANCES_PER_PART
    parts = deque(utterances[i : i + size] for i in range(0, len(utterances), size))
    n_workers = 1 if alone else min(jobs, len(parts))
    workers = [_Worker(recipe, jobs if alone else 1) for _ in range(n_workers)]
    try:
        while workers:
            for pipe in connection.wait([worker.pipe for worker in workers]):
                worker = next(worker for worker in workers if worker.pipe is pipe)
                try:
                    message = worker.pipe.recv()
                except (EOFError, OSError):
                    workers.remove(worker)
                    yield from _buried(worker, whole, parts)
                    if parts:
                        workers.append(_Worker(recipe, jobs if alone else 1))
                    continue
                if isinstance(message, _Stopped):
                    raise AlignmentError(message.message)
                if isinstance(message, _Ready):
                    worker.ready = True
                    if parts:
                        worker.give(parts.popleft())
                    else:
                        workers.remove(worker)
                        worker.end()
                elif isinstance(message, (Aligned, Failure)):
                    del worker.waiting[message.utterance_id]
                    yield message
    finally:
        for worker in workers:
            worker.process.terminate()
            worker.end()


def _buried(worker: _Worker, whole: bool, parts: deque[Sequence[Utterance]]) -> Iterator[Failure]:
    """A process died: its utterances are put back one by one, so that the next death names the one at fault."""
    worker.end()
    code = worker.process.exitcode
    if not worker.ready:
        raise AlignmentError(f"the aligner's process ended with exit code {code} while it was starting")
    waiting = list(worker.waiting.values())
    if whole or len(waiting) == 1:
        for utterance in waiting:
            yield Failure(utterance.utterance_id, Reason.ALIGNER_CRASHED, f"its process ended with exit code {code}")
    else:
        parts.extendleft([utterance] for utterance in reversed(waiting))
