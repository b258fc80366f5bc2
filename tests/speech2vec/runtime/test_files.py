"""Files are complete or absent, and have one writer at a time."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import (
    append_json_line,
    atomic_folder,
    atomic_path,
    inside,
    only_writer,
    read_json,
    read_json_as,
    remove_partial,
    write_json,
)

HOLD = "import sys, time; from pathlib import Path; from speech2vec.runtime.files import only_writer\n"
HOLD += "with only_writer(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"


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


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    with only_writer(tmp_path / "new" / "run"):
        refused = pytest.raises(UserError, match=f"run is being written by process {os.getpid()} on .*: wait")
        with refused, only_writer(tmp_path / "new" / "run"):
            pytest.fail("two writers")
        with only_writer(tmp_path / "new" / "other"):
            pass
    with only_writer(tmp_path / "new" / "run"):
        pass
    assert not list((tmp_path / "new").iterdir())


def test_what_fails_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), only_writer(tmp_path / "run"):
        _ = 1 / 0
    with only_writer(tmp_path / "run"):
        pass


def test_a_process_that_is_killed_lets_go(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=f"by process {process.pid} on"), only_writer(tmp_path / "run"):
            pytest.fail("two writers")
        process.send_signal(signal.SIGKILL)
        process.wait()
    with only_writer(tmp_path / "run"):
        assert (tmp_path / ".run.lock").exists()  # what it left is taken over
    assert not (tmp_path / ".run.lock").exists()


def test_a_file_system_without_locks_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refused)
    with only_writer(tmp_path / "run"), only_writer(tmp_path / "run"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    (tmp_path / ".run.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(UserError, match=r"\.run\.lock.* is a symbolic link: remove it"), only_writer(tmp_path / "run"):
        pytest.fail("locked through a link")
    assert (tmp_path / "precious").read_text() == "kept"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/../../x", "/x", "a\0b", 7, None, ["x"], "../" + "x" * 9999])
def test_a_name_from_a_file_stays_inside_its_folder(tmp_path: Path, name: object) -> None:
    with pytest.raises(UserError, match="cannot be a file name in") as refused:
        inside(tmp_path, name)  # type: ignore[arg-type]
    assert len(str(refused.value)) < 300 + len(str(tmp_path)) and "\n" not in str(refused.value)
    assert inside(tmp_path, "a/b..c") == tmp_path / "a" / "b..c"


def test_json_of_the_wrong_shape_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    for text, found in (
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ("[1]", "is not a list: Input should be a valid dictionary"),
        (json.dumps({"y" * 9999: "1"}), "is not a list: 'yyy.*: Input should be a valid integer"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=found) as refused:
            read_json_as(file, dict[str, int], "a list")
        assert len(str(refused.value)) < 300 + len(str(file)) and "\n" not in str(refused.value)


def test_json_that_no_file_can_hold_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written: a path or text in it is not UTF-8"):
        write_json(tmp_path / "a.json", {"path": "\udce9"})
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    left = [tmp_path / ".run.json.71.tmp", tmp_path / "parts" / ".seed-0.8.tmp" / "model"]
    kept = [tmp_path / "run.json", tmp_path / ".notes.tmp", tmp_path / "mine.5.tmp", tmp_path / "parts" / "a"]
    for path in (*left, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    remove_partial(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)
    assert not left[1].parent.exists()
