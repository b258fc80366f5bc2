"""The demo's own part: it shows what it runs, goes on where failures are listed, stops where nothing can be done."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts import demo
from scripts.chain import Chain, program
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import append_json_line, write_json


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
        with pytest.raises(UserError, match="continue from here"):
            chain.run("End", "python", tmp_path / "end.py")
    else:
        chain.run("End", "python", tmp_path / "end.py")


def test_it_goes_on_without_a_measure_for_which_the_corpus_is_too_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chain = Chain(tmp_path)
    for code in (0, 1, 2):
        (tmp_path / "end.py").write_text(f"raise SystemExit({code})")
        chain.run("End", "python", tmp_path / "end.py", optional=True)
        assert ("(skipped)" in capsys.readouterr().out) == (code == 2)
    (tmp_path / "end.py").write_text("raise SystemExit(70)")
    with pytest.raises(UserError, match="code 70"):
        chain.run("End", "python", tmp_path / "end.py", optional=True)


@pytest.mark.parametrize("measured", [True, False])
def test_its_closing_figures_are_those_that_were_measured(tmp_path: Path, measured: bool) -> None:
    chain = Chain(tmp_path)
    for folder in ("aligned", "run/evaluation"):
        (tmp_path / folder).mkdir(parents=True)
    write_json(tmp_path / "aligned" / "report.json", {"aligned": 3, "asked": 4, "words": 20})
    losses = {"dev_loss": 0.9, "dev_mean_frame": 1.0, "dev_shuffled": 0.95}
    append_json_line(tmp_path / "run" / "metrics.jsonl", {"epoch": 1, **losses})
    write_json(tmp_path / "run" / "evaluation" / "evaluation.json", {"levels": []})
    if measured:
        results = {"trained": {"ap": 0.25, "low": 0.2, "high": 0.3}, "chance": {"ap": None}}
        write_json(tmp_path / "run" / "same-different.json", {"parts": [{"results": results}]})
        write_json(tmp_path / "run" / "homophones.json", {"homophones": {"verdict": "From sound."}})
    shown = demo.figures(chain)
    assert shown[0] == "3 of 4 utterances aligned, 20 words"
    assert ("same-different average precision: trained 0.250 [0.200, 0.300]" in shown) == measured
    assert ("From sound." in shown) == measured


def test_programs_are_those_of_this_environment() -> None:
    assert program(["speech2vec", "--help"]) == [str(Path(sys.executable).parent / "speech2vec"), "--help"]
    assert program(["python", "-m", "x"]) == [sys.executable, "-m", "x"]


def test_a_corpus_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        demo.command(corpus=tmp_path / "nothing", output=tmp_path / "demo", epochs=1)
    assert not (tmp_path / "demo").exists()
