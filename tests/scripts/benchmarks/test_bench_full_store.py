"""The store of zeros is sparse; the real command is watched to its first steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scripts.benchmarks.bench_full_store import resident, start_training
from scripts.benchmarks.librispeech_like import librispeech_like, utterances_of


def test_a_store_of_zeros_takes_no_disk_space(tmp_path: Path) -> None:
    store = librispeech_like(tmp_path / "store", utterances_of(hours=2), zeros=True)
    assert store.synthetic and not store.frames[::1000].any()
    assert abs(store.n_frames.mean() - 35.4) < 1
    assert abs(store.n_words / len(store.utterance_ids) - 34.8) < 1
    file = (tmp_path / "store" / "frames.npy").stat()
    assert file.st_size == store.frames.nbytes + 128 and file.st_blocks * 512 < file.st_size / 10
    assert (np.diff(store.first_frame) == store.n_frames[:-1]).all()
    assert np.array_equal(np.unique(store.utterance), np.arange(len(store.utterance_ids)))


def test_training_is_watched_to_its_first_steps(tmp_path: Path) -> None:
    store = librispeech_like(tmp_path / "store", utterances_of(hours=0.5), zeros=True)
    went = start_training(store.path, tmp_path / "run")
    assert 0 < went["first_step"] < 600
    assert 0.05 < went["peak_at_first_step"] <= went["peak"] < 3
    assert 0.01 < resident() < 10
