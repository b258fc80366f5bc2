"""Downloads, against a server on this machine: checksums, broken transfers, archives, what exists already."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from speech2vec.cli.download import download as download_command
from speech2vec.corpus.datasets import DATASETS, Dataset, RemoteFile, find_dataset
from speech2vec.corpus.download import download, unpack
from speech2vec.runtime.console import run_app
from speech2vec.runtime.errors import UserError


@dataclass
class Server:
    """Files by path, what was asked for, and after how many bytes the connection breaks."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    break_after: int | None = None
    ranges: bool = True


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            content = state.files.get(self.path.lstrip("/"))
            if content is None:
                self.send_error(404, "Not Found")
                return
            first = int(wanted[len("bytes=") : -1]) if wanted and state.ranges else 0
            if first >= len(content) and first:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if first else 200)
            self.send_header("Content-Length", str(len(content) - first))
            self.end_headers()
            body = content[first:]
            if state.break_after is not None:
                body, state.break_after = body[: state.break_after], None
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        state = Server(f"http://127.0.0.1:{httpd.server_port}")
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        httpd.shutdown()
        thread.join()


def tar_gz(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def one_archive(server: Server, content: bytes, name: str = "corpus.tar.gz", checksum: str | None = "right") -> Dataset:
    server.files[name] = content
    if checksum == "right":
        checksum = f"md5:{hashlib.md5(content).hexdigest()}"
    return Dataset("corpus", (RemoteFile(name, f"{server.url}/{name}", checksum),), True, "a page", "a licence")


DEV = {"LibriSpeech/SPEAKERS.TXT": b"speakers", "LibriSpeech/dev-clean/1/2/1-2.trans.txt": b"1-2-0000 HELLO"}
TEST = {"LibriSpeech/SPEAKERS.TXT": b"speakers", "LibriSpeech/test-clean/3/4/3-4.trans.txt": b"3-4-0000 WORLD"}


@pytest.mark.parametrize("pack", [tar_gz, zipped])
def test_an_archive_is_unpacked_and_not_fetched_twice(server: Server, tmp_path: Path, pack) -> None:  # type: ignore[no-untyped-def]
    dataset = one_archive(server, pack(DEV))
    assert download(dataset, tmp_path, quiet=True) == [tmp_path / "LibriSpeech"]
    for name, content in DEV.items():
        assert (tmp_path / name).read_bytes() == content
    assert download(dataset, tmp_path, quiet=True) == []
    assert len(server.asked) == 1
    assert not list((tmp_path / ".downloads").glob("*corpus.tar.gz*"))  # the archive is not kept
    # What was deleted since is fetched again.
    (tmp_path / "LibriSpeech").rename(tmp_path / "elsewhere")
    assert download(dataset, tmp_path, quiet=True) == [tmp_path / "LibriSpeech"]


def test_two_parts_of_one_corpus_share_a_folder(server: Server, tmp_path: Path) -> None:
    first = one_archive(server, tar_gz(DEV), "a.tar.gz")
    second = one_archive(server, tar_gz(TEST), "b.tar.gz")
    download(first, tmp_path, quiet=True)
    download(Dataset("other", second.files, True, "", ""), tmp_path, quiet=True)
    assert {path.name for path in (tmp_path / "LibriSpeech").iterdir()} == {"SPEAKERS.TXT", "dev-clean", "test-clean"}


def test_a_file_that_differs_is_not_replaced_without_force(server: Server, tmp_path: Path) -> None:
    dataset = one_archive(server, tar_gz(DEV))
    mine = tmp_path / "LibriSpeech" / "SPEAKERS.TXT"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(UserError, match=r"SPEAKERS.TXT already exists and differs; --force"):
        download(dataset, tmp_path, quiet=True)
    assert mine.read_text() == "mine"
    assert not (tmp_path / "LibriSpeech" / "dev-clean").exists()
    download(dataset, tmp_path, quiet=True, force=True)
    assert mine.read_text() == "speakers"


def test_an_interrupted_transfer_is_continued(server: Server, tmp_path: Path) -> None:
    content = tar_gz({"noise": np.random.default_rng(0).bytes(300_000)})
    dataset = one_archive(server, content)
    server.break_after = len(content) // 2
    with pytest.raises(UserError, match="run the same command again to continue it"):
        download(dataset, tmp_path, quiet=True)
    assert not (tmp_path / "noise").exists()
    part = tmp_path / ".downloads" / "corpus.tar.gz.part"
    have = part.stat().st_size
    assert 0 < have < len(content)
    download(dataset, tmp_path, quiet=True)
    assert server.asked[-1] == ("/corpus.tar.gz", f"bytes={have}-")
    assert (tmp_path / "noise").stat().st_size == 300_000


def test_a_server_that_cannot_resume_sends_all_again(server: Server, tmp_path: Path) -> None:
    content = tar_gz(DEV)
    dataset = one_archive(server, content)
    server.ranges, server.break_after = False, 50
    with pytest.raises(UserError):
        download(dataset, tmp_path, quiet=True)
    download(dataset, tmp_path, quiet=True)
    assert (tmp_path / "LibriSpeech" / "SPEAKERS.TXT").read_bytes() == b"speakers"


@pytest.mark.parametrize("longer", [0, 100])
def test_a_part_that_is_whole_or_too_long(server: Server, tmp_path: Path, longer: int) -> None:
    content = tar_gz(DEV)
    dataset = one_archive(server, content)
    (tmp_path / ".downloads").mkdir()
    (tmp_path / ".downloads" / "corpus.tar.gz.part").write_bytes(content + b"x" * longer)
    download(dataset, tmp_path, quiet=True)
    assert (tmp_path / "LibriSpeech" / "SPEAKERS.TXT").exists()


def test_a_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    dataset = one_archive(server, tar_gz(DEV), checksum="md5:" + "0" * 32)
    with pytest.raises(UserError, match="does not have the checksum"):
        download(dataset, tmp_path, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == [".downloads"]
    assert not list((tmp_path / ".downloads").iterdir())
    # Not resumed from the wrong bytes either.
    server.files["corpus.tar.gz"] = tar_gz(DEV)
    right = one_archive(server, tar_gz(DEV))
    download(right, tmp_path, quiet=True)


def test_without_a_published_checksum_the_user_is_told(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    download(one_archive(server, tar_gz(DEV), checksum=None), tmp_path, quiet=True)
    assert "NOT verified" in caplog.text


def test_a_missing_file_and_no_server(server: Server, tmp_path: Path) -> None:
    dataset = one_archive(server, tar_gz(DEV))
    server.files.clear()
    with pytest.raises(UserError, match="the server answers 404 Not Found"):
        download(dataset, tmp_path, quiet=True)
    nobody = Dataset("corpus", (RemoteFile("x", "http://127.0.0.1:9/x", "md5:0"),), True, "", "")
    with pytest.raises(UserError, match="ConnectionError"):
        download(nobody, tmp_path, quiet=True)


def test_damaged_archives(server: Server, tmp_path: Path) -> None:
    for i, content in enumerate([tar_gz(DEV)[:-40], zipped(DEV)[:-30], b"no archive at all", b"", b"PK but no"]):
        with pytest.raises(UserError, match="is damaged or not an archive"):
            download(one_archive(server, content), tmp_path / str(i), quiet=True)
        assert not (tmp_path / str(i) / "LibriSpeech").exists()


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil"])
@pytest.mark.parametrize("pack", [tar_gz, zipped])
def test_members_outside_of_the_folder_are_refused(tmp_path: Path, name: str, pack) -> None:  # type: ignore[no-untyped-def]
    archive = tmp_path / "evil.archive"
    archive.write_bytes(pack({"good": b"x", name: b"x"}))
    inside = tmp_path / "in" / "side"
    inside.mkdir(parents=True)
    with pytest.raises(UserError, match="lies outside the output folder"):
        unpack(archive, inside, quiet=True)
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("mode", ["gz", "bz2", "xz"])
def test_an_archive_whose_bytes_do_not_sum_up_is_one_line(tmp_path: Path, mode: Any) -> None:
    (tmp_path / "a.txt").write_bytes(np.random.default_rng(1).bytes(50_000))
    with tarfile.open(tmp_path / "a.tar", f"w:{mode}") as archive:
        archive.add(tmp_path / "a.txt", "a.txt")
    content = bytearray((tmp_path / "a.tar").read_bytes())
    content[-7 if mode == "gz" else len(content) // 2] ^= 0xFF
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(UserError, match="is damaged or not an archive"):
        unpack(tmp_path / "a.tar", tmp_path / "out", quiet=True)


@pytest.mark.parametrize("pack", [tar_gz, zipped])
def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path: Path, pack) -> None:  # type: ignore[no-untyped-def]
    archive = tmp_path / "bomb"
    zeros = bytes(60 * 2**20)
    archive.write_bytes(pack({"a": zeros, "b": zeros}))
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="unpacks to more than 104,857,600 bytes"):
        unpack(archive, tmp_path / "out", quiet=True)
    assert not (tmp_path / "out" / "b").exists()


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "secret.zip"
    content = bytearray(zipped({"a": b"x"}))
    content[6] |= 1  # the flag in the member's own header, and in the directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot be unpacked .*encrypted"):
        unpack(archive, tmp_path / "out", quiet=True)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    archive = tmp_path / "links.tar"
    with tarfile.open(archive, "w") as opened:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        opened.addfile(info)
    with pytest.raises(UserError, match="a link or a device"):
        unpack(archive, tmp_path / "out", quiet=True)
    linked = tmp_path / "links.zip"
    with zipfile.ZipFile(linked, "w") as opened_zip:
        member = zipfile.ZipInfo("link")
        member.external_attr = 0o120777 << 16
        opened_zip.writestr(member, "/etc/passwd")
    with pytest.raises(UserError, match="a link or a device"):
        unpack(linked, tmp_path / "out", quiet=True)


def test_from_a_file_of_the_users(server: Server, tmp_path: Path) -> None:
    dataset = one_archive(server, tar_gz(DEV))
    mine = tmp_path / "mine.tgz"
    mine.write_bytes(tar_gz(DEV))
    wrong = tmp_path / "wrong.tgz"
    wrong.write_bytes(tar_gz(TEST))
    with pytest.raises(UserError, match=r"wrong.tgz has the md5 checksum \w{32}, not \w{32}"):
        download(dataset, tmp_path / "out", local=wrong, quiet=True)
    with pytest.raises(UserError, match="does not exist or is not a file"):
        download(dataset, tmp_path / "out", local=tmp_path / "nowhere", quiet=True)
    server.files["corpus.tar.gz"] = b""
    mine.write_bytes(mine.read_bytes())
    checksum = f"md5:{hashlib.md5(mine.read_bytes()).hexdigest()}"
    one = Dataset("x", (RemoteFile("x", "http://127.0.0.1:9", checksum),), True, "", "")
    assert download(one, tmp_path / "out", local=mine, quiet=True) == [tmp_path / "out" / "LibriSpeech"]
    assert mine.exists() and not server.asked


def several(server: Server) -> Dataset:
    files = {"speech2vec/50.vec": b"1 1\na 1\n", "word2vec/50.vec": b"1 1\nb 1\n"}
    server.files.update(files)
    return Dataset(
        "several",
        tuple(
            RemoteFile(name, f"{server.url}/{name}", f"sha256:{hashlib.sha256(content).hexdigest()}")
            for name, content in files.items()
        ),
        False,
        "",
        "",
    )


def test_a_dataset_of_several_files(server: Server, tmp_path: Path) -> None:
    dataset = several(server)
    download(dataset, tmp_path / "net", quiet=True)
    assert (tmp_path / "net" / "speech2vec" / "50.vec").read_bytes() == b"1 1\na 1\n"
    assert (tmp_path / "net" / "word2vec" / "50.vec").read_bytes() == b"1 1\nb 1\n"
    asked = len(server.asked)
    # The same from a folder, and from an archive in which they lie deeper.
    download(dataset, tmp_path / "folder", local=tmp_path / "net", quiet=True)
    archive = tmp_path / "repository.zip"
    archive.write_bytes(zipped({f"repository-master/{name}": content for name, content in server.files.items()}))
    download(dataset, tmp_path / "zip", local=archive, quiet=True)
    for name in ("folder", "zip"):
        assert (tmp_path / name / "word2vec" / "50.vec").read_bytes() == b"1 1\nb 1\n"
    assert len(server.asked) == asked
    archive.write_bytes(zipped({"speech2vec/50.vec": b"1 1\na 1\n"}))
    with pytest.raises(UserError, match=r"lacks word2vec/50.vec"):
        download(dataset, tmp_path / "incomplete", local=archive, quiet=True)
    assert not (tmp_path / "incomplete" / "speech2vec").exists()


def run(*arguments: str) -> int:
    app = typer.Typer()
    app.command()(download_command)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["download", *arguments])
        with pytest.raises(SystemExit) as end:
            run_app(app)
    return int(end.value.code or 0)


def test_the_command_downloads_every_dataset(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every entry of the catalogue, with the address and the checksums of files made here."""
    for name, dataset in DATASETS.items():
        files = []
        for file in dataset.files:
            pack = zipped if file.path.endswith(".zip") else tar_gz
            content = pack({f"{name.replace(':', '-')}/x": b"x"}) if dataset.archive else file.path.encode()
            server.files[file.path] = content
            checksum = file.checksum and f"md5:{hashlib.md5(content).hexdigest()}"
            files.append(RemoteFile(file.path, f"{server.url}/{file.path}", checksum))
        monkeypatch.setitem(DATASETS, name, Dataset(name, tuple(files), dataset.archive, "", ""))
    assert run(*DATASETS, "-o", str(tmp_path), "--quiet") == 0
    assert (tmp_path / "librispeech-train-clean-360" / "x").exists()
    assert (tmp_path / "EN-MEN-TR-3k.txt").read_bytes() == b"EN-MEN-TR-3k.txt"
    assert (tmp_path / "speech2vec" / "300.vec").exists() and (tmp_path / "word2vec" / "50.vec").exists()
    assert (tmp_path / "ravdess" / "x").exists() and (tmp_path / "librispeech-alignments" / "x").exists()
    assert run("ravdess", "-o", str(tmp_path)) == 0
    assert "ravdess: already in" in capsys.readouterr().out


def test_command_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("librispeech:dev-dirty", "-o", str(tmp_path)) == 2
    assert "unknown dataset 'librispeech:dev-dirty'; known: wordsim," in capsys.readouterr().err
    assert run("ravdess", "wordsim", "-o", str(tmp_path), "--from", "x") == 2
    assert "one dataset at a time" in capsys.readouterr().err


def test_the_catalogue() -> None:
    assert len(DATASETS) == 11
    for dataset in DATASETS.values():
        for file in dataset.files:
            assert file.url.startswith("https://")
            assert file.checksum is None or re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", file.checksum)
    assert len(find_dataset("wordsim").files) == 13
    assert len(find_dataset("speech2vec-published").files) == 8


@pytest.mark.corpus
def test_the_real_wordsim_files_have_the_checksums(test_data: Path, tmp_path: Path) -> None:
    download(DATASETS["wordsim"], tmp_path, local=test_data / "wordsim", quiet=True)
    assert len(list(tmp_path.glob("EN-*.txt"))) == 13
