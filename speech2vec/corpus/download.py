"""Public data: downloaded with checksums, resumed after an interruption, and moved into place completely or not at all.

Archives are unpacked without ever writing outside the output folder.
"""

from __future__ import annotations

import contextlib
import errno
import filecmp
import logging
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pooch
import requests
from pydantic import BaseModel

from speech2vec.corpus.datasets import Dataset, RemoteFile
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import read_json_as, require_file, write_json
from speech2vec.runtime.progress import Tracker

log = logging.getLogger("speech2vec")

_STATE = ".downloads"  # in the output folder: partial files, and a record of each complete dataset
_CHUNK = 1 << 16  # bytes; an interrupted transfer loses at most this much
_LONGEST_PADDING = 2**20  # bytes behind the last member of a tar archive; tar itself writes some thousands
# An archive may unpack to this many times its size, or to this many bytes if that is more; recordings stay below 10.
_MAX_EXPANSION, _MIN_LIMIT = 100, 100 * 2**20


def download(
    dataset: Dataset, output: Path, local: Path | None = None, force: bool = False, quiet: bool = False
) -> list[Path]:
    """Download a dataset into a folder, which may already contain others.

    Parameters
    ----------
    dataset : Dataset
    output : Path
        Folder for the files, or for the members of the archive.
    local : Path or None
        Source to use in place of the network: the archive itself, or, for a dataset of several files, a folder or an
        archive that contains them.
    force : bool
        Download again, and replace files that differ.
    quiet : bool

    Returns
    -------
    list of Path
        The new files, or the top folders of the archive; empty if the dataset was already complete.

    Raises
    ------
    UserError
        If the transfer fails (the next call continues it), a checksum is wrong, the archive is damaged or would write
        outside `output`, or a different file is in the way.
    """
    state = output / _STATE
    record = state / f"{dataset.name.replace(':', '-')}.json"
    placed = [] if force or not record.exists() else read_json_as(record, _Record, "the record of a download")["placed"]
    if placed and all((output / name).exists() for name in placed):
        log.info("%s is already in %s; --force downloads it again", dataset.name, output)
        return []
    if any(file.checksum is None for file in dataset.files):
        log.warning("%s publishes no checksums: its files are NOT verified", dataset.source)
    archive = None
    try:
        with _empty_folder(state / f"{record.stem}.staged") as staged:
            if dataset.archive:
                (file,) = dataset.files
                archive = local or _fetch(file, state, quiet)
                if local:
                    verify(local, file.checksum)
                unpack(archive, staged, quiet)
            elif local:
                _copy_local(dataset, local, staged, quiet)
            else:
                for file in dataset.files:
                    (staged / file.path).parent.mkdir(parents=True, exist_ok=True)
                    _fetch(file, state, quiet).replace(staged / file.path)
            placed = _move_into_place(staged, output, force)
    except OSError as error:
        raise UserError(f"{error.filename or output} cannot be written: {error.strerror or error}") from error
    write_json(
        record,
        {
            "name": dataset.name,
            "source": dataset.source,
            "licence": dataset.licence,
            "files": [{"path": f.path, "url": f.url, "checksum": f.checksum} for f in dataset.files],
            "from": str(local) if local else None,
            "placed": [path.relative_to(output).as_posix() for path in placed],
        },
    )
    if archive and not local:
        archive.unlink()
    return placed


class _Record(BaseModel):
    """What is read from the record of an earlier download."""

    placed: list[str]


def verify(path: Path, checksum: str | None) -> None:
    """Raise a `UserError` unless `path` is a file with this checksum (``md5:…`` or ``sha256:…``; None: any)."""
    if not path.is_file():
        raise UserError(f"{path} does not exist or is not a file")
    if checksum is None:
        return
    algorithm, _, expected = checksum.partition(":")
    actual = pooch.file_hash(str(path), algorithm)
    if actual != expected:
        raise UserError(
            f"{path} has the {algorithm} checksum {actual}, not {expected}: it is damaged or another version"
        )


def unpack(archive: Path, folder: Path, quiet: bool = False) -> None:
    """Unpack a zip or tar archive (compressed or not, recognised by content) of files and folders only.

    Raises
    ------
    UserError
        If the archive is damaged or not an archive, if a member is a link, a device or lies outside `folder`, or if
        the archive unpacks to over 100 times its size (and over 100 MiB).
    """
    limit = max(_MIN_LIMIT, _MAX_EXPANSION * require_file(archive).stat().st_size)
    unpacked = 0
    try:
        with Tracker(f"unpacking {archive.name}", None, "files", quiet) as tracker:
            for name, is_plain, size, extract in _members(archive, folder):
                unpacked += size
                if not is_plain:
                    raise UserError(f"{archive}: the member '{name}' is a link or a device, which is not allowed")
                if name.startswith("/") or ".." in PurePosixPath(name).parts:
                    raise UserError(f"{archive}: the member '{name}' lies outside the output folder")
                if unpacked > limit:
                    raise UserError(f"{archive} unpacks to more than {limit:,} bytes, too much for its size")
                extract()
                tracker.advance()
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, lzma.LZMAError, ValueError) as error:
        raise UserError(f"{archive} is damaged or not an archive ({error})") from error
    except OSError as error:
        # gzip's and bz2's where sums or blocks are wrong; zipfile's where a member would begin before the file.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise UserError(f"{archive} is damaged or not an archive ({error.strerror or error})") from error
    except RuntimeError as error:  # of zipfile: encrypted, or a compression that it lacks
        raise UserError(f"{archive} cannot be unpacked ({error})") from error


def _members(archive: Path, folder: Path) -> Iterator[tuple[str, bool, int, Callable[[], object]]]:
    """Name of each member, whether it is a file or folder, its unpacked size, and a function that extracts it."""
    with archive.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    if is_zip:
        with zipfile.ZipFile(archive) as opened_zip:
            for info in opened_zip.infolist():
                file_type = info.external_attr >> 28  # of Unix: 0 not given, 4 folder, 8 file
                yield info.filename, file_type in (0, 4, 8), info.file_size, partial(opened_zip.extract, info, folder)
        return
    if not hasattr(tarfile, "data_filter"):
        raise UserError("tar archives are unpacked safely by Python 3.10.12, 3.11.4 and later only: update Python")
    with tarfile.open(archive, "r:*") as opened:
        for member in opened:
            extract = partial(opened.extract, member, folder, filter="data")
            yield member.name, member.isfile() or member.isdir(), member.size, extract
        assert opened.fileobj is not None
        if len(opened.fileobj.read(_LONGEST_PADDING)) == _LONGEST_PADDING:  # whose end checks the sum of all bytes
            raise tarfile.TarError("much follows its last member")


def _fetch(file: RemoteFile, folder: Path, quiet: bool) -> Path:
    """Download one file with pooch; it appears in `folder` only when it is complete and its checksum is right."""
    name = file.path.replace("/", "-")
    if file.checksum is None:
        (folder / name).unlink(missing_ok=True)  # an old one cannot be verified
    pooch.get_logger().setLevel(logging.WARNING)
    downloader = _ResumingDownloader(folder / f"{name}.part", quiet)
    try:
        return Path(pooch.retrieve(file.url, file.checksum, fname=name, path=folder, downloader=downloader))
    except requests.RequestException as error:
        answer = error.response
        reason = type(error).__name__ if answer is None else f"the server answers {answer.status_code} {answer.reason}"
        raise UserError(f"{file.url}: download failed ({reason}); run the same command again to continue it") from error
    except ValueError as error:  # pooch's error for a wrong checksum; it has removed the file
        raise UserError(
            f"{file.url} does not have the checksum {file.checksum}: the file on the server is damaged or has changed; "
            f"if you have the right one, pass it with --from"
        ) from error


class _ResumingDownloader:
    """A downloader for pooch, whose own ones always start over: continues the partial file of an earlier call."""

    def __init__(self, part: Path, quiet: bool) -> None:
        self.part, self.quiet = part, quiet

    def __call__(self, url: str, output_file: Any, pooch: Any, check_only: bool = False) -> None:
        start = self.part.stat().st_size if self.part.exists() else 0
        # "identity": byte offsets in a compressed response would not be offsets in the file.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with requests.get(url, headers=headers, stream=True, timeout=(30, 120)) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                if response.headers.get("Content-Range") != f"bytes */{start}":  # the file is shorter than the part
                    self.part.unlink()
                    return self(url, output_file, pooch)
            else:
                response.raise_for_status()
                self._receive(response, start if response.status_code == requests.codes.partial_content else 0)
        shutil.move(self.part, output_file)
        return None

    def _receive(self, response: requests.Response, start: int) -> None:
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with (
            self.part.open("ab" if start else "wb") as out,
            Tracker(f"downloading {self.part.stem}", total, "bytes", self.quiet) as tracker,
        ):
            tracker.advance(start)
            for chunk in response.iter_content(_CHUNK):
                out.write(chunk)
                tracker.advance(len(chunk))
        received = self.part.stat().st_size
        if total is not None and received != total:
            raise requests.ConnectionError(f"{received} of {total} bytes received")


def _copy_local(dataset: Dataset, local: Path, staged: Path, quiet: bool) -> None:
    """Copy the files of a dataset from the user's folder or archive, at whatever depth they lie."""
    with contextlib.ExitStack() as until_copied:
        folder = local
        if not local.is_dir():
            verify(local, None)
            folder = until_copied.enter_context(_empty_folder(staged.with_name(f"{staged.name}.from")))
            unpack(local, folder, quiet)
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        for file in dataset.files:
            parts = PurePosixPath(file.path).parts
            found = next((path for path in paths if path.parts[-len(parts) :] == parts), None)
            if found is None:
                raise UserError(f"{local} lacks {file.path}; {dataset.name} has {len(dataset.files)} files")
            verify(found, file.checksum)
            (staged / file.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, staged / file.path)


@contextlib.contextmanager
def _empty_folder(path: Path) -> Iterator[Path]:
    """An empty folder for the block; whatever an interrupted call left there is removed first."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _move_into_place(staged: Path, output: Path, force: bool) -> list[Path]:
    """Move the staged files to `output`, whole folders at once where `output` has none of that name.

    Existing files with the same content are kept (every subset of LibriSpeech contains the same SPEAKERS.TXT).
    """
    moves = list(_moves(staged, output))
    for source, target in moves:
        if target.exists() and not force and not (target.is_file() and filecmp.cmp(source, target, shallow=False)):
            raise UserError(f"{target} already exists and differs; --force replaces it")
    for source, target in moves:
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
    return sorted({output / target.relative_to(output).parts[0] for _, target in moves})


def _moves(source: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    for entry in sorted(source.iterdir()):
        destination = target / entry.name
        if entry.is_dir() and destination.is_dir():
            yield from _moves(entry, destination)
        else:
            yield entry, destination
