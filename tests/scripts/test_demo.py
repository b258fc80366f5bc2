"""The demo's own part: it shows what it runs, goes on where failures are listed, stops where nothing can be done."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from scripts import demo
from scripts.chain import Chain, program
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import write_json
from speech2vec.vectors.word_vectors import WordVectors, write_vectors


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


def precision(ap: float) -> dict[str, float]:
    low, high = ap - 0.05, ap + 0.05
    return {"ap": ap, "low": low, "high": high} | {
        f"{name}_cross_speaker": value for name, value in {"ap": ap / 2, "low": low / 2, "high": high / 2}.items()
    }


def test_its_tables_are_of_what_was_measured(tmp_path: Path) -> None:
    folders = demo.Folders(tmp_path)
    models = [{"name": "vectors", "kind": "file"}, {"name": "word2vec", "kind": "file"}, {"name": "t", "kind": "text"}]
    for number, method in enumerate((demo.PUBLISHED, *demo.METHODS), start=1):
        (folders.run(method) / "evaluation").mkdir(parents=True)
        mean = {"rho": number / 10, "low": 0.0, "high": 0.5, "n_covered": 12}
        results = {"vectors": {"mean": mean}, "word2vec": {"mean": mean}, "t": {"mean": {**mean, "rho": 0.44}}}
        evaluation = {"models": models, "levels": [{"results": results}]}
        write_json(folders.run(method) / "evaluation" / "evaluation.json", evaluation)
    shown = demo.vectors_table(folders)
    assert shown is not None
    assert {row[0].strip(): row[1:] for row in shown.rows[1:]} == {
        "published": ["-", ".100 [.000, .500]"],  # too little speech for the first column
        "the transcripts as text": ["-", ".440 [.000, .500]"],
        "acoustic": ["-", ".200 [.000, .500]"],
        "meaning": ["-", ".300 [.000, .500]"],
    }
    for number, method in enumerate((demo.PUBLISHED, *demo.METHODS), start=1):
        results = {"trained": precision(number / 10), "untrained": precision(0.06), "resampled": precision(0.08)}
        parts = [{"results": results}, {"results": {**results, "DTW on frames": precision(0.33)}}]
        write_json(folders.run(method) / demo.SAME_DIFFERENT, {"parts": parts})
    shown = demo.vectors_table(folders)
    assert shown is not None
    values = {row[0].strip(): row[1:] for row in shown.rows}
    assert values["acoustic"] == [".100 [.075, .125]", ".200 [.000, .500]"]
    assert values["frames, no training"] == [".040 [.015, .065]", "-"]
    assert values["a sample: time warping"][0].startswith(".165")


def test_what_is_said_and_near_fits_the_screen(tmp_path: Path) -> None:
    folders = demo.Folders(tmp_path)
    (folders.emotion / "unheard").mkdir(parents=True)
    (folders.emotion / "unheard" / "ang.txt").write_text("many words " * 30)
    row = {"audio": str(folders.emotion / "unheard" / "ang.wav"), "label": "sad", "probabilities": {"sad": 0.9}}
    write_json(folders.emotion / demo.PREDICTION, [row])
    words = [f"{letter * 18}" for letter in "abcdefgh"] + ["people"]
    for method in demo.METHODS:
        folders.run(method).mkdir()
        vectors = np.random.default_rng(0).standard_normal((len(words), 4)).astype(np.float32)
        write_vectors(folders.vectors(method), WordVectors(words, vectors))
    for table in (demo.prediction_table(folders), demo.neighbour_table(folders)):
        assert table is not None
        assert max(map(len, table.text().splitlines())) <= demo.WIDTH


def test_four_recordings_are_copied_each_with_what_is_said(tmp_path: Path) -> None:
    session = tmp_path / "tree" / "Session5"
    for folder in ("dialog/EmoEvaluation", "dialog/transcriptions", "sentences/wav/Ses05F_impro01"):
        (session / folder).mkdir(parents=True)
    turns = [("F000", "xxx"), ("F001", "neu"), ("M000", "ang"), ("F002", "neu"), ("M001", "sad"), ("M002", "hap")]
    lines = [f"[0.0 - 1.0]\tSes05F_impro01_{turn}\t{label}\t[1, 1, 1]" for turn, label in turns]
    (session / "dialog/EmoEvaluation/Ses05F_impro01.txt").write_text("% a header\n\n" + "\n\n".join(lines))
    said = [f"Ses05F_impro01_{turn} [000.0-001.0]: I am {turn}: so." for turn, _ in turns]
    (session / "dialog/transcriptions/Ses05F_impro01.txt").write_text("\n".join(said))
    for turn, _ in turns:
        (session / f"sentences/wav/Ses05F_impro01/Ses05F_impro01_{turn}.wav").write_bytes(turn.encode())
    demo.copy_recordings(tmp_path / "tree", tmp_path / "unheard")
    assert {path.stem: path.read_bytes() for path in (tmp_path / "unheard").glob("*.wav")} == {
        "neu": b"F001",
        "ang": b"M000",
        "sad": b"M001",
        "hap": b"M002",
    }
    assert (tmp_path / "unheard" / "ang.txt").read_text() == "I am M000: so.\n"


def test_programs_are_those_of_this_environment() -> None:
    assert program(["speech2vec", "--help"]) == [str(Path(sys.executable).parent / "speech2vec"), "--help"]
    assert program(["python", "-m", "x"]) == [sys.executable, "-m", "x"]


def test_a_corpus_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        demo.command(corpus=tmp_path / "nothing", output=tmp_path / "demo", epochs=1)
    assert not (tmp_path / "demo").exists()
