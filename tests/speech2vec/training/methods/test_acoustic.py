"""The acoustic method: what it learns on made-up speech, and what it says where there is nothing to learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import made_up_store

import speech2vec as s2v
from speech2vec.evaluation.average_precision import precision_of_vectors
from speech2vec.features.store import FRAMES_FILE, Store
from speech2vec.model.word_encoder import Words
from speech2vec.runtime.errors import UserError
from speech2vec.training.methods.acoustic import PLAIN, fit, resampled_words
from speech2vec.training.sampler import split


def fitted_to(store: Store, **settings: float) -> np.ndarray:
    chosen = PLAIN.model_copy(update=settings)
    everything = np.arange(store.n_words)
    encoder = fit(store, everything, chosen, seed=1, device=torch.device("cpu"), quiet=True)
    return encoder.encode(Words.from_store(store))


def test_components_are_as_strong_as_the_whitening_leaves_them(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store")
    points = resampled_words(Words.from_store(store), PLAIN).astype(np.float64)
    points[:, -1] /= points[:, -1].std()
    variance = np.linalg.eigvalsh(np.cov(points.T))[::-1][:8]
    for whitening in (0.0, 0.5, 1.0):
        vectors = fitted_to(store, vector_size=8, whitening=whitening, speaker_mean=False)
        covariance = np.cov(vectors.T)
        np.testing.assert_allclose(np.diag(covariance), variance ** (1 - whitening), rtol=1e-3)
        assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-3 * variance[0]


def test_words_are_told_apart_across_speakers_and_better_without_the_speakers_mean(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store", speakers=8)
    frames = np.load(store.path / FRAMES_FILE)
    offsets = np.random.default_rng(1).normal(size=(len(store.speakers), store.n_mfcc)) * 2
    frames += np.repeat(offsets[store.speaker], store.n_frames, axis=0).astype(np.float32)
    np.save(store.path / FRAMES_FILE, frames)
    store = Store.open(store.path)
    with_mean, without = (
        precision_of_vectors(fitted_to(store, speaker_mean=removed), store.word_id, store.speaker).across_speakers.ap
        for removed in (False, True)
    )
    assert without > 0.8 and without > with_mean + 0.1


def test_a_sample_of_the_words_is_enough(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store", speakers=8)
    vectors = fitted_to(store, most_words=100)
    assert precision_of_vectors(vectors, store.word_id, store.speaker).across_speakers.ap > 0.8
    np.testing.assert_array_equal(vectors, fitted_to(store, most_words=100))


def test_fewer_directions_than_numbers_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = made_up_store(tmp_path / "store", speakers=2, utterances=5, words=5)
    run = s2v.train(store.path, tmp_path / "run", preset="acoustic", device="cpu", quiet=True)
    assert "differ in 24 directions only: vectors have 24 numbers, not 60" in caplog.text
    assert run.model.vector_size == 24 and run.word_vectors().vector_size == 24


def test_words_that_all_are_one_type_are_trained_on_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("fakes.WORDS", ("alpha",))
    store = made_up_store(tmp_path / "store")
    run = s2v.train(store.path, tmp_path / "run", preset="acoustic", device="cpu", quiet=True)
    assert "all words to train on are 'alpha': their vectors will distinguish nothing" in caplog.text
    assert str(run).startswith(f"run {run.path}: acoustic, ") and np.isfinite(run.vectors()).all()


def test_words_that_sound_the_same_and_broken_frames_are_refused(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store", utterances=2)
    frames = np.load(store.path / FRAMES_FILE)
    parts = split(store, 0.1, seed=1)
    for row in (int(parts.train[3]), int(parts.held_out[3])):
        broken = frames.copy()
        broken[int(store.first_frame[row])] = np.nan
        np.save(store.path / FRAMES_FILE, broken)
        with pytest.raises(UserError, match=rf"holds NaN or infinite frames, first in '\w+' \(row {row}\): rebuild it"):
            s2v.train(store.path, tmp_path / "run", preset="acoustic", device="cpu", quiet=True, force=True)
    np.save(store.path / FRAMES_FILE, np.ones_like(frames))
    flat = Store.open(store.path)
    same_length = np.flatnonzero(flat.n_frames == flat.n_frames[0])
    with pytest.raises(UserError, match="all sound the same: there is nothing to tell apart"):
        fit(flat, same_length, PLAIN, seed=1, device=torch.device("cpu"), quiet=True)


def test_short_options_are_the_methods_own(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store")
    run = s2v.train(store.path, tmp_path / "run", preset="acoustic", vector_size=7, seed=3, device="cpu", quiet=True)
    assert run.model.vector_size == 7 and run.settings.seed == 3
    with pytest.raises(UserError, match=r"unknown setting 'acoustic\.epochs'"):
        s2v.train(store.path, tmp_path / "other", preset="acoustic", epochs=2, device="cpu", quiet=True)
