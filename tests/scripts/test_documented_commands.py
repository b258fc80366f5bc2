"""Every command line in README and docs names commands and options that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import align.cli.app
import emotion.cli.app
import speech2vec.cli.app

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {
    "speech2vec": speech2vec.cli.app.app,
    "speech2vec-align": align.cli.app.app,
    "speech2vec-emotion": emotion.cli.app.app,
}


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def command_lines(page: Path) -> Iterator[tuple[int, str]]:
    """Lines of fenced blocks that start with a program, and inline code that does and goes on with a word."""
    inside = False
    pending = ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip().startswith("```"):
            inside = not inside
        elif inside:
            text = pending + line.strip().removeprefix("$ ")
            pending = text[:-1] if text.endswith("\\") else ""
            if not pending and re.match(r"speech2vec(-align|-emotion)? ", text):
                yield number, text
        else:
            for code in re.findall(r"`(speech2vec(?:-align|-emotion)? [a-z][^`]*)`", line):
                yield number, code


def faults(text: str) -> list[str]:
    """What in a command line does not exist."""
    # Placeholders of prose (..., …) and what a shell makes of the rest are not for us.
    words = shlex.split(re.split(r" [|>] ", re.sub(r"\[|\]|…|\.\.\.", " ", text))[0], comments=True)
    program = PROGRAMS[words[0]]
    if len(words) < 2 or words[1].startswith("-"):
        return []
    command = program.get_command(click.Context(program), words[1])
    if command is None:
        return [f"{words[0]} has no command '{words[1]}'"]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    options = [word.split("=")[0] for word in words[2:] if re.match(r"--?[a-z]", word)]
    return [f"{words[0]} {words[1]} has no option '{option}'" for option in options if option not in known]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_commands_in_docs_exist(page: Path) -> None:
    found = [f"line {number}: {fault}" for number, text in command_lines(page) for fault in faults(text)]
    assert not found, f"{page.name}: {found}"


def test_the_check_itself_finds_what_is_wrong() -> None:
    assert faults("speech2vec train store -o run --epochs 3") == []
    assert faults("speech2vec trian store") == ["speech2vec has no command 'trian'"]
    assert faults("speech2vec train store --epoch 3 | less") == ["speech2vec train has no option '--epoch'"]
    assert len(list(command_lines(ROOT / "README.md"))) >= 7


def test_every_command_is_documented() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages())
    missing = [
        f"{name} {command}"
        for name, app in PROGRAMS.items()
        for command in app.functions
        if not re.search(rf"{name} {command}\b|`{command}`", text)
    ]
    assert not missing
