"""Readers at fault, for the test of the fuzzer: it has to see each."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
from targets import Target


def _make(folder: Path) -> None:
    (folder / "a.txt").write_text("whole")


def _whole(folder: Path) -> bool:
    return (folder / "a.txt").read_bytes() == b"whole"


def _loop(folder: Path) -> None:
    while not _whole(folder):
        pass


def _crash(folder: Path) -> None:
    if not _whole(folder):
        os.kill(os.getpid(), signal.SIGSEGV)


def _allocate(folder: Path) -> None:
    if not _whole(folder):
        np.ones(3 * 2**30, dtype=np.uint8)


EMOTION_TARGETS = [
    Target("loops", _make, _loop),
    Target("crashes", _make, _crash),
    Target("allocates", _make, _allocate),
]
