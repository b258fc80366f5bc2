"""In place of every file of every reader: a FIFO, devices, a folder, dangling and circular links, nothing at all."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import fuzz
import pytest
from targets import ALONE, files_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="devices as Linux has them")

SECONDS = 30


def _link(to: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(to)


KINDS: dict[str, Callable[[Path], object]] = {
    "FIFO": os.mkfifo,
    "endless device": _link("/dev/zero"),
    "full device": _link("/dev/full"),
    "folder": Path.mkdir,
    "dangling link": _link("nowhere"),
    "circular link": lambda path: path.symlink_to(path.name),
    "nothing": lambda path: None,
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> fuzz.Bench:
    return fuzz.Bench(tmp_path_factory.mktemp("special"), 0)


class StillReading(BaseException):
    """Of no kind that a reader may take for a file that cannot be read, as it does a TimeoutError."""


@pytest.fixture
def watchdog() -> Iterator[None]:
    def stop(number: int, frame: types.FrameType | None) -> None:
        raise StillReading(f"after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("target", fuzz.all_targets(), ids=lambda target: target.name)
def test_only_regular_files_are_read(
    bench: fuzz.Bench, tmp_path: Path, target: fuzz.Target, watchdog: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bench.whole(target)
    files = files_of(target, whole)
    for file in files[:: max(1, len(files) // 4)]:  # at most some files of each reader
        for kind, make in KINDS.items():
            scratch = tmp_path / "scratch"
            shutil.rmtree(scratch, ignore_errors=True)
            if target.name in ALONE:
                scratch.mkdir()
            else:
                shutil.copytree(whole, scratch)
            path = scratch / file.relative_to(whole)
            path.unlink(missing_ok=True)
            make(path)
            if target.name in ALONE and kind == "nothing":
                continue
            signal.alarm(SECONDS)
            ended, said = fuzz.outcome(lambda: target.read(scratch))  # noqa: B023
            signal.alarm(0)
            assert ended in ("read", "refused"), f"{file.name} as {kind}: {ended}: {said}"
