"""The demo's own part: it shows what it runs, goes on where failures are listed, stops where nothing can be done."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts import demo
from scripts.chain import Chain, program
from speech2vec.errors import UserError


def test_commands_are_shown_and_their_output_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain = Chain(tmp_path)
    script = tmp_path / "a script.py"  # a path is one word, blanks or not
    script.write_text("import sys; print('words:', sys.argv[1:])")
    assert chain.run("Say words", "python", script, "--more 3") == "words: ['--more', '3']\n"
    shown = capsys.readouterr().out
    assert "Say words" in shown and f"$ python '{script}' --more 3" in shown and "words:" in shown
    assert chain.printed["Say words"].startswith("words:")


@pytest.mark.parametrize(("code", "stops"), [(0, False), (1, False), (2, True), (-9, True)])
def test_it_stops_only_where_nothing_can_be_done(tmp_path: Path, code: int, stops: bool) -> None:
    end = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)" if code < 0 else f"raise SystemExit({code})"
    (tmp_path / "end.py").write_text(end)
    chain = Chain(tmp_path)
    if stops:
        with pytest.raises(UserError, match="goes on from here"):
            chain.run("End", "python", tmp_path / "end.py")
    else:
        chain.run("End", "python", tmp_path / "end.py")


def test_programs_are_those_of_this_environment() -> None:
    assert program(["speech2vec", "--help"]) == [str(Path(sys.executable).parent / "speech2vec"), "--help"]
    assert program(["python", "-m", "x"]) == [sys.executable, "-m", "x"]


def test_a_corpus_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        demo.command(corpus=tmp_path / "nothing", output=tmp_path / "demo", epochs=1)
    assert not (tmp_path / "demo").exists()
