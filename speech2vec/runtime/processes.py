"""Work spread over processes: one computing thread in each, none outlives its parent, an interrupt ends them all.

`in_processes` is for work whose processes live; `stream_from_processes` is for work that may kill its process (a fault
in a library, no memory left): it says which item did, and goes on with the others.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
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


_PATIENCE = 5.0  # seconds that a process has to clean up after itself


@dataclass(frozen=True)
class Answer(Generic[Result]):
    """A result of the item that is the `number`-th of all, from 0."""

    number: int
    result: Result


@dataclass(frozen=True)
class Died(Generic[Item]):
    """A process ended in the middle of an item.

    Parameters
    ----------
    item
    exit_code : int
        Where it is negative, the signal that ended the process.
    started : bool
        False where it had not come to any item yet: no fault of this one.
    """

    item: Item
    exit_code: int
    started: bool


@dataclass(frozen=True)
class _Started:
    """The process has made its function."""


@dataclass(frozen=True)
class _Sent:
    """A result."""

    result: Any


@dataclass(frozen=True)
class _Done:
    """All results of an item were sent."""


@dataclass(frozen=True)
class _Raised:
    """What the function raised, and where."""

    error: Exception
    trace: str


class _RemoteError(Exception):
    """The other process's traceback, shown as the cause of its error."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def in_processes(
    function: Callable[[Item], Result], items: Iterable[Item], jobs: int, in_order: bool = False
) -> Iterator[Result]:
    """``function(item)`` of every item.

    Parameters
    ----------
    function : callable
        Of a module's top level, so that another process can import it.
    items : iterable
        Taken as they are needed: a long or costly one is never whole in memory.
    jobs : int
        Processes; with 1 the work is done here.
    in_order : bool
        Results come in the order of `items`, else as they are done.

    Raises
    ------
    UserError
        A process died (most often: out of memory). What `function` raises is raised here, and ends the work.
    """
    if jobs <= 1:
        with threadpool_limits(1):
            for item in items:
                yield function(item)
        return
    early: dict[int, Result] = {}
    following = 0
    # In order, a slow item holds back the results of those behind it: only so many are begun.
    make = partial(_one_result, function)
    for answer in stream_from_processes(make, items, jobs, ahead=4 * jobs if in_order else None):
        if isinstance(answer, Died):
            raise UserError("a process died (out of memory?): try fewer --jobs")
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
    """The results of every item, each as soon as it is there; for an item that killed its process, a `Died`.

    Parameters
    ----------
    make : callable
        Of a module's top level. Called once in each process; the function that it gives is called with each item,
        and gives the item's results one after another.
    items : iterable
        Taken as they are needed.
    jobs : int
        Processes; each is started when there is an item for it.
    threads : int or None
        Computing threads in each; None leaves them as they are.
    ahead : int or None
        Items that are begun beyond the first one that is not done.

    Raises
    ------
    Exception
        What the functions raise, which ends the work.
    """
    left = enumerate(items)
    begun = 0
    idle: list[_Worker] = []
    busy: list[_Worker] = []  # in the order of their items
    try:
        while True:
            while len(busy) < jobs and not (ahead and busy and begun - busy[0].number >= ahead):
                following = next(left, None)
                if following is None:
                    break
                busy.append(idle.pop() if idle else _Worker(make, threads))
                busy[-1].give(*following)
                begun += 1
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
    """A process, the pipe to it, and what it is at."""

    def __init__(self, make: Callable[[], Callable[[Any], Iterable[Any]]], threads: int | None) -> None:
        # Spawned, not forked: threads of the parent (a progress bar, BLAS) do not survive a fork, which may then hang.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(make, threads, theirs))
        self.process.start()
        theirs.close()  # so that its end is noticed here
        self.started = False
        self.number = -1
        self.item: Any = None

    def give(self, number: int, item: Any) -> None:
        self.number, self.item = number, item
        with contextlib.suppress(OSError):  # it has died: reading from it will say so
            self.pipe.send(item)

    def end(self) -> int:
        """Wait for its end, and give its exit code."""
        self.process.join(_PATIENCE)
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's affair
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        function = make()
        pipe.send(_Started())
        for item in _received(pipe):
            # Only now are the libraries that compute sure to be loaded.
            with threadpool_limits(threads):
                for result in function(item):
                    pipe.send(_Sent(result))
            pipe.send(_Done())
    except Exception as error:
        pipe.send(_Raised(error, traceback.format_exc()))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is leaving already


def _received(pipe: connection.Connection) -> Iterator[Any]:
    with contextlib.suppress(EOFError):  # the parent has no more
        while True:
            yield pipe.recv()


def _leave(*_: object) -> NoReturn:
    """Ended by the parent: half-written files are removed and programs it started are stopped on the way out."""
    sys.exit(1)


def _die_with_parent() -> None:
    """A process whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
