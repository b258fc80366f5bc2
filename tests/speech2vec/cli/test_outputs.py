"""An output that lies there is kept until there is a new one: a wrong input costs nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from aligned_folders import Program


@pytest.mark.parametrize("command", ["export", "same-different", "homophones", "report", "compare", "baseline"])
def test_a_mistyped_input_costs_no_output(command: str, tmp_path: Path, program: Program) -> None:
    output = tmp_path / "output.txt"
    output.write_text("hours of work")
    inputs = [tmp_path / f"typo{number}" for number in range(2 if command == "compare" else 1)]
    code, _, told = program(command, *inputs, "-o", output, "--force")
    assert code == 2 and len(told.splitlines()) == 1, told
    assert output.read_text() == "hours of work"
