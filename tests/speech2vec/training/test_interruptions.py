"""A training that is killed as it writes, or finds the disk full, leaves the last checkpoint whole."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from fakes import made_up_store

from speech2vec.features.store import Store
from speech2vec.runtime.config import load_settings
from speech2vec.training.checkpoint import Checkpoint, load_checkpoint
from speech2vec.training.metrics import EpochState
from speech2vec.training.presets import TrainSettings
from speech2vec.training.run import checkpoint_file
from speech2vec.training.trainer import TrainOptions, train

CPU = torch.device("cpu")
CHOSEN = ("model.vector_size=16", "optimiser.epochs=2", "optimiser.batch_size=30", "data.held_out=0.2")
EVERY = 3

# Trains in a child for each number, which kills itself half-way through that write of a checkpoint.
KILLED_AS_IT_WRITES = """
import os, signal, sys
from pathlib import Path
import torch
from speech2vec.training import checkpoint
from speech2vec.runtime.config import load_settings
from speech2vec.training.presets import TrainSettings
from speech2vec.features.store import Store
from speech2vec.training.trainer import TrainOptions, train

store, folder, every, *writes = sys.argv[1:]
chosen = os.environ["CHOSEN"].split()
save_file = checkpoint.save_file

def half(tensors, path, metadata):
    global left
    left -= 1
    save_file(tensors, path, metadata=metadata)
    if left == 0:
        os.truncate(path, os.path.getsize(path) // 2)
        os.kill(os.getpid(), signal.SIGKILL)

checkpoint.save_file = half
for write in writes:
    child = os.fork()
    if not child:
        left = int(write)
        settings = load_settings(TrainSettings, overrides=chosen)
        run = Path(folder) / write
        options = TrainOptions(checkpoint_every=int(every), quiet=True)
        train(Store.open(Path(store)), run, settings, torch.device("cpu"), options)
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made_up_store(tmp_path_factory.mktemp("made-up") / "store")


@pytest.fixture(scope="module")
def whole(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """The end of a training that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole") / "run"
    train(
        store,
        run,
        load_settings(TrainSettings, overrides=CHOSEN),
        CPU,
        TrainOptions(checkpoint_every=EVERY, quiet=True),
    )
    return load_checkpoint(checkpoint_file(run))


def resumed(store: Store, run: Path) -> Checkpoint:
    settings = load_settings(TrainSettings, overrides=CHOSEN)
    train(store, run, settings, CPU, TrainOptions(resume=True, checkpoint_every=EVERY, quiet=True))
    return load_checkpoint(checkpoint_file(run))


def assert_same_bits(one: Checkpoint, two: Checkpoint) -> None:
    for ours, theirs in ((one.weights, two.weights), (one.optimiser, two.optimiser)):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert {**one.progress, "seconds": 0} == {**two.progress, "seconds": 0}


def test_killed_in_the_middle_of_a_write_it_resumes_to_the_same_bits(
    store: Store, whole: Checkpoint, tmp_path: Path
) -> None:
    writes = ["1", "2", "4", "5"]  # the first of all, one within an epoch, an epoch's best and its last
    subprocess.run(
        [sys.executable, "-c", KILLED_AS_IT_WRITES, str(store.path), str(tmp_path), str(EVERY), *writes],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CHOSEN": " ".join(CHOSEN)},
        check=True,
        timeout=300,
    )
    for write in writes:
        run = tmp_path / write
        assert list((run / "checkpoints").glob(".*.tmp")), "it was not killed as it wrote"
        assert checkpoint_file(run).exists() == (write != "1")
        if write != "1":
            load_checkpoint(checkpoint_file(run))  # whole
        assert_same_bits(resumed(store, run), whole)
        assert not list((run / "checkpoints").glob(".*.tmp"))
        assert load_checkpoint(checkpoint_file(run, "best")).progress["epoch"] == 2


def command(store: Store, run: Path, *more: str) -> list[str]:
    options = [word for text in CHOSEN for word in ("--set", text)]
    fixed = ["--device", "cpu", "--checkpoint-every", str(EVERY), "--evaluate-every", "0", "--quiet"]
    return [sys.executable, "-m", "speech2vec", "train", str(store.path), "-o", str(run), *options, *fixed, *more]


def with_small_files(limit: int, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a program in which a write beyond `limit` bytes of a file fails."""
    return subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_full_disk_is_one_line_and_the_last_checkpoint_is_whole(
    store: Store, whole: Checkpoint, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    settings = load_settings(TrainSettings, overrides=CHOSEN)

    class StoppedError(Exception):
        pass

    def stop(end: EpochState) -> dict[str, float]:
        if end.epoch == 1:
            raise StoppedError
        return {}

    with pytest.raises(StoppedError):
        train(store, run, settings, CPU, TrainOptions(checkpoint_every=EVERY, quiet=True), on_epoch_end=stop)
    before = checkpoint_file(run).read_bytes()
    limit = len(before) // 2  # no file may grow beyond it: the write of the next checkpoint fails half-way

    answer = with_small_files(limit, command(store, run, "--resume"))
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1, answer.stderr
    assert "cannot be written" in answer.stderr and "the previous one is intact" in answer.stderr
    assert checkpoint_file(run).read_bytes() == before
    assert not list((run / "checkpoints").glob(".*.tmp"))
    assert_same_bits(resumed(store, run), whole)


def test_a_disk_that_is_full_for_the_curves_is_one_line_too(store: Store, tmp_path: Path) -> None:
    run = tmp_path / "run"
    answer = with_small_files(2500, command(store, run, "--log-every", "1", "--checkpoint-every", "99"))
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1, answer.stderr
    assert f"{run} cannot be written (File too large); no checkpoint" in answer.stderr


def test_ctrl_c_is_one_line_and_the_run_goes_on(store: Store, whole: Checkpoint, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(
        command(store, run), env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not checkpoint_file(run).exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    if process.returncode != 0:  # it may have come to its end before
        assert process.returncode == 130 and said.splitlines() == ["error: interrupted"]
    assert_same_bits(resumed(store, run), whole)
