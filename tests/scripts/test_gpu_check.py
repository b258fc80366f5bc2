"""`gpu_check` without a GPU: its measurements at toy sizes, and its report of failures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from scripts import gpu_check
from scripts.benchmarks.training_steps import sampler_of_training
from scripts.gpu import correctness as gpu_correctness
from scripts.gpu import emotion as gpu_emotion
from scripts.gpu import epochs as gpu_epochs
from scripts.gpu import profile as gpu_profile
from scripts.gpu import steps as gpu_steps
from scripts.gpu.report import SLICES, markdown, verdict
from scripts.gpu.results import Results
from scripts.gpu_check import Part
from speech2vec.model.settings import ModelSettings

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
# What a machine with a GPU may lack (docs/performance.md lists what is needed).
NOT_THERE = (
    *("pocketsphinx", "torchaudio", "espeakng_loader", "praatio", "pyAudioAnalysis", "tqdm", "selenium", "xdist"),
    "matplotlib",
)
BLOCKER = f"""
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {NOT_THERE!r} else PathFinder.find_spec(name, path, target)

sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
"""

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine with only what the check needs, for all processes that are started."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BLOCKER)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


@without_gpu
@pytest.mark.slow
def test_the_whole_command_at_toy_sizes(bare: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.gpu_check", "--minutes", "10", "-o", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "out" / "gpu.json").read_text())
    statuses = [part["status"] for part in report["parts"]]
    assert statuses == ["done", "done", "needs a GPU", "needs a GPU", "needs a GPU"]
    rows = [row for part in report["parts"] for row in part["rows"]]
    checked = {(row["engine"], row["cell"], row["precision"]) for row in rows if "largest error" in row}
    both = {(engine, cell) for engine in ("steps", "triton") for cell in ("lstm", "gru")}
    assert {(engine, cell) for engine, cell, precision in checked if precision == "float32"} == both
    steps = [row for row in rows if row["table"] == "steps"]
    assert len(steps) == 2 and all(row["pairs/s"] > 0 for row in steps)
    assert (tmp_path / "out" / "gpu.md").read_text().strip() in done.stdout


@pytest.mark.parametrize("module", ["scripts.gpu.epochs", "scripts.gpu.profile", "scripts.gpu.emotion"])
def test_no_part_imports_what_is_not_there(bare: dict[str, str], module: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"import {module}"], env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def part(number: int, code: str) -> Part:
    """A part that runs some lines, with its folder as `out`."""
    lines = f"import sys; from pathlib import Path; out = Path(sys.argv[sys.argv.index('-o') + 1])\n{code}"
    return Part(number, f"part {number}", 1.0, [sys.executable, "-c", lines])


WRITES = 'out.joinpath("part{}.json").write_text(\'[{{"table": "figures", "pairs/s": 7}}]\')'


def states_of(out: Path) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = json.loads((out / "gpu.json").read_text())["parts"]
    return parts


def test_a_part_that_fails_is_reported_and_the_next_begins(tmp_path: Path) -> None:
    parts = [part(1, WRITES.format(1) + "\nraise ArithmeticError('the kernel is wrong')"), part(2, WRITES.format(2))]
    gpu_check.run(parts, tmp_path, seconds=60, has_gpu=False)
    failed, after = states_of(tmp_path)
    assert failed["status"].startswith("FAILED (exit code 1") and after["status"] == "done"
    assert "Traceback" in failed["traceback"] and "the kernel is wrong" in failed["traceback"]
    assert failed["rows"] == after["rows"] == [{"table": "figures", "pairs/s": 7}]  # what it had measured is kept
    assert "the kernel is wrong" in (tmp_path / "gpu.md").read_text()


def test_a_part_that_hangs_is_cut_off_with_all_it_has_started(tmp_path: Path) -> None:
    hangs = "import subprocess, time; child = subprocess.Popen(['sleep', '600'])\n"
    hangs += f"out.joinpath('child').write_text(str(child.pid))\n{WRITES.format(1)}\ntime.sleep(600)"
    gpu_check.run([part(1, hangs), part(2, WRITES.format(2))], tmp_path, seconds=10, has_gpu=False)
    cut, after = states_of(tmp_path)
    assert cut["status"] == "stopped at its limit" and cut["seconds"] < 9 and after["status"] == "done"
    assert cut["rows"] == [{"table": "figures", "pairs/s": 7}]
    child = Path("/proc") / (tmp_path / "child").read_text()
    assert not child.exists() or "Z" in (child / "stat").read_text().rpartition(")")[2].split()[0]


def test_a_failed_part_makes_the_command_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_check, "PARTS", [part(1, "raise SystemExit(3)"), part(2, WRITES.format(2))])
    with pytest.raises(SystemExit) as ended:
        gpu_check.main(["-o", str(tmp_path), "--minutes", "1"])
    assert ended.value.code == 1
    assert capsys.readouterr().err.splitlines() == ["part 1, part 1: FAILED (exit code 3; part1.log)"]


def test_rows_are_written_at_once(tmp_path: Path) -> None:
    results = Results(tmp_path / "part1.json", 60)
    results.add("one", value=float("nan"))
    assert json.loads(results.path.read_text()) == [{"table": "one", "value": "nan"}]


def test_a_measurement_that_fails_leaves_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = Results(tmp_path / "part1.json", 60)

    def fails() -> dict[str, Any]:
        raise RuntimeError("out of memory\nand more")

    assert results.attempt("steps", {"engine": "a"}, fails) is None
    assert results.attempt("steps", {"engine": "b"}, lambda: {"pairs/s": 5.0})
    assert results.failed and results.rows == [
        {"table": "steps", "engine": "a", "error": "RuntimeError: out of memory"},
        {"table": "steps", "engine": "b", "pairs/s": 5.0},
    ]
    assert "Traceback" in capsys.readouterr().err


def slices(**rates: float) -> list[dict[str, Any]]:
    rows = []
    for name, rate in rates.items():
        engine, precision = name.split("_")
        rows.append({"table": SLICES, "engine": engine, "precision": precision, "pairs/s": rate})
    return rows


def test_the_rule() -> None:
    removed = verdict(slices(triton_float32=129.0, steps_float32=100.0, steps_bfloat16=90.0))
    assert "1.29 times single steps" in removed[0] and "remove it" in removed[0]
    assert "0.70 times float32" in removed[1] and "remove it" in removed[1]
    kept = verdict(slices(triton_float32=120.0, triton_bfloat16=130.0, steps_float32=100.0))
    assert "1.30 times single steps" in kept[0] and "keep it" in kept[0] and "keep it" in kept[1]
    assert "No decision" in verdict(slices(steps_float32=100.0))[0]


def test_the_report_is_a_table_for_each_kind_of_row() -> None:
    state = {"number": 3, "title": "epochs", "status": "done", "seconds": 5.0, "limit": 9.0, "traceback": ""}
    text = markdown({"device": "a card"}, [{**state, "rows": slices(steps_float32=12345.6)}])
    assert "## 3. epochs: done" in text and "| engine | precision | pairs/s |" in text
    assert "| steps | float32 | 12,346 |" in text


@pytest.mark.parametrize(("sleep", "seconds", "reason"), [(0, 60, "exited with 1"), (60, 8, "did not end in 8 s")])
def test_a_test_file_that_fails_or_hangs_says_how_far_it_came(
    tmp_path: Path, sleep: int, seconds: float, reason: str
) -> None:
    file = tmp_path / "test_some.py"
    mark = "gpu"  # in a variable, as the check searches test files for this marker
    lines = ["import time, pytest", f"pytestmark = pytest.mark.{mark}", "def test_one(): pass"]
    file.write_text("\n".join([*lines, f"def test_two():\n    time.sleep({sleep})\n    assert False\n"]))
    with pytest.raises(RuntimeError, match=rf"pytest {reason}: 1 passed.* \(log\)"):
        gpu_correctness.run_test_file(file, tmp_path / "log", seconds)


def test_a_graph_that_cannot_be_captured_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def captured(_: object) -> None:
        try:
            raise RuntimeError("operation not permitted when stream is capturing\nand more")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    monkeypatch.setattr(gpu_steps, "captured", captured)
    monkeypatch.setattr(gpu_steps, "step_of", lambda *_: None)
    row = gpu_steps.as_graph(None, ModelSettings(), torch.device("cuda"))  # type: ignore[arg-type]
    assert row == {"result": "not capturable: operation not permitted when stream is capturing"}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Part 3 for a CPU."""
    for name, value in {
        "ENGINES": ("auto", "steps"),
        "BATCHES": (256,),
        "SHARE_OF_SLICES": 0.01,
        "START": 0.0,
    }.items():
        monkeypatch.setattr(gpu_epochs, name, value)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_epochs_at_full_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_epochs, "PRECISIONS", ("float32",))
    results = Results(tmp_path / "part3.json", 200.0)
    gpu_epochs.measure(results, CPU, hours=0.1)
    assert not results.failed
    tables = [row["table"] for row in results.rows]
    assert tables == ["the store", SLICES, SLICES, "whole epochs", "whole epochs"]
    assert [row["engine"] for row in results.rows[1:]] == 2 * ["auto", "steps"]
    assert all(row["pairs/s"] > 0 for row in results.rows[1:])
    assert results.rows[1]["hours for 475 h x 500"] > 1
    assert [row["share of the epoch"] for row in results.rows[3:]] == [1.0, 1.0]


@pytest.mark.usefixtures("small")
def test_an_epoch_that_does_not_fit_is_cut(tmp_path: Path) -> None:
    store = gpu_epochs.full_store(tmp_path / "store", hours=0.1)
    chosen = {"engine": "auto", "precision": "float32", "pairs a batch": 64}
    settings = gpu_epochs.settings_of(*chosen.values())  # type: ignore[arg-type]
    n_pairs = sampler_of_training(store, settings).n_pairs()
    cut = gpu_epochs.whole_epoch(store, {**chosen, "pairs/s": n_pairs}, CPU, left=0.5)
    assert cut["share of the epoch"] == pytest.approx(0.4)
    none = gpu_epochs.whole_epoch(store, {**chosen, "pairs/s": n_pairs}, CPU, left=0.05)
    assert none["result"].startswith("not measured")


def test_without_disk_space_the_frames_are_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_epochs.full_store(tmp_path / "random", hours=0.1).frames.any()
    monkeypatch.setattr(gpu_epochs.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    assert not gpu_epochs.full_store(tmp_path / "zeros", hours=0.1).frames.any()


@pytest.mark.slow
def test_the_profile_is_of_the_fastest(tmp_path: Path) -> None:
    rows = slices(steps_float32=2.0, triton_float32=1.0)
    (tmp_path / "part3.json").write_text(json.dumps([{**row, "pairs a batch": 64} for row in rows]))
    results = Results(tmp_path / "part4.json", 60)
    gpu_profile.measure(results, CPU, n_utterances=5)
    assert not results.failed and results.rows[0]["engine"] == "steps"
    kernels = [row for row in results.rows if row["table"] == "largest kernels"]
    assert len(kernels) == 12 and kernels[10]["kernel"] == "all" and kernels[0]["%"] >= kernels[9]["%"] > 0


def test_an_epoch_of_the_emotion_classifier(tmp_path: Path) -> None:
    results = Results(tmp_path / "part5.json", 30)
    gpu_emotion.measure(results, CPU, n_utterances=24)
    assert not results.failed and [row["utterances"] for row in results.rows] == [24, 24]
