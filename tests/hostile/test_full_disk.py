"""On a disk of four megabytes that fills up: one line that names the file, exit code 2, no partial file in place."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aligned_folders import make_aligned
from emotion_targets import _make_prepared
from fakes import made_up_store

ROOT = Path(__file__).resolve().parents[2]
FREE = 24_000  # bytes that are left for the command


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")
    if answer.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {answer.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    make_aligned(folder / "aligned", 60, 1.0)
    (folder / "aligned" / "report.json").write_text('{"failed": [], "aligned": 60}')
    made_up_store(folder / "store")
    (folder / "emotion").mkdir()
    _make_prepared(folder / "emotion")
    return folder


COMMANDS = {
    "features": ("speech2vec", "features", "aligned", "-o", "OUT", "--jobs", "1", "--quiet"),
    "train": ("speech2vec", "train", "store", "-o", "OUT", "--device", "cpu", "--set", "optimiser.epochs=1", "--quiet"),
    "export": ("align", "export", "aligned", "-o", "OUT", "--format", "textgrid", "--quiet"),
    "emotion prepare": ("emotion", "prepare", "table", "emotion/t.csv", "-o", "OUT", "--jobs", "1", "--quiet"),
    "emotion train": ("emotion", "train", "emotion/prepared", "-o", "OUT", "--folds", "3", "--seeds", "1", "--quiet"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_one_line_that_names_the_file(disk: Path, home: Path, name: str) -> None:
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    with filler.open("wb") as out:
        out.write(bytes(4 * 2**20 - FREE))
    out_folder = disk / "out"
    words = [str(out_folder) if word == "OUT" else word for word in COMMANDS[name][1:]]
    answer = subprocess.run(
        [sys.executable, "-m", COMMANDS[name][0], *words],
        cwd=home,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line for line in answer.stderr.splitlines() if line.startswith("error: ")]
    assert answer.returncode == 2 and "Traceback" not in answer.stderr, answer.stderr
    assert len(told) == 1 and len(told[0]) <= 300 and str(disk) in told[0], answer.stderr
    assert "No space left" in told[0] or "cannot be written" in told[0]
    whole = {".safetensors", ".parquet", ".npy", ".TextGrid"}
    assert not [path for path in disk.rglob("*") if path.suffix in whole and path.stat().st_size == 0]
    assert not list(disk.rglob(".*.tmp"))
    subprocess.run(["rm", "-rf", str(out_folder)], check=True)
