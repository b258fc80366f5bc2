"""Files are whole or not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import append_json_line, atomic_folder, atomic_path, read_json, write_json


def test_a_file_appears_whole(tmp_path: Path) -> None:
    file = tmp_path / "new" / "a.txt"
    with atomic_path(file) as temporary:
        temporary.write_text("half")
        assert not file.exists()
    assert file.read_text() == "half"
    assert list(file.parent.iterdir()) == [file]


def test_a_file_is_on_the_disk_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for owner, name in ((os, "fsync"), (Path, "replace")):
        act = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given, act=act, name=name: [done.append(name), act(*given)][1])
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
    assert done == ["fsync", "replace"]
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_after_an_error_the_old_file_is_there_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(file) as temporary:
        temporary.write_text("new")
        raise RuntimeError
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    for text in ("one", "two"):
        with atomic_folder(folder) as temporary:
            (temporary / text).write_text(text)
            assert not (folder / text).exists()
        assert [path.name for path in folder.iterdir()] == [text]
    with pytest.raises(RuntimeError), atomic_folder(folder) as temporary:
        (temporary / "three").write_text("three")
        raise RuntimeError
    assert [path.name for path in folder.iterdir()] == ["two"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_process_that_is_killed_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")
    program = (
        "import os, signal, sys; from pathlib import Path; from speech2vec.runtime.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as t:\n"
        "    t.write_text('new'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(file)], check=False)
    assert done.returncode == -9
    assert file.read_text() == "old"


def test_json_is_written_for_any_reader(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_json(file, {"word": "café", "n": 1.5})
    assert read_json(file) == {"word": "café", "n": 1.5}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(file, {"loss": float("nan")})
    assert read_json(file) == {"word": "café", "n": 1.5}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"nul"])
def test_json_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.json"
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_json(file)
    file.write_bytes(content)
    with pytest.raises(UserError, match="is not valid JSON"):
        read_json(file)


def test_lines_are_appended(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    for epoch in range(3):
        append_json_line(file, {"epoch": epoch})
    assert [json.loads(line)["epoch"] for line in file.read_text().splitlines()] == [0, 1, 2]
