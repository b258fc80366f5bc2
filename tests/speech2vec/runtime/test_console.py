"""Exit codes and the one line of an error; outputs that are not overwritten; progress on standard error only."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer

from speech2vec.runtime import console
from speech2vec.runtime.errors import DONE_WITH_FAILURES, UserError
from speech2vec.runtime.output import check_output, claim_output
from speech2vec.runtime.progress import Tracker, log, set_up_logging, track


def run(command, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:  # type: ignore[no-untyped-def]
    """Exit code, standard output and standard error of a command line of this one command."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(command)
    app.command("other")(lambda: None)
    argv = sys.argv
    sys.argv = ["program", *arguments]
    try:
        with pytest.raises(SystemExit) as caught:
            console.run_app(app)
    finally:
        sys.argv = argv
    code = caught.value.code
    assert isinstance(code, int)
    told = capsys.readouterr()
    return code, told.out, told.err


def test_done(capsys: pytest.CaptureFixture[str]) -> None:
    def go(name: Annotated[str, typer.Argument()]) -> None:
        print(name)

    assert run(go, capsys, "go", "x") == (0, "x\n", "")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("what\n  is   wrong"), 2, "error: what is wrong\n"),
        (typer.BadParameter("no"), 2, "error: Invalid value: no\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (typer.Abort(), 130, "error: interrupted\n"),
        (OSError(28, "No space left on device", "/full/a"), 2, "error: /full/a: No space left on device\n"),
        (typer.Exit(DONE_WITH_FAILURES), 1, ""),
        (BrokenPipeError(), 0, ""),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def go() -> None:
        raise error

    monkeypatch.setattr(sys, "stdout", sys.stdout)  # the broken pipe's replacement goes with the test
    assert run(go, capsys, "go")[::2] == (code, line)


def test_a_bug_is_no_user_error(capsys: pytest.CaptureFixture[str]) -> None:
    def go() -> None:
        raise ZeroDivisionError

    code, _, told = run(go, capsys, "go")
    assert code == 70 and told.endswith("ZeroDivisionError\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["go", "--nonsense"], "No such option"), (["go"], "Missing argument"), (["nonsense"], "No such command")],
)
def test_a_wrong_command_line_is_one_line(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    def go(name: str) -> None:
        print(name)

    code, out, err = run(go, capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err


def test_the_programs_without_arguments_show_their_commands() -> None:
    done = subprocess.run([sys.executable, "-m", "speech2vec"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "features" in done.stdout + done.stderr
    assert (done.stdout + done.stderr).count("\n") > 5


def test_an_output_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    for path, names in ((folder, ["a"]), (file, [])):
        claim_output(path, folder_with=names)
    folder.mkdir()
    claim_output(folder, folder_with=["a"])  # empty: nothing to lose
    (folder / "a").write_text("kept")
    file.write_text("kept")
    for path, names in ((folder, ["a"]), (file, [])):
        with pytest.raises(UserError, match="is already there; --force replaces it"):
            claim_output(path, folder_with=names)
        with pytest.raises(UserError, match="is already there; --resume goes on with it, --force replaces it"):
            claim_output(path, resume=False, folder_with=names)
        claim_output(path, resume=True, folder_with=names)
    assert (folder / "a").read_text() == file.read_text() == "kept"
    with pytest.raises(UserError, match="give one of the two"):
        claim_output(folder, force=True, resume=True)
    for path, names in ((folder, ["a"]), (file, [])):
        claim_output(path, force=True, folder_with=names)
        assert not path.exists()


@pytest.mark.parametrize("force", [False, True])
def test_a_file_does_not_replace_a_folder_nor_a_folder_a_file(tmp_path: Path, force: bool) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    with pytest.raises(UserError, match="folder is a folder: -o/--output takes a file"):
        claim_output(folder, force=force)
    file.write_text("kept")
    with pytest.raises(UserError, match="file is a file: -o/--output takes a folder"):
        claim_output(file, force=force, folder_with=["a"])
    assert folder.exists() and file.read_text() == "kept"


def test_force_removes_no_folder_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    for name in ("precious", "deep/meta.json"):
        (tmp_path / "folder" / name).write_text("kept")
    with pytest.raises(UserError, match=r"not look like what this command writes \(no meta.json or parts in it\)"):
        claim_output(tmp_path / "folder", force=True, folder_with=["meta.json", "parts"])
    assert (tmp_path / "folder" / "precious").read_text() == "kept"
    claim_output(tmp_path / "folder", force=True, folder_with=["*.txt", "precious"])
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("output", [".", "in", "in/deep"])
def test_the_input_is_no_output(tmp_path: Path, output: str) -> None:
    given = tmp_path / "in" / "deep"
    given.mkdir(parents=True)
    with pytest.raises(UserError, match="is or holds the input"):
        claim_output(tmp_path / output, force=True, inputs=[None, given])
    with pytest.raises(UserError, match="is or holds the input"):
        check_output(tmp_path / output, force=True, inputs=[given])
    claim_output(given / "out", force=True, inputs=[given], folder_with=["a"])
    assert given.exists()


def test_force_removes_a_link_and_not_what_it_points_at(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    claim_output(tmp_path / "link", force=True, folder_with=["b"])
    assert not (tmp_path / "link").exists()
    assert (tmp_path / "data" / "a").read_text() == "kept"


def test_jobs() -> None:
    assert console.count_jobs(3) == 3
    assert console.count_jobs(0) == len(os.sched_getaffinity(0))


def test_progress_is_on_standard_error_or_silent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_logging(quiet=False)
    now = 0.0
    monkeypatch.setattr("speech2vec.runtime.progress.time.monotonic", lambda: now)
    with Tracker("features", 4000, "utterances") as tracker:
        for _ in range(4):
            now += 10
            tracker.advance(1000)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "features: 2,000 of 4,000 utterances, 100.0/s, 20 s left",
        "features: 4,000 of 4,000 utterances, 100.0/s, 0 s left",
    ]
    assert list(track("abc", "letters", 3, quiet=True)) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_quiet_keeps_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(quiet=True)
    log.info("nothing")
    logging.getLogger("speech2vec.any").warning("something")
    assert capsys.readouterr() == ("", "something\n")


TALKS = """
import typer
from speech2vec.runtime.console import run_app
app = typer.Typer()

@app.command()
def talk():
    for _ in range(100_000):
        print("more than a pipe holds")

run_app(app)
"""


def test_a_reader_that_goes_away_is_no_fault() -> None:
    with subprocess.Popen([sys.executable, "-c", TALKS], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, b"")
