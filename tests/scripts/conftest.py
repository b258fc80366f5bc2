"""Chains of commands without a process for each: what they import, all of them share."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import textwrap

import pytest

from scripts import chain

PACKAGES = {"speech2vec": "speech2vec", "speech2vec-align": "align", "speech2vec-emotion": "emotion"}


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of a `Chain` are called here, from the command line to the exit code, as the programs would be."""

    def start(words: list[str]) -> tuple[int, str]:
        program = importlib.import_module(f"{PACKAGES[words[0]]}.cli.app")
        with monkeypatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
            patch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit) as ended:
                program.main()
        print(textwrap.indent(out.getvalue(), "  "), end="")
        return int(ended.value.code or 0), out.getvalue()

    monkeypatch.setattr(chain, "start", start)
