"""Outputs that already exist: refused, replaced (``--force``) or kept and completed (``--resume``)."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import is_utf8

# What `speech2vec.runtime.files` leaves in a folder when a process is killed.
_LEFTOVER = re.compile(r"\..+\.(lock|\d+\.(tmp|old))")


@dataclass(frozen=True)
class FolderContents:
    """What a command, and those that follow it in the documentation, write to an output folder.

    Parameters
    ----------
    marks : tuple of str
        Glob patterns of files, at least one of which is in every folder that the command wrote, complete or not.
    others : tuple of str
        Glob patterns of all other files.
    """

    marks: tuple[str, ...]
    others: tuple[str, ...] = ()

    def below(self, folder: str) -> tuple[str, ...]:
        """The patterns of all files, for such a folder inside another."""
        return tuple(f"{folder}/{pattern}" for pattern in self.marks + self.others)

    def foreign_file(self, folder: Path) -> Path | None:
        """The first file of `folder` that matches no pattern, relative to it; None if there is none."""
        expected = {path for pattern in self.marks + self.others for path in folder.glob(pattern)}
        for path in sorted(folder.rglob("*")):
            inner = path.relative_to(folder)
            is_file = path.is_symlink() or not path.is_dir()
            if is_file and path not in expected and not any(map(_LEFTOVER.fullmatch, inner.parts)):
                return inner
        return None


def claim_output(
    path: Path,
    *,
    force: bool = False,
    resume: bool | None = None,
    inputs: Iterable[str | Path | None] = (),
    folder: FolderContents | None = None,
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
    folder : FolderContents or None
        For an output folder: what it may hold. One that holds anything else is never removed. None if the output is a
        file.

    Raises
    ------
    UserError
        If the output exists and must not be overwritten.
    """
    check_output(path, force=force, resume=resume, inputs=inputs, folder=folder)
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
    folder: FolderContents | None = None,
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
    if path.is_dir() and folder is None:
        raise UserError(f"{path} is a folder, but {option} must be a file")
    if path.is_file() and folder is not None:
        raise UserError(f"{path} is a file, but {option} must be a folder")
    if not _has_content(path):
        return
    if not (force or resume):
        continue_ = "" if resume is None else "--resume continues it, "
        raise UserError(f"{path} already exists; {continue_}--force replaces it, another {option} keeps it")
    if force and folder is not None and not path.is_symlink():  # of a link, only the link is removed
        advice = f"so --force does not remove it: use another {option}, or remove it yourself"
        if not any(any(path.glob(pattern)) for pattern in folder.marks):
            marks = " or ".join(folder.marks)
            raise UserError(f"{path} was not written by this command (it contains no {marks}), {advice}")
        if foreign := folder.foreign_file(path):
            raise UserError(f"{path} contains {foreign}, which this command did not write, {advice}")


def _has_content(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()
