"""Archives from elsewhere: unpacked without ever writing outside of the folder that was named."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from speech2vec.console import Tracker
from speech2vec.errors import UserError

_CHUNK = 1 << 20


def unpack(archive: Path, folder: Path, quiet: bool = False) -> None:
    """Unpack a zip or tar archive (compressed or not, by content): plain files and folders only.

    Raises
    ------
    UserError
        When the archive is damaged, or not an archive, or a member is a link, a device, or lies outside of the folder.
    """
    try:
        with Tracker(f"unpacking {archive.name}", None, "files", quiet) as tracker:
            for name, opened in _members(archive):
                target = _inside(archive, folder, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened() as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out, _CHUNK)
                tracker.advance()
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, lzma.LZMAError) as error:
        raise UserError(f"{archive} is a damaged archive, or none ({error})") from error


def _members(archive: Path) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    """Name of each plain file in an archive, and how to open it."""
    with archive.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    if is_zip:
        with zipfile.ZipFile(archive) as opened_zip:
            for info in opened_zip.infolist():
                kind = info.external_attr >> 28  # the Unix file type, 0 where it is not given
                if info.is_dir() or kind == 0o04:
                    continue
                if info.flag_bits & 1:
                    raise UserError(f"{archive}: the member '{info.filename}' is encrypted")
                if kind not in (0, 0o10):
                    raise UserError(f"{archive}: the member '{info.filename}' is a link or a device, which is refused")
                yield info.filename, lambda info=info: opened_zip.open(info)  # type: ignore[misc]
        return
    with tarfile.open(archive, "r:*") as opened_tar:
        for member in opened_tar:
            if member.isdir():
                continue
            if not member.isreg():
                raise UserError(f"{archive}: the member '{member.name}' is a link or a device, which is refused")
            yield member.name, lambda member=member: opened_tar.extractfile(member)  # type: ignore[misc]


def _inside(archive: Path, folder: Path, name: str) -> Path:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0].startswith("/") or ".." in parts or ":" in parts[0] or "\0" in name:
        raise UserError(f"{archive}: the member '{name}' would lie outside of the folder, which is refused")
    return folder.joinpath(*parts)
