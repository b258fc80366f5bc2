"""Check a GPU in one command: correctness and speed of every engine, and which of them to keep.

    python -m scripts.gpu_check [--minutes 8] -o OUT

Five parts run in order, each in its own process with a time limit: correctness, training steps, whole epochs at full
size, a profile, the emotion classifier. OUT/gpu.json and OUT/gpu.md are updated after every measurement; OUT/part1.log
and so on hold the output of each part. A part that fails or reaches its limit is reported, and the next one starts. The
exit code is 0 if no part failed.

Nothing has to be prepared, and no network is used. Without a GPU, parts 1 and 2 run at toy sizes with Triton's
interpreter, which tests this script; the figures mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from scripts.gpu.report import markdown
from scripts.gpu.results import Results, Row
from speech2vec.runtime.environment import machine_name
from speech2vec.runtime.files import atomic_path, read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
LINES_OF_TRACEBACK = 40
State = dict[str, Any]  # of a part: see `scripts.gpu.report.markdown`


@dataclass(frozen=True)
class Part:
    """A part of the check.

    Parameters
    ----------
    number : int
    title : str
    share : float
        Of the time left, relative to the parts after it.
    command : list of str
        Runs it; `-o OUT --deadline SECONDS` (since the epoch) is appended.
    needs_gpu : bool
    """

    number: int
    title: str
    share: float
    command: list[str]
    needs_gpu: bool = False


# Each has a function `measure(results, device)`.
MODULES = {1: "correctness", 2: "steps", 3: "epochs", 4: "profile", 5: "emotion"}


def _part(number: int, title: str, share: float, needs_gpu: bool = False) -> Part:
    return Part(number, title, share, [sys.executable, "-m", "scripts.gpu_check", "--part", str(number)], needs_gpu)


PARTS = (
    _part(1, "correctness", 0.3),
    _part(2, "one training step", 0.18),
    _part(3, "whole epochs at full size", 0.36, needs_gpu=True),
    _part(4, "profile of the fastest", 0.06, needs_gpu=True),
    _part(5, "emotion classifier", 0.1, needs_gpu=True),
)


def machine(has_gpu: bool) -> dict[str, Any]:
    """What the check runs on."""
    return {
        "device": torch.cuda.get_device_name() if has_gpu else "no GPU: toy sizes, the figures mean nothing",
        "machine": f"{machine_name()}, {os.cpu_count()} cores, load before: {os.getloadavg()[0]:.1f}",
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "cuDNN": torch.backends.cudnn.version() if has_gpu else None,
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def rows_of(out: Path, number: int) -> list[Row]:
    """The rows that a part has measured so far."""
    file = out / f"part{number}.json"
    rows: list[Row] = read_json(file) if file.exists() else []
    return rows


def write_report(out: Path, ran_on: dict[str, Any], parts: Sequence[State]) -> str:
    """Write gpu.json and gpu.md, and return the latter."""
    write_json(out / "gpu.json", {"machine": ran_on, "parts": parts})
    text = markdown(ran_on, parts)
    with atomic_path(out / "gpu.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return text


@contextlib.contextmanager
def running(part: Part, out: Path, limit: float, has_gpu: bool) -> Iterator[subprocess.Popen[bytes]]:
    """The process of a part; it is killed at the end, with all processes that it started."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    if not has_gpu:
        environment |= {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [*part.command, "-o", str(out), "--deadline", f"{time.time() + limit:.1f}"]
    with (out / f"part{part.number}.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env=environment, start_new_session=True
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):  # all have ended already
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run_part(part: Part, out: Path, limit: float, has_gpu: bool, report: Callable[[State], Any]) -> State:
    """Run a part to its end or its limit; `report` gets its state all the while."""
    state: State = {"number": part.number, "title": part.title, "limit": limit, "traceback": ""}
    started = time.monotonic()

    def update(status: str) -> None:
        state.update(status=status, seconds=time.monotonic() - started, rows=rows_of(out, part.number))
        report(state)

    with running(part, out, limit, has_gpu) as process:
        code = None
        while code is None and time.monotonic() - started < limit:
            update("running")
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(timeout=min(1.0, max(0.01, limit - (time.monotonic() - started))))
    if code == 0:
        update("done")
        return state
    log = (out / f"part{part.number}.log").read_text(encoding="utf-8", errors="replace")
    state["traceback"] = "\n".join(log.splitlines()[-LINES_OF_TRACEBACK:])
    update("stopped at its limit" if code is None else f"FAILED (exit code {code}; part{part.number}.log)")
    return state


def run(parts: Sequence[Part], out: Path, seconds: float, has_gpu: bool) -> list[State]:
    """Run all parts, print the report, and return the state of each."""
    out.mkdir(parents=True, exist_ok=True)
    for part in parts:  # of an earlier check
        (out / f"part{part.number}.json").unlink(missing_ok=True)
    ran_on, end = machine(has_gpu), time.monotonic() + seconds
    states: list[State] = []

    def report(state: State) -> None:
        write_report(out, ran_on, [*states, state])

    for place, part in enumerate(parts):
        if part.needs_gpu and not has_gpu:
            skipped = {"status": "needs a GPU", "limit": 0.0, "seconds": 0.0, "rows": [], "traceback": ""}
            states.append({"number": part.number, "title": part.title, **skipped})
            continue
        left = end - time.monotonic()
        limit = max(1.0, left * part.share / sum(later.share for later in parts[place:]))
        print(f"part {part.number}, {part.title}: at most {limit:.0f} s", flush=True)
        states.append(run_part(part, out, limit, has_gpu, report))
    print(write_report(out, ran_on, states))
    return states


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the check, or one part of it in its own process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the results")
    parser.add_argument("--minutes", type=float, default=8.0, help="time limit of all parts together [8]")
    parser.add_argument("--part", type=int, choices=MODULES, help=argparse.SUPPRESS)
    parser.add_argument("--deadline", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    has_gpu, out = torch.cuda.is_available(), given.output.absolute()
    if given.part:
        results = Results(out / f"part{given.part}.json", given.deadline - time.time())
        device = torch.device("cuda" if has_gpu else "cpu")
        import_module(f"scripts.gpu.{MODULES[given.part]}").measure(results, device)
        sys.exit(1 if results.failed else 0)
    states = run(PARTS, out, 60 * given.minutes, has_gpu)
    wrong = [state for state in states if state["status"] not in ("done", "needs a GPU")]
    for state in wrong:
        print(f"part {state['number']}, {state['title']}: {state['status']}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
