"""`speech2vec doctor` says what is there and what is missing, and fails only if the programs cannot work."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from speech2vec.cli.app import app


def doctor() -> Result:
    return CliRunner().invoke(app, ["doctor"])


def line_of(result: Result, part: str) -> str:
    lines = [line.split(maxsplit=1) for line in result.output.splitlines() if line.strip()]
    return next(" ".join(words) for words in lines if words[-1].startswith(part))


def test_everything_is_listed_in_one_screen() -> None:
    result = doctor()
    assert result.exit_code == 0, result.output
    assert torch.__version__.split("+")[0] in line_of(result, "torch ")
    for part in ("machine", "GPU", "extra demo", "mfa", "weights", "test data"):
        assert line_of(result, part)
    assert len(result.output.splitlines()) <= 28  # one screen


def test_a_library_that_does_not_import_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)  # its import fails
    result = doctor()
    assert result.exit_code == 1
    assert "MISSING" in line_of(result, "pocketsphinx")
    assert result.output.splitlines()[-1] == "missing: pocketsphinx"


def test_programs_and_folders_are_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "mfa"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "hub" / "models--someone--encoder").mkdir(parents=True)
    for name, value in {"PATH": tmp_path, "HF_HOME": tmp_path, "SPEECH2VEC_TEST_DATA": tmp_path / "absent"}.items():
        monkeypatch.setenv(name, str(value))
    result = doctor()
    assert str(program) in line_of(result, "mfa")
    assert "someone/encoder" in line_of(result, "weights")
    assert "is not a folder" in line_of(result, "test data")
