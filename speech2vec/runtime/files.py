"""Files that are written completely or not at all, JSON, and the lock that keeps a second writer out."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError

from speech2vec.runtime.errors import UserError

# What a file system without locks (some network and FUSE mounts) answers to flock.
_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
_PARTIAL = re.compile(r"\..+\.\d+\.tmp")  # what is being written: .NAME.PROCESS.tmp


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`, and rename it to `path` when the block succeeds.

    A killed process leaves either the old file or the new one, never a partial file. After an error the partial file
    is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # "No space left on device" names no file
        raise
    except SafetensorError as error:
        raise _not_written(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_partial(folder: Path) -> None:
    """Remove what killed processes left of files and folders that they were writing; no other may write there."""
    for left in list(folder.rglob(".*.tmp")):
        if not _PARTIAL.fullmatch(left.name):
            continue
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)  # it may have gone with its folder


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Like `atomic_path`, for a folder: the new folder replaces `path` once it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            path.replace(old)
            temporary.replace(path)
            shutil.rmtree(old)
        else:
            temporary.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    except SafetensorError as error:
        raise _not_written(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_file(path: Path) -> Path:
    """Return `path`, which must be a regular file or a link to one: reading a FIFO or a device may never end.

    Raises
    ------
    UserError
        If it is a FIFO, a device or a socket.
    OSError
        If it does not exist or is a folder, as `open` would.
    """
    path = Path(path)
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise UserError(f"{path} is a FIFO, a device or a socket: only regular files are read, copy it to one")
    return path


def _not_written(path: Path, error: SafetensorError) -> OSError:
    """What safetensors says of a full disk, as the OSError that it was."""
    reason = str(error).rpartition("I/O error: ")[2]
    return OSError(errno.EIO, f"cannot be written ({reason})", str(path))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically. NaN raises ValueError: standard JSON has no such value."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if not is_utf8(text):
        raise UserError(f"{path} cannot be written: a path or text in it is not UTF-8; rename the file")
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file; a `UserError` names the file that is missing or invalid."""
    try:
        return json.loads(require_file(path).read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise UserError(f"{path} is not usable JSON: it is nested too deeply") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}: copy it again, or make it again") from error


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def append_json_line(path: Path, value: dict[str, Any]) -> None:
    """Append one line to a .jsonl file (metrics), in a single write."""
    line = json.dumps(value, ensure_ascii=False) + "\n"
    try:
        with Path(path).open("a", encoding="utf-8") as out:
            out.write(line)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


@contextlib.contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Hold the write lock of `path`: two processes that write to one folder would mix their files.

    The lock is the file ``.NAME.lock`` next to `path`. The system releases it when the process ends, however it ends.
    On a file system without locks nothing is locked.

    Raises
    ------
    UserError
        If another process holds the lock, or the lock file is a symbolic link.
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_name(f".{path.name}.lock")
    lock = FileLock(file, blocking=False, fallback_to_soft=False, on_acquired=_write_owner)
    try:
        lock.acquire()
    except Timeout as error:
        owner = ""
        with contextlib.suppress(OSError):  # released since
            owner = file.read_text(encoding="utf-8")
        raise UserError(f"{path} is being written by {owner or 'another process'}: wait for it, or stop it") from error
    except OSError as error:
        if error.errno == errno.ELOOP:  # never followed: somebody else's file would be overwritten through it
            raise UserError(f"{file}, the lock of {path}, is a symbolic link: remove it") from error
        if error.errno not in _NO_LOCKS:
            raise
    try:
        yield
    finally:
        file.unlink(missing_ok=True)  # while it is locked, so that no new owner loses its own
        lock.release()


def _write_owner(descriptor: int) -> None:
    os.truncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())


def inside(folder: Path, name: str) -> Path:
    """``folder / name`` for a name that was read from a file, which may be a stranger's.

    Raises
    ------
    UserError
        If the name is empty or not a string, or its path would lie outside the folder.
    """
    path = Path(name) if isinstance(name, str) and "\0" not in name else Path()
    if not path.parts or path.anchor or ".." in path.parts:
        raise UserError(f"{shortened(name)} cannot be a file name in {folder}: use a name without '..' and a leading /")
    return folder / path


def shortened(value: object, length: int = 60) -> str:
    """`value` as it is quoted in a message: with escapes, and cut after `length` characters."""
    try:
        text = ascii(value[:length]) + "..." * (len(value) > length) if isinstance(value, str) else ascii(value)
    except (ValueError, RecursionError):  # an integer of over 4,300 digits, for one
        return f"a {type(value).__name__} that is too long"
    return text if isinstance(value, str) or len(text) <= length else f"{text[:length]}..."


def read_json_as(path: Path, kind: Any, what: str) -> Any:
    """Read a JSON file whose contents must have the type `kind` (as pydantic checks it); they are returned as read.

    Raises
    ------
    UserError
        If the file is missing or invalid JSON, or is not `what` ("the run.json of a run"): where it differs.
    """
    value = read_json(path)
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        found = f"{shortened(where)}: {first['msg']}" if where else first["msg"]
        raise UserError(f"{path} is not {what}: {found}: copy it again, or make it again") from error
    return value


def is_utf8(text: str) -> bool:
    """Whether a text can be written: a file name that is not UTF-8 has lone surrogates, and so may JSON."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
