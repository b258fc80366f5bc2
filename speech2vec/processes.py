"""Work spread over processes: one computing thread in each, none outlives its parent, an interrupt ends them all."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from threadpoolctl import threadpool_limits

from speech2vec.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(function: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> Iterator[Result]:
    """``function(item)`` of every item, in the order in which they are done.

    Parameters
    ----------
    function : callable
        Of a module's top level, so that another process can import it.
    items : iterable
        Taken as they are needed: a long or costly one is never whole in memory.
    jobs : int
        Processes; with 1 the work is done here.

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
    left = iter(items)
    # Spawned, not forked: a fork of a process whose libraries run threads may hang.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_start) as pool:
        try:
            # One item ahead keeps every process busy.
            waiting: set[Future[Result]] = {pool.submit(_work, function, item) for item in islice(left, 2 * jobs)}
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                waiting |= {pool.submit(_work, function, item) for item in islice(left, len(done))}
        except BrokenProcessPool as error:
            raise UserError("a process died (out of memory?): try fewer --jobs") from error
        finally:
            pool.shutdown(cancel_futures=True)


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's affair
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """A process whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(function: Callable[[Item], Result], item: Item) -> Result:
    # Here and not in `_start`: the libraries that compute were loaded with the function.
    with threadpool_limits(1):
        return function(item)
