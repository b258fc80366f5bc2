"""Damage the files of every reader, read them, and count what ends in anything but a result or one clear line.

    python tests/hostile/fuzz.py --inputs 3000          # or --minutes 30; --seed, --target NAME, --only NUMBER

The inputs are read in a process of its own, of which the parent learns where it crashed or hung: a watchdog ends it
after `SECONDS` of computing on one input. It may claim 1 GB of address space beyond what the libraries claimed. Input
number N of a seed is the same in every run, so that a fault can be repeated: ``--target NAME --only N``.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import mmap
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait for each other would count as computing
HERE = Path(__file__).resolve().parent
# FUZZ_TARGETS: a folder whose emotion_targets.py is used instead, for the tests of this program itself.
OTHERS = [Path(os.environ["FUZZ_TARGETS"])] if "FUZZ_TARGETS" in os.environ else []
PATHS = [*OTHERS, HERE.parents[1], HERE, HERE.parent / "speech2vec", HERE.parent / "align", HERE.parent / "emotion"]
sys.path[:0] = [str(path) for path in PATHS if str(path) not in sys.path]

if TYPE_CHECKING:
    from targets import Target

SLOW = 3.0  # seconds of a core for one input: a fault
SECONDS = float(os.environ.get("FUZZ_SECONDS", "10"))  # of a core for one input: the watchdog ends it
WAITING = 120.0  # seconds of the clock, for what waits and computes nothing; other work on the machine counts here
BEYOND = 2**30  # bytes of address space, beyond those of the libraries
LONGEST_MESSAGE = 300


@dataclass(frozen=True)
class Fault:
    """What an input came to that should not be."""

    target: str
    number: int
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"--target {self.target!r} --only {self.number}: {self.kind}: {self.detail}"


def all_targets() -> list[Target]:
    from emotion_targets import EMOTION_TARGETS
    from targets import TARGETS
    from vector_targets import VECTOR_TARGETS

    return [*TARGETS, *VECTOR_TARGETS, *EMOTION_TARGETS]


def outcome(read: Callable[[], object]) -> tuple[str, str]:
    """How reading ended: "read" or "refused", or the kind of fault; and what was said."""
    from speech2vec.runtime.errors import UserError

    began = time.process_time()
    kind, said = "read", ""
    try:
        read()
    except UserError as error:
        kind, said = "refused", str(error)
        if len(said) > LONGEST_MESSAGE or not said.isprintable():
            kind = "no clear line"
        if any(isinstance(cause, MemoryError) or "allocate memory" in str(cause) for cause in _causes(error)):
            kind = "too large an allocation"
    except OSError as error:
        # The command line says which file; without one there is nothing to say.
        kind, said = ("refused" if error.filename else "traceback"), f"{type(error).__name__}: {error}"
    except MemoryError as error:
        kind, said = "too large an allocation", _where(error)
    except BaseException as error:
        kind, said = "traceback", _where(error)
    if time.process_time() - began > SLOW:
        kind = "slow"
    return kind, said


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _where(error: BaseException) -> str:
    trace, place = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if "site-packages" not in code.co_filename and "hostile" not in Path(code.co_filename).parent.name:
            place = f"{Path(code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__} at {place}: {str(error)[:300]}"


class Bench:
    """The whole instances of some targets, and folders in which they are damaged."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self._made: set[str] = set()

    def whole(self, target: Target) -> Path:
        folder = self.folder / "whole" / target.make.__name__
        if target.make.__name__ not in self._made:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            target.make(folder)
            self._made.add(target.make.__name__)
        return folder

    def read(self, target: Target, number: int) -> Callable[[], object]:
        """Write input `number` of a target, and return the call that reads it."""
        from mutations import damaged
        from targets import ALONE, files_of

        random = Random(f"{self.seed} {target.name} {number}")
        whole = self.whole(target)
        files = files_of(target, whole)
        chosen = random.choice(files)
        data = damaged(chosen.read_bytes(), chosen.name, random)
        scratch = self.folder / "damaged"
        shutil.rmtree(scratch, ignore_errors=True)
        if target.name in ALONE:
            scratch.mkdir()
        else:
            shutil.copytree(whole, scratch, symlinks=True)
        (scratch / chosen.relative_to(whole)).write_bytes(data)
        return lambda: target.read(scratch)


def schedule(targets: list[Target], seed: int) -> Iterator[tuple[Target, int]]:
    """Targets in turn, by weight, with the number of each of their inputs."""
    counts: Counter[str] = Counter()
    random = Random(seed)
    while True:
        (target,) = random.choices(targets, [target.weight for target in targets])
        yield target, counts[target.name]
        counts[target.name] += 1


def work(arguments: argparse.Namespace) -> None:
    """The process that reads: a line for each input to `--log`, and in `--place` the number of the current one."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # the others reserve address space that they do not use
    faulthandler.register(signal.SIGPROF, file=sys.__stderr__, chain=True)  # prints where it is; then the process ends
    targets = chosen_targets(arguments.target)
    bench = Bench(Path(arguments.folder), arguments.seed)
    for target in targets:
        bench.whole(target)
        shutil.copytree(bench.whole(target), Path(arguments.folder) / "warm")
        kind, said = outcome(lambda target=target: target.read(Path(arguments.folder) / "warm"))  # type: ignore[misc]
        shutil.rmtree(Path(arguments.folder) / "warm")
        if kind != "read" and target.name not in _alone():
            raise RuntimeError(f"{target.name} cannot read what it wrote: {kind} {said}")
    claimed = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (claimed + BEYOND, resource.RLIM_INFINITY))
    with Path(arguments.log).open("a") as log, Path(arguments.place).open("r+b", buffering=0) as place:
        for i, (target, number) in enumerate(schedule(targets, arguments.seed)):
            if i < arguments.first:
                continue
            if i >= arguments.inputs or time.time() > arguments.until:
                break
            read = bench.read(target, number)
            place.seek(0)
            place.write(struct.pack("<q", i))
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            faulthandler.dump_traceback_later(WAITING, exit=True, file=sys.__stderr__)
            kind, said = outcome(read)
            faulthandler.cancel_dump_traceback_later()
            signal.setitimer(signal.ITIMER_PROF, 0)
            log.write(json.dumps([target.name, number, kind, said]) + "\n")
            log.flush()


def _alone() -> set[str]:
    from targets import ALONE

    return ALONE


def chosen_targets(name: str) -> list[Target]:
    return [target for target in all_targets() if name in ("", target.name)]


def run(
    seed: int, inputs: int, minutes: float = 0.0, target: str = "", first: int = 0
) -> tuple[Counter[str], list[Fault]]:
    """Read `inputs` inputs (or as many as the minutes allow): how often each outcome came, and the faults."""
    until = time.time() + minutes * 60 if minutes else float(2**40)
    faults: list[Fault] = []
    with tempfile.TemporaryDirectory() as folder:
        log, place = Path(folder) / "log", Path(folder) / "place"
        log.touch()
        while True:
            place.write_bytes(struct.pack("<q", -1))
            command = [sys.executable, str(HERE / "fuzz.py"), "--work", "--seed", str(seed), "--target", target]
            command += ["--inputs", str(inputs), "--first", str(first), "--until", str(until)]
            command += ["--folder", folder, "--log", str(log), "--place", str(place)]
            env = {**os.environ, "TMPDIR": folder}  # what a process that hangs leaves goes with the folder
            ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=env)
            (at,) = struct.unpack("<q", place.read_bytes())
            if ended.returncode == 0:
                break
            if at < first:
                raise RuntimeError(f"the fuzzer does not start: {ended.stderr[-2000:]}")
            name, number = _input_at(target, seed, at)
            hung = ended.returncode == -signal.SIGPROF or "Timeout" in ended.stderr
            lines = dict.fromkeys(line for line in ended.stderr.splitlines() if not line.startswith("Warning: Xing"))
            said = f"exit code {ended.returncode}: {' | '.join(lines)[-1500:]}"
            faults.append(Fault(name, number, "hang" if hung else "crash", said))
            print(faults[-1], file=sys.stderr, flush=True)
            first = at + 1
            if first >= inputs:
                break
        rows: list[list[Any]] = [json.loads(line) for line in log.read_text().splitlines()]
    faults += [Fault(*row) for row in rows if row[2] not in ("read", "refused")]
    counts = Counter(row[2] for row in rows)
    counts.update(fault.kind for fault in faults if fault.kind in ("hang", "crash"))
    return counts, faults


def _input_at(target: str, seed: int, at: int) -> tuple[str, int]:
    for i, (chosen, number) in enumerate(schedule(chosen_targets(target), seed)):
        if i == at:
            return chosen.name, number
    raise AssertionError


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inputs", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--target", default="")
    parser.add_argument("--only", type=int)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--keep", type=Path, help="with --only: where the damaged files are kept")
    for internal in ("folder", "log", "place"):
        parser.add_argument(f"--{internal}", help=argparse.SUPPRESS)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, default=float(2**40), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments)
        return
    if arguments.list:
        print("\n".join(target.name for target in all_targets()))
        return
    if arguments.only is not None:
        (target,) = chosen_targets(arguments.target)
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder), arguments.seed)
            read = bench.read(target, arguments.only)
            if arguments.keep:
                shutil.copytree(Path(folder) / "damaged", arguments.keep)
            read()
        return
    began = time.monotonic()
    counts, faults = run(
        arguments.seed, arguments.inputs or (2**40 if arguments.minutes else 3000), arguments.minutes, arguments.target
    )
    print(f"{counts.total():,} inputs in {time.monotonic() - began:.0f} s: {dict(counts.most_common())}")
    by_detail: dict[tuple[str, str], list[Fault]] = {}
    for fault in faults:
        by_detail.setdefault((fault.kind, fault.detail[:60]), []).append(fault)
    for same in by_detail.values():
        print(f"{len(same)} x {same[0]}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
