"""One writer at a time: a second program that would write to the same place is told so."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from speech2vec.errors import UserError


@contextlib.contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Write to `path` as long as nobody else does: two runs in one folder would mix their files.

    The lock lies beside it, is free when this process ends, however it does, and holds on a shared file system too,
    where that knows locks.

    Raises
    ------
    UserError
        If another process holds it.
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    held = _held(lock, path)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        held.close()


def _held(lock: Path, path: Path) -> TextIO:
    while True:
        file = lock.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read() or "another process"
            file.close()
            raise UserError(f"{path} is being written by {owner}: wait for it, or stop it") from None
        except OSError:  # a file system without locks
            return file
        if _is_there(lock, file):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            return file
        file.close()


def _is_there(lock: Path, file: TextIO) -> bool:
    """Whether the open file is still the lock: its last owner may have taken it away before it was locked."""
    try:
        return os.path.samestat(lock.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
