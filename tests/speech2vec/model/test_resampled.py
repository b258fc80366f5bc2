"""Resampling against interpolation word by word, and the means that are removed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import made_up_store
from hypothesis import given, settings
from hypothesis import strategies as st

from speech2vec.model.encoding import StoreVectors
from speech2vec.model.kinds import load_encoder, save_encoder
from speech2vec.model.resampled import Resampled, ResampledSettings, average, remove_speaker_means, resample
from speech2vec.model.word_encoder import Words
from speech2vec.runtime.errors import UserError


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 20), st.integers(1, 4))
def test_points_are_interpolated(lengths: list[int], points: int, n_features: int) -> None:
    n_frames = np.array(lengths)
    frames = np.random.default_rng(len(lengths)).normal(size=(n_frames.sum(), n_features)).astype(np.float32)
    resampled = resample(frames, n_frames, points)
    assert resampled.dtype == np.float32
    for word, row in zip(np.split(frames, np.cumsum(n_frames)[:-1]), resampled, strict=True):
        n = len(word)
        at = (np.arange(points) + 0.5) / points * n - 0.5
        wanted = np.stack([np.interp(at, np.arange(n), column) for column in word.T], axis=1)
        np.testing.assert_allclose(row[:-1].reshape(points, n_features), wanted, atol=1e-5)
        assert row[-1] == pytest.approx(np.log(n), abs=1e-6)


def test_as_many_points_as_frames_are_the_frames() -> None:
    frames = np.arange(15, dtype=np.float32).reshape(5, 3)
    np.testing.assert_allclose(resample(frames, np.array([5]), 5)[0, :-1], frames.ravel(), atol=1e-6)


def test_a_speaker_of_many_words_loses_the_mean_and_one_word_keeps_most() -> None:
    draw = np.random.default_rng(0)
    speaker = np.array([7] * 999 + [3])
    vectors = (draw.normal(size=(1000, 4)) + 5).astype(np.float32)
    before = vectors.copy()
    remove_speaker_means(vectors, speaker, prior=1.0)
    assert np.abs(vectors[:999].mean(axis=0)).max() < 0.01
    np.testing.assert_allclose(vectors[999], before[999] / 2, rtol=1e-6)  # of one word and one at zero


def encoder_of(n_features: int, speaker_mean: bool = True) -> Resampled:
    draw, size = np.random.default_rng(1), 4 * n_features + 1
    projection = draw.normal(size=(size, 3)).astype(np.float32)
    return Resampled(ResampledSettings(points=4, speaker_mean=speaker_mean), np.ones(size, np.float32), projection)


def test_an_encoder_is_resampling_a_projection_and_the_mean(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store")
    everything = store.gather(np.arange(store.n_words))
    projected = (resample(everything, store.n_frames, 4) - 1) @ encoder_of(store.n_mfcc).projection
    plain = encoder_of(store.n_mfcc, speaker_mean=False).encode(Words.from_store(store))
    np.testing.assert_allclose(plain, projected, atol=1e-4)
    for one in range(len(store.speakers)):
        own = np.flatnonzero(store.speaker == one)
        projected[own] -= projected[own].sum(axis=0) / (len(own) + 1)
    encode = StoreVectors(encoder_of(store.n_mfcc), store)
    np.testing.assert_allclose(encode(), projected, atol=1e-4)
    rows = np.array([5, 200, 5, 0])  # in any order, and twice
    np.testing.assert_array_equal(encode(rows), encode()[rows])


def test_words_are_read_in_chunks_that_hold_each_once(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store")
    rows = np.random.default_rng(2).permutation(store.n_words)[:100]
    words = Words.from_store(store, rows)
    chunks = list(words.chunks(most_frames=60))
    assert len(chunks) > 10 and max(len(frames) for _, frames in chunks) <= 60 + 14
    positions = np.concatenate([positions for positions, _ in chunks])
    assert sorted(positions.tolist()) == list(range(100)) and (np.diff(rows[positions]) > 0).all()
    for taken, frames in chunks:
        np.testing.assert_array_equal(frames, store.gather(rows[taken]))
    assert list(Words.from_frames(np.zeros((0, 3), np.float32), np.zeros(0, np.int64)).chunks()) == []


def test_a_file_gives_back_the_encoder_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    file, encoder = tmp_path / "encoder.safetensors", encoder_of(5)
    save_encoder(file, encoder, note="made up")
    loaded, metadata, _ = load_encoder(file)
    words = Words.from_store(made_up_store(tmp_path / "store"))
    np.testing.assert_array_equal(loaded.encode(words), encoder.encode(words))
    assert loaded.settings == encoder.settings and metadata["note"] == "made up"
    save_encoder(file, Resampled(encoder.settings, np.zeros(3, np.float32), encoder.projection))
    with pytest.raises(
        UserError, match=r"encoder\.safetensors is not an encoder, or is damaged .*a mean of shape \(3,\) does not fit"
    ):
        load_encoder(file)
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(UserError, match=r"encoder\.safetensors is not an encoder, or is damaged"):
        load_encoder(file)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 6))
def test_parts_are_averaged_with_each_frame_by_its_share(lengths: list[int], points: int) -> None:
    n_frames = np.array(lengths)
    frames = np.random.default_rng(0).normal(size=(n_frames.sum(), 3)).astype(np.float32)
    averaged = average(frames, n_frames, points)
    end = 0
    for row, n in zip(averaged, n_frames, strict=True):
        word, end = frames[end : end + n], end + n
        # Each frame repeated `points` times makes parts of n whole frames.
        parts = np.repeat(word, points, axis=0).reshape(points, n, 3).mean(axis=1)
        np.testing.assert_allclose(row[:-1], parts.ravel(), atol=1e-5)
        assert row[-1] == pytest.approx(np.log(n))
