"""Killed at any moment and resumed, every long command ends with the bytes of one that nothing interrupted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks the commands that are killed")
def test_eight_kills() -> None:
    answer = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("kill.py")), "--kills", "8"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert "all ended with equal results" in answer.stdout
