"""Work spread over processes of one computing thread each; none outlives its parent, an interrupt ends them all.

`in_processes` is for work that does not crash. `stream_from_processes` is for work that may kill its process (a
segmentation fault in a library, out of memory): it reports the item that did, and continues with the others.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection
from typing import Any, Generic, NoReturn, TypeVar

from threadpoolctl import threadpool_limits

from speech2vec.runtime.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

_SECONDS_TO_CLEAN_UP = 5.0


def count_jobs(jobs: int) -> int:
    """The number of processes that ``--jobs`` asks for; 0 means one per core that this process may use."""
    if jobs:
        return jobs
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parse_shard(text: str) -> tuple[int, int]:
    """``2/8`` -> (2, 8).

    Raises
    ------
    UserError
        If `text` is not K/N with 1 <= K <= N.
    """
    k, slash, n = text.partition("/")
    plain = slash and k.isdecimal() and n.isdecimal() and max(len(k), len(n)) < 10
    if not plain or not 1 <= int(k) <= int(n):
        raise UserError(f"--shard takes K/N with K from 1 to N (for example 2/8), not '{text}'")
    return int(k), int(n)


@dataclass(frozen=True)
class Answer(Generic[Result]):
    """One result of the item with index `number` (from 0)."""

    number: int
    result: Result


@dataclass(frozen=True)
class Died(Generic[Item]):
    """A process that ended while it worked on an item.

    Parameters
    ----------
    item
    exit_code : int
        Negative: the number of the signal that ended the process.
    started : bool
        False if the process ended before it worked on any item, so that `item` is not the cause.
    """

    item: Item
    exit_code: int
    started: bool


@dataclass(frozen=True)
class _Started:
    """The process has created its function."""


@dataclass(frozen=True)
class _Sent:
    """A result."""

    result: Any


@dataclass(frozen=True)
class _Done:
    """All results of an item have been sent."""


@dataclass(frozen=True)
class _Raised:
    """The exception that the function raised, and its traceback."""

    error: Exception
    trace: str


class _RemoteError(Exception):
    """The traceback of the other process, shown as the cause of its exception."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def in_processes(
    function: Callable[[Item], Result], items: Iterable[Item], jobs: int, in_order: bool = False
) -> Iterator[Result]:
    """Yield ``function(item)`` for every item.

    Parameters
    ----------
    function : callable
        At the top level of a module, so that another process can import it.
    items : iterable
        Consumed as needed: a long or costly iterable is never held in memory as a whole.
    jobs : int
        Number of processes; 1 works in this process.
    in_order : bool
        Yield results in the order of `items`, not in the order of completion.

    Raises
    ------
    UserError
        If a process died (usually out of memory). An exception of `function` is raised here and ends the work.
    """
    if jobs <= 1:
        with threadpool_limits(1):
            for item in items:
                yield function(item)
        return
    early: dict[int, Result] = {}
    following = 0
    # In order, results wait for the slowest item before them: this bounds how many.
    make = partial(_one_result, function)
    for answer in stream_from_processes(make, items, jobs, ahead=4 * jobs if in_order else None):
        if isinstance(answer, Died):
            raise UserError("a worker process died (out of memory?): use fewer --jobs")
        if not in_order:
            yield answer.result
            continue
        early[answer.number] = answer.result
        while following in early:
            yield early.pop(following)
            following += 1


def stream_from_processes(
    make: Callable[[], Callable[[Item], Iterable[Result]]],
    items: Iterable[Item],
    jobs: int,
    threads: int | None = 1,
    ahead: int | None = None,
) -> Iterator[Answer[Result] | Died[Item]]:
    """Yield the results of every item as soon as they arrive, and a `Died` for an item that killed its process.

    Parameters
    ----------
    make : callable
        At the top level of a module. Called once in each process; the function that it returns is called with each
        item and yields that item's results.
    items : iterable
        Consumed as needed.
    jobs : int
        Number of processes; each is started when there is an item for it.
    threads : int or None
        Computing threads per process; None keeps the libraries' defaults.
    ahead : int or None
        At most this many items are started beyond the first unfinished one; None sets no limit.

    Raises
    ------
    Exception
        Any exception of the functions, which ends the work.
    """
    remaining = enumerate(items)
    n_started = 0
    idle: list[_Worker] = []
    busy: list[_Worker] = []  # in the order of their items
    try:
        while True:
            while len(busy) < jobs and not (ahead and busy and n_started - busy[0].number >= ahead):
                following = next(remaining, None)
                if following is None:
                    break
                busy.append(idle.pop() if idle else _Worker(make, threads))
                busy[-1].give(*following)
                n_started += 1
            if not busy:
                return
            for pipe in connection.wait([worker.pipe for worker in busy]):
                worker = next(worker for worker in busy if worker.pipe is pipe)
                try:
                    message = worker.pipe.recv()
                except (EOFError, OSError):
                    busy.remove(worker)
                    yield Died(worker.item, worker.end(), worker.started)
                    continue
                if isinstance(message, _Sent):
                    yield Answer(worker.number, message.result)
                elif isinstance(message, _Started):
                    worker.started = True
                elif isinstance(message, _Done):
                    busy.remove(worker)
                    idle.append(worker)
                elif isinstance(message, _Raised):
                    raise message.error from _RemoteError(message.trace)
    finally:
        for worker in busy + idle:
            worker.process.terminate()
        for worker in busy + idle:
            worker.end()


class _Worker:
    """A process, the pipe to it and its current item."""

    def __init__(self, make: Callable[[], Callable[[Any], Iterable[Any]]], threads: int | None) -> None:
        # Spawned, not forked: a child forked while threads of the parent (progress bar, BLAS) hold locks may hang.
        context = multiprocessing.get_context("spawn")
        self.pipe, remote = context.Pipe()
        self.process = context.Process(target=_work, args=(make, threads, remote))
        self.process.start()
        remote.close()  # so that the end of the process closes the pipe
        self.started = False
        self.number = -1
        self.item: Any = None

    def give(self, number: int, item: Any) -> None:
        self.number, self.item = number, item
        with contextlib.suppress(OSError):  # the process has died: the next read reports it
            self.pipe.send(item)

    def end(self) -> int:
        """Wait for the process to end and return its exit code."""
        self.process.join(_SECONDS_TO_CLEAN_UP)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()
        return self.process.exitcode or 0


def _one_result(function: Callable[[Item], Result]) -> Callable[[Item], Iterator[Result]]:
    def work(item: Item) -> Iterator[Result]:
        yield function(item)

    return work


def _work(make: Callable[[], Callable[[Any], Iterable[Any]]], threads: int | None, pipe: connection.Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles interrupts
    signal.signal(signal.SIGTERM, _exit_cleanly)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        function = make()
        pipe.send(_Started())
        for item in _received(pipe):
            # Set here because the limit applies to loaded libraries only, and the function may load them late.
            with threadpool_limits(threads):
                for result in function(item):
                    pipe.send(_Sent(result))
            pipe.send(_Done())
    except Exception as error:
        pipe.send(_Raised(error, traceback.format_exc()))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # already exiting


def _received(pipe: connection.Connection) -> Iterator[Any]:
    with contextlib.suppress(EOFError):  # the parent closed the pipe: no more items
        while True:
            yield pipe.recv()


def _exit_cleanly(*_: object) -> NoReturn:
    """Terminated by the parent: exit through the ``finally`` blocks that remove partial files and stop programs."""
    sys.exit(1)


def _die_with_parent() -> None:
    """Exit when the parent has ended, however it did; the process would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)  # to stop the programs that the function runs, see `_exit_cleanly`
        time.sleep(_SECONDS_TO_CLEAN_UP)
        os._exit(1)
