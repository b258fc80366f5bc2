"""A program's commands are imported when they are called, and listed without being imported."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

import align.cli.app
import emotion.cli.app
import speech2vec.cli.app
from speech2vec.runtime.command_group import LazyGroup


@pytest.mark.parametrize("program", [speech2vec.cli.app.app, align.cli.app.app, emotion.cli.app.app])
def test_every_command_can_be_imported_and_takes_help(program: LazyGroup) -> None:
    for name in program.list_commands(click.Context(program)):
        command = program.get_command(click.Context(program), name)
        assert command is not None and command.name == name
        assert CliRunner().invoke(program, [name, "--help"]).exit_code == 0


def test_an_unknown_command_is_none() -> None:
    program = LazyGroup("A program.", {"encode": ("json:dumps", "Encode.")})
    assert program.get_command(click.Context(program), "decode") is None


def test_the_list_of_commands_imports_none_of_them() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from speech2vec.cli.app import app; "
        "print(CliRunner().invoke(app, ['--help']).output); "
        "commands = {name for name in sys.modules if name.startswith('speech2vec.cli.')}; "
        "assert commands == {'speech2vec.cli.app'}, commands"
    )
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "same-different" in listed


def test_a_shell_can_complete_commands_and_options() -> None:
    def completed(words: str, position: int) -> list[str]:
        code = "from speech2vec.cli.app import app; app.main(prog_name='speech2vec')"
        given = {"COMP_WORDS": words, "COMP_CWORD": str(position), "_SPEECH2VEC_COMPLETE": "bash_complete"}
        command = [sys.executable, "-c", code]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **given}).stdout.split()

    assert completed("speech2vec tr", 1) == ["plain,train"]
    assert completed("speech2vec train --ep", 2) == ["plain,--epochs"]
