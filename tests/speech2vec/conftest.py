"""Fixtures of several test files: a small ALIGNED folder, parts of it, the program."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from aligned_folders import Program, make_aligned

from speech2vec.cli.app import main
from speech2vec.features import parts


@pytest.fixture
def aligned(tmp_path: Path) -> Path:
    return make_aligned(tmp_path / "aligned")


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of two utterances, so that few utterances make several."""
    monkeypatch.setattr(parts, "UTTERANCES_PER_PART", 2)


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    """Exit code, standard output and standard error of a command line, without starting a process."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["speech2vec", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        assert isinstance(caught.value.code, int)
        return caught.value.code, *capsys.readouterr()

    return run
