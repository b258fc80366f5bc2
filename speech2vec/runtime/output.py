"""Outputs that already exist: refused, replaced (``--force``) or kept and completed (``--resume``)."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import is_utf8


def claim_output(
    path: Path,
    *,
    force: bool = False,
    resume: bool | None = None,
    inputs: Iterable[str | Path | None] = (),
    folder_with: Iterable[str] = (),
) -> None:
    """Refuse to overwrite an existing output, unless ``--force`` (remove it) or ``--resume`` (keep it) is given.

    Call it after the input has been checked, so that invalid input never costs an existing output.

    Parameters
    ----------
    path : Path
    force : bool
    resume : bool or None
        None if the command has no such option.
    inputs : iterable of path or None
        Paths that must not be the output or lie in it; None entries are skipped.
    folder_with : iterable of str
        For an output folder: glob patterns, at least one of which matches in every folder that the command wrote;
        other folders are never removed. Empty if the output is a file.

    Raises
    ------
    UserError
        If the output exists and must not be overwritten.
    """
    check_output(path, force=force, resume=resume, inputs=inputs, folder_with=folder_with)
    if not force or not _has_content(path):
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
    """The checks of `claim_output` without removing anything, for code that replaces its output once complete.

    `option` is the name of the path on the command line.
    """
    if force and resume:
        raise UserError("--force starts over and --resume continues: use one of the two")
    if not is_utf8(str(path.absolute())):  # it is recorded in files
        raise UserError(f"{option} {path.name!a} or its folder has a name that is not UTF-8: use another one")
    for given in inputs:
        if given is not None and path.resolve() in ((resolved := Path(given).resolve()), *resolved.parents):
            raise UserError(f"{option} {path} is or contains the input {given}: use another path")
    patterns = list(folder_with)
    if path.is_dir() and not patterns:
        raise UserError(f"{path} is a folder, but {option} must be a file")
    if path.is_file() and patterns:
        raise UserError(f"{path} is a file, but {option} must be a folder")
    if not _has_content(path):
        return
    if not (force or resume):
        continue_ = "" if resume is None else "--resume continues it, "
        raise UserError(f"{path} already exists; {continue_}--force replaces it, another {option} keeps it")
    if force and patterns and not path.is_symlink() and not any(any(path.glob(pattern)) for pattern in patterns):
        raise UserError(
            f"{path} was not written by this command (it contains no {' or '.join(patterns)}), so --force does not "
            f"remove it: use another {option}, or remove it yourself"
        )


def _has_content(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()
