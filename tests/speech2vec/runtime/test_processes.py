"""Work in several processes: every result once, errors and deaths told, items taken as they are needed."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.processes import Answer, Died, in_processes, stream_from_processes


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_result_once(jobs: int) -> None:
    assert sorted(in_processes(math.sqrt, [n * n for n in range(20)], jobs)) == list(range(20))


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_ends_the_work(jobs: int) -> None:
    with pytest.raises(ValueError, match="math domain error"):
        list(in_processes(math.sqrt, [4.0, -1.0, 9.0], jobs))


def test_a_process_that_dies_is_a_clear_error() -> None:
    with pytest.raises(UserError, match="a worker process died"):
        list(in_processes(os._exit, [3, 3], 2))


def wait_and_return(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_in_order_a_slow_item_holds_the_others_back() -> None:
    taken = []

    def items() -> Iterator[float]:
        for seconds in [1.5, *[0.0] * 99]:
            taken.append(seconds)
            yield seconds

    results = in_processes(wait_and_return, items(), 2, in_order=True)
    assert next(results) == 1.5
    assert len(taken) <= 9, "only so many are begun before the first is done"
    assert list(results) == [0.0] * 99


def test_the_trace_of_the_other_process_is_told() -> None:
    with pytest.raises(ValueError, match="math domain error") as raised:
        list(in_processes(math.sqrt, [-1.0, -1.0], 2))
    assert "in _work" in str(raised.value.__cause__)


def counting() -> Callable[[int], Iterator[int]]:
    """0, 1, ... below the item; a negative item ends the process on the way."""

    def count(item: int) -> Iterator[int]:
        yield from range(abs(item))
        if item < 0:
            os._exit(7)

    return count


def test_a_death_names_its_item_and_the_others_go_on() -> None:
    got = list(stream_from_processes(counting, [3, -2, 1, -1, 2], 2))
    results = {number: [a.result for a in got if isinstance(a, Answer) and a.number == number] for number in range(5)}
    assert results == {0: [0, 1, 2], 1: [0, 1], 2: [0], 3: [0], 4: [0, 1]}
    assert {(d.item, d.exit_code, d.started) for d in got if isinstance(d, Died)} == {(-2, 7, True), (-1, 7, True)}


def broken() -> Callable[[bytes], Iterator[int]]:
    os._exit(3)


def test_a_death_before_any_item_is_told_from_one_in_an_item() -> None:
    much = bytes(10_000_000)  # more than a pipe holds: giving it must not wait for ever
    assert next(stream_from_processes(broken, [much], 1)) == Died(much, 3, False)


def test_items_are_taken_as_they_are_needed() -> None:
    taken = []

    def items() -> Iterator[int]:
        for n in range(100):
            taken.append(n)
            yield n

    results = in_processes(math.sqrt, items(), 2)
    next(results)
    assert len(taken) <= 8
    results.close()  # type: ignore[attr-defined]
    assert len(taken) <= 8


def test_an_interrupt_ends_all_processes_at_once() -> None:
    program = (
        "import signal, time\nfrom speech2vec.runtime.processes import in_processes\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        "    try:\n"
        "        for _ in in_processes(time.sleep, [0.2] * 1000, 2): print('done', flush=True)\n"
        "    except KeyboardInterrupt: print('interrupted')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout and process.stdout.readline() == "done\n"
    started = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    out, err = process.communicate(timeout=60)
    assert out.endswith("interrupted\n") and err == ""
    assert time.monotonic() - started < 30, "1,000 items of 0.2 s in 2 processes would take 100 s"
