"""TODO"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from speech2vec.runtime.errors import UserError


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
