"""What all command lines share: options, one-line errors and exit codes. Only command lines import it."""

from __future__ import annotations

import os
import sys
import traceback
from enum import Enum
from pathlib import Path
from typing import Annotated, NoReturn

import click
import typer

from speech2vec.runtime.errors import BUG, DONE, INTERRUPTED, USER_ERROR, UserError, clear_line
from speech2vec.runtime.seeds import LARGEST_SEED


class Device(str, Enum):
    """The device to compute on; auto is CUDA if available."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


OutputOption = Annotated[Path, typer.Option("-o", "--output", help="Where to write the result.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="Settings from a TOML file.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="One setting: key.sub=value (repeatable).")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Seed of every random choice.")]
SeedSettingOption = Annotated[
    int | None,
    typer.Option("--seed", min=0, max=LARGEST_SEED, help="Seed of every random choice; short for --set seed=N."),
]
JobsOption = Annotated[int, typer.Option("--jobs", min=0, help="Number of processes; 0 uses one per core.")]
DeviceOption = Annotated[Device, typer.Option("--device", help="Device to compute on.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Show only errors and the result.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
ShardOption = Annotated[
    str | None, typer.Option("--shard", metavar="K/N", help="Process only part K of N; 'merge' joins the parts.")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run where it stopped.")]


# Of ImportError, OSError, OpenBLAS and torch.
_OUT_OF_MEMORY = ("failed to map segment", "cannot allocate memory", "can't allocate memory", "not enough memory")


def exit_with_error(message: str, code: int = USER_ERROR) -> NoReturn:
    """Exit with one line on standard error."""
    print(f"error: {clear_line(message)}", file=sys.stderr)
    raise SystemExit(code)


def _exit_on_broken_pipe() -> NoReturn:
    """Exit without an error when the reader of a pipe is gone (`... | head`)."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
    raise SystemExit(DONE) from None


def _is_out_of_memory(error: Exception) -> bool:
    """Whether an exception, of Python, of a library or of its import, says that the memory is not enough."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in said for sign in _OUT_OF_MEMORY)


def _exit_out_of_memory(error: Exception) -> NoReturn:
    exit_with_error(
        f"the memory is not enough ({type(error).__name__}: {error}): raise the limit of this process "
        "(ulimit -v unlimited), end other programs, or choose smaller settings"
    )


def run_app(app: click.Command | typer.Typer) -> None:
    """Run a command line: a `UserError` becomes one line and exit code 2, an interrupt exit code 130.

    Any other exception is a bug: a traceback and exit code 70 (Python's own 1 means "done with failures" here).
    """
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        exit_with_error(str(error))
    except click.Abort:
        exit_with_error("interrupted", INTERRUPTED)
    except click.ClickException as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # click 8.2 and later
            error.show()
            raise SystemExit(USER_ERROR) from None
        exit_with_error(error.format_message())
    except KeyboardInterrupt:
        exit_with_error("interrupted", INTERRUPTED)
    except BrokenPipeError:
        _exit_on_broken_pipe()
    except SystemExit:
        if isinstance(sys.stdout, click.utils.PacifyFlushWrapper):  # how typer handles a broken pipe, with code 1
            _exit_on_broken_pipe()
        raise
    except OSError as error:
        if _is_out_of_memory(error):
            _exit_out_of_memory(error)
        # A full disk or a folder without write permission, not a bug.
        exit_with_error(f"{error.filename or 'cannot write'}: {error.strerror or error}")
    except Exception as error:
        if _is_out_of_memory(error):
            _exit_out_of_memory(error)
        traceback.print_exc()
        raise SystemExit(BUG) from None
    if code == INTERRUPTED:  # some versions of typer turn Ctrl-C into this exit code
        exit_with_error("interrupted", INTERRUPTED)
    raise SystemExit(code if isinstance(code, int) else DONE)
