"""Several processes train as one: no pair lost or doubled, the same losses, one voice for what goes wrong."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import made_up_store
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from speech2vec.features.store import Store
from speech2vec.model.settings import ModelSettings
from speech2vec.model.speech2vec import seeded_model
from speech2vec.runtime.config import load_settings
from speech2vec.runtime.errors import UserError
from speech2vec.training.batches import DeviceBatch, DeviceStore
from speech2vec.training.distributed import World, local_device
from speech2vec.training.presets import OptimiserSettings, TrainSettings
from speech2vec.training.sampler import Batch, Sampler
from speech2vec.training.step import BatchLoss, make_optimiser, train_step
from speech2vec.training.trainer import TrainOptions, train

CHOSEN = (
    "model.vector_size=8",
    "optimiser.epochs=4",
    "optimiser.batch_size=60",
    "optimiser.learning_rate=1e-2",
    "data.held_out=0.2",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made_up_store(tmp_path_factory.mktemp("made-up") / "store", speakers=6, utterances=10)


def named(batch: Batch) -> Iterator[tuple[int, int]]:
    return zip(batch.words[batch.centre].tolist(), batch.words[batch.context].tolist(), strict=True)


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=40),
    st.integers(1, 9),
    st.integers(0, 99),
    st.integers(1, 60),
    st.sampled_from(["words", "centres"]),
    st.booleans(),
)
def test_no_pair_is_lost_or_doubled(
    lengths: list[int], size: int, seed: int, batch_size: int, subsample: Any, across: bool
) -> None:
    utterance = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    rows = np.arange(len(utterance)) * 3
    word_id = (rows % 2).astype(np.int32)
    sampler = Sampler(rows, word_id, utterance, np.array([1.0, 0.7]), 3, batch_size, seed, subsample, across)
    for chosen in sampler.epoch(seed % 3):
        whole = sampler.batch(chosen)
        parts = [sampler.batch(chosen[World(rank, size).share(chosen.group)]) for rank in range(size)]
        assert Counter(named(whole)) == Counter(pair for part in parts for pair in named(part))
        for part in parts:
            assert len(part.words) == len(set(part.centre) | set(part.context)), "a word without a pair"
        if subsample == "words" and not across:  # whole utterances, so no word is encoded twice
            assert np.array_equal(whole.words, np.concatenate([part.words for part in parts]))


@given(st.integers(1, 8))
def test_shares_are_about_equal(size: int) -> None:
    utterance = np.repeat(np.arange(100), 35)
    shares = [World(rank, size).share(utterance) for rank in range(size)]
    words = [share.stop - share.start for share in shares]
    assert sum(words) == len(utterance) and max(words) - min(words) <= 35


def losses(run: Path, name: str = "step/loss") -> np.ndarray:
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    scalars = events.Scalars(name)
    assert [scalar.step for scalar in scalars] == list(range(1, len(scalars) + 1))
    return np.array([scalar.value for scalar in scalars])


def start(n: int, store: Path, run: Path, *more: str, device: str = "cpu") -> subprocess.CompletedProcess[str]:
    options = [word for text in CHOSEN for word in ("--set", text)]
    fixed = ["--device", device, "--log-every", "1", "--evaluate-every", "0", *more]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(n), "-m"]
    return subprocess.run(
        [*torchrun, "speech2vec", "train", str(store), "-o", str(run), *options, *fixed],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_two_processes_have_the_losses_of_one(store: Store, tmp_path: Path, device: str) -> None:
    if device == "cuda" and torch.cuda.device_count() < 2:
        pytest.skip("each process needs a CUDA device of its own, and there are not two")
    settings = load_settings(TrainSettings, overrides=CHOSEN)
    one = train(store, tmp_path / "one", settings, torch.device(device), TrainOptions(quiet=True, log_every=1)).metrics
    answer = start(2, store.path, tmp_path / "two", device=device)
    assert answer.returncode == 0, answer.stderr
    assert len(answer.stdout.splitlines()) == 1 and answer.stderr.count("epoch 4:") == 1  # the first process alone
    ours, theirs = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(ours) == len(theirs) >= 50
    assert np.abs(theirs / ours - 1).max() < 1e-4
    norms = [losses(tmp_path / name, "step/gradient_norm") for name in ("one", "two")]
    assert np.abs(norms[1] / norms[0] - 1).max() < 1e-4
    last = json.loads((tmp_path / "two" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["dev_loss"] == pytest.approx(one[-1]["dev_loss"], rel=1e-5)
    assert last["train_loss"] == pytest.approx(one[-1]["train_loss"], rel=1e-5)


@pytest.mark.slow
def test_what_stops_all_is_said_once(store: Store, tmp_path: Path) -> None:
    wild = ["optimiser.name=sgd", "optimiser.learning_rate=1e6", "optimiser.gradient_clip=0", "optimiser.reduction=sum"]
    answer = start(2, store.path, tmp_path / "run", "--quiet", *(word for text in wild for word in ("--set", text)))
    assert answer.returncode != 0
    said = [line for line in answer.stderr.splitlines() if line.startswith("error:")]
    assert len(said) == 1 and "training has diverged" in said[0]
    assert not list((tmp_path / "run" / "checkpoints").glob("*"))


class _Both(World):
    """Stands for two processes in one: what this one would hear of the other is given beforehand."""

    other: torch.Tensor

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        return values.add_(self.other)


@pytest.mark.parametrize("reduction", ["mean", "sum", "padded"])
@pytest.mark.parametrize("size", [2, 7])
def test_gradients_of_shares_add_up_to_those_of_the_batch(store: Store, reduction: str, size: int) -> None:
    settings = OptimiserSettings(reduction=reduction, gradient_clip=0.0)  # type: ignore[arg-type]
    sampler = Sampler.from_store(store, np.arange(store.n_words), 2, 40, seed=3)
    frames = DeviceStore(store, torch.device("cpu"))
    chosen, longest = sampler.epoch(0)[0], int(store.n_frames.max())

    def gradients(batch: DeviceBatch, world: World) -> tuple[list[torch.Tensor], torch.Tensor]:
        loss = BatchLoss(seeded_model(store.n_mfcc, ModelSettings(vector_size=8), 0), settings, longest)
        sums = train_step(loss, make_optimiser(loss, settings), batch, settings, world)
        return [weights.grad for weights in loss.parameters() if weights.grad is not None], sums

    whole, sums = gradients(frames.batch(sampler.batch(chosen)), World())
    shares = [frames.batch(sampler.batch(chosen[World(rank, size).share(chosen.group)])) for rank in range(size)]
    assert size < 7 or any(not share.n_pairs for share in shares)  # a rank without a share is among them
    model = BatchLoss(seeded_model(store.n_mfcc, ModelSettings(vector_size=8), 0), settings, longest)
    counted = []
    for share in shares:
        squared_error, n_values, divisor = model(share)
        counted.append(torch.tensor([squared_error.item(), n_values, divisor, share.n_pairs], dtype=torch.float64))
    averaged = [torch.zeros_like(gradient) for gradient in whole]
    for rank, share in enumerate(shares):
        both = _Both(rank, size)
        object.__setattr__(both, "other", sum(counted) - counted[rank])
        for total, gradient in zip(averaged, gradients(share, both)[0], strict=True):
            total += gradient / size  # what DistributedDataParallel makes of them
    for expected, gradient in zip(whole, averaged, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(sum(counted)[[0, 1, 3]], sums[:3], rtol=1e-6, atol=0)


def test_a_process_that_is_gone_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object, **__: object) -> None:
        raise RuntimeError("[gloo/tcp/pair.cc] Connection closed by peer [127.0.0.1]:1234\nand more")

    monkeypatch.setattr("torch.distributed.all_reduce", closed)
    with pytest.raises(UserError, match=r"another process of this training run ended .*closed by peer"):
        World(0, 2).sum(torch.zeros(1))


# The second process ends where gradients are exchanged, after both have agreed how large the batch is.
GONE = """
import os, sys
import torch
from speech2vec.cli.app import main
if os.environ["RANK"] == "1":
    torch.Tensor.backward = lambda *_: os._exit(0)
main()
"""


@pytest.mark.slow
def test_a_process_that_goes_in_the_middle_of_a_step_is_one_line(store: Store, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    given = [
        "train",
        str(store.path),
        "-o",
        str(tmp_path / "run"),
        "--device",
        "cpu",
        "--quiet",
        "--evaluate-every",
        "0",
    ]
    first, second = (
        subprocess.Popen(
            [sys.executable, "-c", GONE, *given],
            env={**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    )
    _, said = first.communicate(timeout=300)
    second.communicate(timeout=300)
    assert first.returncode == 2
    assert [line for line in said.splitlines() if line.startswith("error:")] == said.splitlines()[-1:]
    assert "error: another process of this training run ended or cannot be reached" in said


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert local_device(cuda) == cuda  # not started by torchrun
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert local_device(cuda) == torch.device("cuda", 1) and local_device(cpu) == cpu
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match=r"no GPU for process 2: this machine has 2; use --nproc-per-node 2 or fewer"):
        local_device(cuda)
