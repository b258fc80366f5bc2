"""Whole epochs are timed by the clock, and counted as the trainer counts them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from scripts.benchmarks import bench_epochs
from scripts.benchmarks.librispeech_like import librispeech_like
from speech2vec.features.store import Store
from speech2vec.training.presets import OptimiserSettings, TrainSettings
from speech2vec.training.sampler import neighbour_pairs


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return librispeech_like(tmp_path_factory.mktemp("bench") / "store", n_utterances=20, n_mfcc=5)


def test_each_epoch_has_its_seconds(store: Store) -> None:
    settings = TrainSettings(optimiser=OptimiserSettings(epochs=3))
    seconds = bench_epochs.seconds_of_epochs(store, settings, torch.device("cpu"))
    assert len(seconds) == 3 and (seconds > 0).all()


def test_pairs_are_those_of_what_is_trained_on(store: Store) -> None:
    n_pairs, n_frames = bench_epochs.pairs_of_epoch(store, TrainSettings())
    assert 0.7 < n_pairs / len(neighbour_pairs(store.utterance, 3)[0]) < 0.95
    assert 30 < n_frames < 40


def test_the_last_line_is_the_rate(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    bench_epochs.main([str(store.path), "--epochs", "2", "--threads", "1", "--set", "model.vector_size=8"])
    lines = capsys.readouterr().out.splitlines()
    assert "(not counted)" in lines[2] and lines[3].startswith("epoch 2:")
    (rate,) = re.findall(r"^pairs a second over epochs 2 to 2, by the clock: ([\d,]+)$", lines[-1])
    assert int(rate.replace(",", "")) > 0


def test_a_store_that_is_none_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench_epochs.main([str(tmp_path)])
    assert ended.value.code == 2 and "is not a store" in capsys.readouterr().err
