"""The programs answer at once, say what they offer, and fail in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = ("speech2vec", "speech2vec-align", "speech2vec-emotion")
HEAVY = ("torch", "gensim", "sklearn", "matplotlib", "pocketsphinx", "librosa")


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_answers(name: str) -> None:
    program = Path(sys.executable).with_name(name)
    answer = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "Usage" in answer.stdout


@pytest.mark.parametrize("module", ["speech2vec.cli.app", "align.cli.app", "emotion.cli.app"])
def test_help_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_unknown_command_is_one_line(name: str) -> None:
    program = Path(sys.executable).with_name(name)
    answer = subprocess.run([program, "no-such-command"], capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 2
    assert len(answer.stderr.strip().splitlines()) == 1 and "no-such-command" in answer.stderr
