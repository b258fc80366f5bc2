"""Work in several processes: every result once, errors and deaths told, items taken as they are needed."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from speech2vec.errors import UserError
from speech2vec.processes import in_processes


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_result_once(jobs: int) -> None:
    assert sorted(in_processes(math.sqrt, [n * n for n in range(20)], jobs)) == list(range(20))


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_ends_the_work(jobs: int) -> None:
    with pytest.raises(ValueError, match="math domain error"):
        list(in_processes(math.sqrt, [4.0, -1.0, 9.0], jobs))


def test_a_process_that_dies_is_a_clear_error() -> None:
    with pytest.raises(UserError, match="a process died"):
        list(in_processes(os._exit, [3, 3], 2))


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
        "import time\nfrom speech2vec.processes import in_processes\n"
        "if __name__ == '__main__':\n"
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
