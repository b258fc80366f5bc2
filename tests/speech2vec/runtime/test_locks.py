"""One writer at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import only_writer

HOLD = "import sys, time; from pathlib import Path; from speech2vec.runtime.files import only_writer\n"
HOLD += "with only_writer(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"


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

    monkeypatch.setattr("fcntl.flock", refused)
    with only_writer(tmp_path / "run"), only_writer(tmp_path / "run"):
        pass
