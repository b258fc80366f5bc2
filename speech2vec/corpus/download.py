"""Public data, fetched with checksums: resumed where a transfer broke, put in place whole or not at all.

Archives from elsewhere: unpacked without ever writing outside of the folder that was named.
"""

from __future__ import annotations

import filecmp
import hashlib
import logging
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pooch
import requests

from speech2vec.corpus.datasets import Dataset, RemoteFile
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import read_json, write_json
from speech2vec.runtime.progress import Tracker

log = logging.getLogger("speech2vec")


_CHUNK = 1 << 20


_RECEIVED = 1 << 16  # at most this much of what came is lost when a transfer breaks


_STATE = ".downloads"  # in the output folder: half-fetched files, and a record of what is whole


def download(
    dataset: Dataset,
    output: Path,
    local: Path | None = None,
    mirror: str | None = None,
    force: bool = False,
    quiet: bool = False,
) -> list[Path]:
    """Fetch a dataset into a folder, which may hold others already.

    Parameters
    ----------
    dataset : Dataset
    output : Path
        Files are put here; of an archive, its members.
    local : Path or None
        Instead of the network: the archive itself; for a dataset of several files, a folder or an archive holding them.
    mirror : str or None
        Address of a folder that holds the same files; the checksums stay as they are.
    force : bool
        Fetch again what is there, and replace files that differ.
    quiet : bool

    Returns
    -------
    list of Path
        What now lies in `output`: files, or the top folders of an archive. Empty if all of it was there already.

    Raises
    ------
    UserError
        When a transfer fails (what came is kept, and the next call goes on there), a checksum is wrong, an archive is
        damaged or would write outside of `output`, or a file that differs is in the way.
    """
    state = output / _STATE
    record = state / f"{dataset.name.replace(':', '-')}.json"
    if not force and record.exists() and all((output / name).exists() for name in read_json(record)["placed"]):
        log.info("%s is already in %s; --force fetches it again", dataset.name, output)
        return []
    for file in dataset.files:
        if file.checksum is None:
            log.warning("%s publishes no checksums: what comes from there is NOT verified", dataset.source)
            break
    state.mkdir(parents=True, exist_ok=True)
    staged = state / f"{record.stem}.staged"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    try:
        if dataset.archive:
            (file,) = dataset.files
            archive = local or _fetch(file, state, mirror, quiet)
            if local:
                verify(local, file.checksum)
            unpack(archive, staged, quiet=quiet)
        elif local:
            _take(dataset, local, staged, quiet)
            archive = None
        else:
            for file in dataset.files:
                fetched = _fetch(file, state, mirror, quiet)
                (staged / file.path).parent.mkdir(parents=True, exist_ok=True)
                fetched.replace(staged / file.path)
            archive = None
        placed = _merge(staged, output, force)
    except OSError as error:
        raise UserError(f"{error.filename or output} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    write_json(
        record,
        {
            "name": dataset.name,
            "source": dataset.source,
            "licence": dataset.licence,
            "files": [{"path": f.path, "url": f.url, "checksum": f.checksum} for f in dataset.files],
            "from": str(local) if local else mirror,
            "placed": [path.relative_to(output).as_posix() for path in placed],
        },
    )
    if archive is not None and archive != local:
        archive.unlink()
    return placed


def verify(path: Path, checksum: str | None) -> None:
    """Raise a `UserError` unless the file has the checksum (None: nothing to compare with)."""
    if not path.is_file():
        raise UserError(f"{path} is not there, or no file")
    if checksum is None:
        return
    algorithm, _, expected = checksum.partition(":")
    digest = hashlib.new(algorithm)
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    if digest.hexdigest() != expected:
        raise UserError(
            f"{path} has the {algorithm} checksum {digest.hexdigest()}, {expected} is right: "
            "it is damaged or another version"
        )


def _fetch(file: RemoteFile, folder: Path, mirror: str | None, quiet: bool) -> Path:
    """One file by pooch into a flat folder; it is there only once it is whole and its checksum is right."""
    url = f"{mirror.rstrip('/')}/{file.path}" if mirror else file.url
    name = file.path.replace("/", "-")
    pooch.get_logger().setLevel(logging.WARNING)
    resuming = _Resuming(folder / f"{name}.part", quiet)
    try:
        if file.checksum is None:
            (folder / name).unlink(missing_ok=True)  # nothing says whether an old one is right
        fetched = pooch.retrieve(url, known_hash=file.checksum, fname=name, path=folder, downloader=resuming)
    except requests.RequestException as error:
        reason = _reason(error)
        raise UserError(f"{url} cannot be fetched ({reason}); the same command goes on where it broke") from error
    except ValueError as error:  # pooch's word for a wrong checksum; the file is gone by then
        raise UserError(
            f"{url} does not have the checksum {file.checksum}: the file there is damaged or has changed; "
            f"if you have the right one, give it with --from"
        ) from error
    return Path(fetched)


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    return type(error).__name__


class _Resuming:
    """A pooch downloader that keeps what came in a ``.part`` file and asks for the rest next time."""

    def __init__(self, part: Path, quiet: bool) -> None:
        self.part, self.quiet = part, quiet

    def __call__(self, url: str, output_file: Any, pooch: Any, check_only: bool = False) -> None:
        have = self.part.stat().st_size if self.part.exists() else 0
        # "identity": a compressed answer would be counted, and resumed, in the wrong bytes.
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=(30, 120)) as answer:
            if answer.status_code == 416:  # nothing is left to send, or the file there is shorter by now
                total = answer.headers.get("Content-Range", "").rpartition("/")[2]
                if total != str(have):
                    self.part.unlink()
                    return self(url, output_file, pooch)
            else:
                answer.raise_for_status()
                resumed = answer.status_code == 206
                have = have if resumed else 0
                length = answer.headers.get("Content-Length")
                total_bytes = have + int(length) if length else None
                self._receive(answer, have, total_bytes)
        shutil.move(self.part, output_file)
        return None

    def _receive(self, answer: requests.Response, have: int, total: int | None) -> None:
        description = f"fetching {self.part.stem}" + (f" from byte {have:,}" if have else "")
        with (
            self.part.open("ab" if have else "wb") as out,
            Tracker(description, total, "bytes", self.quiet) as tracker,
        ):
            tracker.advance(have)
            for chunk in answer.iter_content(_RECEIVED):
                out.write(chunk)
                tracker.advance(len(chunk))
        got = self.part.stat().st_size
        if total is not None and got != total:
            raise requests.ConnectionError(f"{got} of {total} bytes came")


def _take(dataset: Dataset, local: Path, staged: Path, quiet: bool) -> None:
    """The files of a dataset from a folder or an archive of the user's, wherever in it they lie."""
    if local.is_dir():
        found = local
    else:
        verify(local, None)
        found = staged.with_name(staged.name + ".from")
        shutil.rmtree(found, ignore_errors=True)
        found.mkdir()
        unpack(local, found, quiet=quiet)
    try:
        paths = [path for path in sorted(found.rglob("*")) if path.is_file()]
        for file in dataset.files:
            parts = PurePosixPath(file.path).parts
            matching = [path for path in paths if path.parts[-len(parts) :] == parts]
            if not matching:
                raise UserError(f"{local} lacks {file.path}; {dataset.name} has {len(dataset.files)} files")
            verify(matching[0], file.checksum)
            (staged / file.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(matching[0], staged / file.path)
    finally:
        if found != local:
            shutil.rmtree(found, ignore_errors=True)


def _merge(staged: Path, output: Path, force: bool) -> list[Path]:
    """Move what was unpacked into place: whole folders at once where there is none yet of that name.

    Files that are there already with the same content stay (each part of LibriSpeech brings the same SPEAKERS.TXT).
    """
    moves = list(_moves(staged, output))
    for source, target in moves:
        if target.exists() and not force and not (target.is_file() and filecmp.cmp(source, target, shallow=False)):
            raise UserError(f"{target} is already there and differs; --force replaces it")
    for source, target in moves:
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
    return sorted({output / target.relative_to(output).parts[0] for _, target in moves})


def _moves(source: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    for entry in sorted(source.iterdir()):
        place = target / entry.name
        if entry.is_dir() and place.is_dir():
            yield from _moves(entry, place)
        else:
            yield entry, place


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
