"""What all command lines share: options, progress, log lines, one-line errors with exit codes."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import click
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from speech2vec.errors import UserError
from speech2vec.seeds import LARGEST_SEED

DONE, DONE_WITH_FAILURES, USER_ERROR, BUG, INTERRUPTED = 0, 1, 2, 70, 130

log = logging.getLogger("speech2vec")
T = TypeVar("T")


class Device(str, Enum):
    """Where tensors live; auto is CUDA where there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


OutputOption = Annotated[Path, typer.Option("-o", "--output", help="Where the result is written.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="Settings from a TOML file.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="One setting: key.sub=value (repeatable).")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Seed of every random choice.")]
SeedSettingOption = Annotated[
    int | None,
    typer.Option("--seed", min=0, max=LARGEST_SEED, help="Every random choice; short for --set seed."),
]
JobsOption = Annotated[int, typer.Option("--jobs", min=0, help="Processes; 0 is one a core.")]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where to compute.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Only errors and the result.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is already at the output.")]
ShardOption = Annotated[
    str | None, typer.Option("--shard", metavar="K/N", help="Only part K of N; 'merge' joins the parts.")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")]


def count_jobs(jobs: int) -> int:
    """The number of processes that ``--jobs`` asks for; 0 is one for each core this process may use."""
    if jobs:
        return jobs
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parse_shard(text: str) -> tuple[int, int]:
    """``2/8`` -> (2, 8).

    Raises
    ------
    UserError
        If it is not K/N with 1 <= K <= N.
    """
    k, slash, n = text.partition("/")
    if not slash or not k.isdecimal() or not n.isdecimal() or not 1 <= int(k) <= int(n):
        raise UserError(f"--shard takes K/N with K from 1 to N (2/8, say), not '{text}'")
    return int(k), int(n)


def set_up_logging(quiet: bool) -> None:
    """Log lines go to standard error, so that standard output holds results only; of libraries, warnings only."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr, level=logging.WARNING, force=True)
    log.setLevel(logging.WARNING if quiet else logging.INFO)


def claim_output(
    path: Path,
    *,
    force: bool = False,
    resume: bool | None = None,
    inputs: Iterable[str | Path | None] = (),
    folder_with: Iterable[str] = (),
) -> None:
    """Refuse to write over what is there, unless the user says ``--force`` (it goes) or ``--resume`` (it stays).

    Call it once the input is known to be good: what is there is lost only for something better.

    Parameters
    ----------
    path : Path
    force : bool
    resume : bool or None
        None: the command has no such option.
    inputs : iterable of path or None
        None of them may be the output or lie in it.
    folder_with : iterable of str
        If the output is a folder: patterns of names, at least one of which is found in it if the command wrote it.
        Other folders are not replaced. Where none is given, the output is a file, and folders stay.
    """
    check_output(path, force=force, resume=resume, inputs=inputs, folder_with=folder_with)
    if not force or not _holds_something(path):
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def check_output(
    path: Path,
    *,
    force: bool = False,
    resume: bool | None = None,
    inputs: Iterable[str | Path | None] = (),
    folder_with: Iterable[str] = (),
    option: str = "-o/--output",
) -> None:
    """The refusals of `claim_output` alone: for what replaces its output itself, once the new one is whole.

    `option` is how the command line calls the path.
    """
    if force and resume:
        raise UserError("--force starts anew and --resume goes on: give one of the two")
    for given in inputs:
        if given is not None and path.resolve() in ((whole := Path(given).resolve()), *whole.parents):
            raise UserError(f"{option} {path} is or holds the input {given}: give another")
    patterns = list(folder_with)
    if path.is_dir() and not patterns:
        raise UserError(f"{path} is a folder: {option} takes a file here")
    if path.is_file() and patterns:
        raise UserError(f"{path} is a file: {option} takes a folder here")
    if not _holds_something(path):
        return
    if not (force or resume):
        go_on = "" if resume is None else "--resume goes on with it, "
        raise UserError(f"{path} is already there; {go_on}--force replaces it, another {option} keeps it")
    if force and patterns and not path.is_symlink() and not any(any(path.glob(pattern)) for pattern in patterns):
        raise UserError(
            f"{path} does not look like what this command writes (no {' or '.join(patterns)} in it), so --force does "
            f"not remove it: give another {option}, or remove it yourself"
        )


def _holds_something(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.1f} {task.fields.get('unit', '')}/s" if speed else "", style="dim")


class _Elapsed:
    """Plain progress lines for logs and pipes: at most one every `every` seconds."""

    def __init__(self, description: str, total: int | None, unit: str, every: float = 15.0) -> None:
        self.description, self.total, self.unit, self.every = description, total, unit, every
        self.started = self.last = time.monotonic()
        self.done = 0

    def advance(self, steps: int = 1) -> None:
        self.done += steps
        now = time.monotonic()
        if now - self.last >= self.every:
            self.last = now
            self.line(now)

    def line(self, now: float) -> None:
        rate = self.done / max(now - self.started, 1e-9)
        left = f", {(self.total - self.done) / rate:,.0f} s left" if self.total and rate else ""
        total = f" of {self.total:,}" if self.total else ""
        log.info("%s: %s%s %s, %.1f/s%s", self.description, f"{self.done:,}", total, self.unit, rate, left)


class Tracker:
    """Progress with rate and time left: a bar on a terminal, plain lines elsewhere, nothing when quiet.

    Examples
    --------
    >>> with Tracker("aligning", total=3, unit="utterances", quiet=True) as tracker:
    ...     for _ in range(3):
    ...         tracker.advance()
    """

    def __init__(self, description: str, total: int | None, unit: str = "", quiet: bool = False) -> None:
        self._bar: Progress | None = None
        self._lines: _Elapsed | None = None
        if quiet:
            return
        console = Console(stderr=True)
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                _Rate(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=console,
            )
            self._task = self._bar.add_task(description, total=total, unit=unit, note="")
        else:
            self._lines = _Elapsed(description, total, unit)

    def __enter__(self) -> Tracker:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """Count `steps` more; `note` is shown at the end of the bar (a running loss, say)."""
        if self._bar:
            self._bar.advance(self._task, steps)
            if note is not None:
                self._bar.update(self._task, note=note)
        elif self._lines:
            self._lines.advance(steps)


def track(items: Iterable[T], description: str, total: int, unit: str = "", quiet: bool = False) -> Iterator[T]:
    """`items`, with progress shown."""
    with Tracker(description, total, unit, quiet) as tracker:
        for item in items:
            yield item
            tracker.advance()


def fail(message: str, code: int = USER_ERROR) -> NoReturn:
    """End the program with one line on standard error."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(code)


def _end_unheard() -> NoReturn:
    """The reader went away (`... | head`): nothing is wrong, and nothing more can be said."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
    raise SystemExit(DONE) from None


def run_app(app: typer.Typer) -> None:
    """Run a command line: a user's error becomes one line and exit code 2, an interrupt exit code 130.

    Anything else is a fault of the program: a traceback and exit code 70 (Python's own 1 is "done with failures").
    """
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        fail(str(error))
    except click.Abort:
        fail("interrupted", INTERRUPTED)
    except click.ClickException as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # of click 8.2 on
            error.show()
            raise SystemExit(USER_ERROR) from None
        fail(error.format_message())
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        _end_unheard()
    except SystemExit:
        if isinstance(sys.stdout, click.utils.PacifyFlushWrapper):  # what typer makes of a broken pipe, with code 1
            _end_unheard()
        raise
    except OSError as error:
        # A full disk, a folder that may not be written to; a bug would not come as an error of the system.
        fail(f"{error.filename or 'writing'}: {error.strerror or error}")
    except Exception:
        traceback.print_exc()
        raise SystemExit(BUG) from None
    if code == INTERRUPTED:  # some versions of typer make Ctrl-C this exit code
        fail("interrupted", INTERRUPTED)
    raise SystemExit(code if isinstance(code, int) else DONE)
