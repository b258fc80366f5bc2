"""What all command lines share: options, progress, log lines, one-line errors with exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from enum import Enum
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import click
import typer

from speech2vec.runtime.errors import BUG, DONE, INTERRUPTED, USER_ERROR, UserError
from speech2vec.runtime.seeds import LARGEST_SEED

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


def exit_with_error(message: str, code: int = USER_ERROR) -> NoReturn:
    """End the program with one line on standard error."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(code)


def _exit_on_broken_pipe() -> NoReturn:
    """The reader went away (`... | head`): nothing is wrong, and nothing more can be said."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
    raise SystemExit(DONE) from None


def run_app(app: click.Command | typer.Typer) -> None:
    """Run a command line: a user's error becomes one line and exit code 2, an interrupt exit code 130.

    Anything else is a fault of the program: a traceback and exit code 70 (Python's own 1 is "done with failures").
    """
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        exit_with_error(str(error))
    except click.Abort:
        exit_with_error("interrupted", INTERRUPTED)
    except click.ClickException as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # of click 8.2 on
            error.show()
            raise SystemExit(USER_ERROR) from None
        exit_with_error(error.format_message())
    except KeyboardInterrupt:
        exit_with_error("interrupted", INTERRUPTED)
    except BrokenPipeError:
        _exit_on_broken_pipe()
    except SystemExit:
        if isinstance(sys.stdout, click.utils.PacifyFlushWrapper):  # what typer makes of a broken pipe, with code 1
            _exit_on_broken_pipe()
        raise
    except OSError as error:
        # A full disk, a folder that may not be written to; a bug would not come as an error of the system.
        exit_with_error(f"{error.filename or 'writing'}: {error.strerror or error}")
    except Exception:
        traceback.print_exc()
        raise SystemExit(BUG) from None
    if code == INTERRUPTED:  # some versions of typer make Ctrl-C this exit code
        exit_with_error("interrupted", INTERRUPTED)
    raise SystemExit(code if isinstance(code, int) else DONE)
