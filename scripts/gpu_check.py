"""The GPU in one command: is it right, how fast is it, what stays.

    python -m scripts.gpu_check [--minutes 8] -o OUT

Five parts, each in a process of its own with a limit of time: correctness, steps of training, whole epochs at full
size, a profile, the emotion recogniser. OUT/gpu.json and OUT/gpu.md hold what has been measured so far, at any moment;
OUT/part1.log and so on what each part printed. A part that fails, hangs or is cut off says so, and the next begins.
Exit code 0 if all parts went through.

Nothing else need be prepared, and no network is used. Without a GPU parts 1 and 2 run at toy sizes, with Triton in its
interpreter: a test of the script, whose figures mean nothing.
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
State = dict[str, Any]  # of a part: what `scripts.gpu.report.markdown` takes


@dataclass(frozen=True)
class Part:
    """A part of the check.

    Parameters
    ----------
    number : int
    title : str
    share : float
        Of the time that the parts from this one on have left.
    command : list of str
        What runs it; it is told where to write and its limit of time (`-o OUT --limit SECONDS`).
    needs_gpu : bool
    """

    number: int
    title: str
    share: float
    command: list[str]
    needs_gpu: bool = False


# Which module's `measure(results, device)` is a part.
MODULES = {1: "correctness", 2: "steps", 3: "epochs", 4: "profile", 5: "emotion"}


def _part(number: int, title: str, share: float, needs_gpu: bool = False) -> Part:
    return Part(number, title, share, [sys.executable, "-m", "scripts.gpu_check", "--part", str(number)], needs_gpu)


PARTS = (
    _part(1, "correctness", 0.26),
    _part(2, "one step of training", 0.2),
    _part(3, "whole epochs at full size", 0.38, needs_gpu=True),
    _part(4, "profile of the best", 0.06, needs_gpu=True),
    _part(5, "the emotion recogniser", 0.1, needs_gpu=True),
)


def machine(has_gpu: bool) -> dict[str, Any]:
    """What it runs on."""
    there: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if has_gpu else "no GPU: toy sizes, the figures mean nothing",
        "machine": f"{machine_name()}, {os.cpu_count()} cores, load before: {os.getloadavg()[0]:.1f}",
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "cuDNN": torch.backends.cudnn.version() if has_gpu else None,
        "began": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }
    return there


def rows_of(out: Path, number: int) -> list[Row]:
    """What a part has measured so far."""
    file = out / f"part{number}.json"
    rows: list[Row] = read_json(file) if file.exists() else []
    return rows


def write_report(out: Path, there: dict[str, Any], parts: Sequence[State]) -> str:
    """Write gpu.json and gpu.md, and return the latter."""
    write_json(out / "gpu.json", {"machine": there, "parts": parts})
    text = markdown(there, parts)
    with atomic_path(out / "gpu.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return text


@contextlib.contextmanager
def running(part: Part, out: Path, limit: float, has_gpu: bool) -> Iterator[subprocess.Popen[bytes]]:
    """A part's process, and all that it starts: none outlives the part."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    if not has_gpu:
        environment |= {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [*part.command, "-o", str(out), "--limit", f"{limit:.1f}"]
    with (out / f"part{part.number}.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env=environment, start_new_session=True
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):  # all have ended
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run_part(part: Part, out: Path, limit: float, has_gpu: bool, report: Callable[[State], Any]) -> State:
    """Run a part to its end or its limit, and say how it went; `report` is told how it stands meanwhile."""
    state: State = {"number": part.number, "title": part.title, "limit": limit, "traceback": ""}
    began = time.monotonic()

    def tell(status: str) -> None:
        state.update(status=status, seconds=time.monotonic() - began, rows=rows_of(out, part.number))
        report(state)

    with running(part, out, limit, has_gpu) as process:
        code = None
        while code is None and time.monotonic() - began < limit:
            tell("running")
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(timeout=min(1.0, max(0.01, limit - (time.monotonic() - began))))
    if code == 0:
        tell("done")
        return state
    log = (out / f"part{part.number}.log").read_text(encoding="utf-8", errors="replace")
    state["traceback"] = "\n".join(log.splitlines()[-LINES_OF_TRACEBACK:])
    tell("cut off at its limit" if code is None else f"FAILED (exit code {code}; part{part.number}.log)")
    return state


def run(parts: Sequence[Part], out: Path, seconds: float, has_gpu: bool) -> list[State]:
    """Run all parts, print the report, and return how each of them went."""
    out.mkdir(parents=True, exist_ok=True)
    for part in parts:  # of an earlier check
        (out / f"part{part.number}.json").unlink(missing_ok=True)
    there, ends = machine(has_gpu), time.monotonic() + seconds
    states: list[State] = []

    def report(state: State) -> None:
        write_report(out, there, [*states, state])

    for place, part in enumerate(parts):
        if part.needs_gpu and not has_gpu:
            skipped = {"status": "needs a GPU", "limit": 0.0, "seconds": 0.0, "rows": [], "traceback": ""}
            states.append({"number": part.number, "title": part.title, **skipped})
            continue
        left = ends - time.monotonic()
        limit = max(1.0, left * part.share / sum(later.share for later in parts[place:]))
        print(f"part {part.number}, {part.title}: at most {limit:.0f} s", flush=True)
        states.append(run_part(part, out, limit, has_gpu, report))
    print(write_report(out, there, states))
    return states


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the check, or (in a process of its own) a part of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="a folder for the results")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all parts together [8]")
    parser.add_argument("--part", type=int, choices=MODULES, help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=float, default=60.0, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    has_gpu, out = torch.cuda.is_available(), given.output.absolute()
    if given.part:
        results = Results(out / f"part{given.part}.json", given.limit)
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
