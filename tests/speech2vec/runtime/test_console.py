"""Exit codes and the one line of an error."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from typing import Annotated

import pytest
import typer

from speech2vec.runtime import console
from speech2vec.runtime.errors import DONE_WITH_FAILURES, UserError


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


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 8.00 GiB for an array"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_too_little_memory_is_one_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def go() -> None:
        raise error

    code, out, err = run(go, capsys, "go")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: the memory is not enough (") and "ulimit -v unlimited" in err


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
@pytest.mark.parametrize("megabytes", [700, 1000, 1500])
def test_a_limit_below_what_the_libraries_need_is_one_line(megabytes: int) -> None:
    limit = megabytes * 2**20
    done = subprocess.run(
        [sys.executable, "-m", "speech2vec", "train", "nowhere", "-o", "out"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.startswith("error: the memory is not enough"), done.stderr
