"""The baseline that every trained vector is measured against: plain principal components, in scikit-learn's words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fakes import made_up_store
from sklearn.decomposition import PCA

from speech2vec.evaluation.monitor import resampled_held_out
from speech2vec.model.word_encoder import Words
from speech2vec.training.sampler import split
from speech2vec.vectors.resampled import resampled_baseline


def plain_points(frames: np.ndarray, n_points: int = 16) -> np.ndarray:
    """One word's frames at evenly spaced points, a coefficient at a time."""
    n = len(frames)
    at = np.clip((np.arange(n_points) + 0.5) / n_points * n - 0.5, 0, n - 1)
    return np.stack([np.interp(at, np.arange(n), column) for column in frames.T], axis=1).ravel()


def test_it_is_half_whitened_principal_components_without_the_speakers_mean(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store")
    rows = np.arange(store.n_words)
    found = resampled_baseline(store, rows).encode(Words.from_store(store))
    duration = np.log(store.n_frames)
    points = np.stack([plain_points(store.segment(row)) for row in rows])
    points = np.column_stack([points, (duration - duration.mean()) / duration.std()])
    pca = PCA(min(60, *points.shape)).fit(points)
    kept = pca.explained_variance_ > 1e-7 * pca.explained_variance_[0]
    expected = pca.transform(points)[:, kept] / pca.explained_variance_[kept] ** 0.25
    for speaker in np.unique(store.speaker):
        own = store.speaker == speaker
        expected[own] -= expected[own].sum(axis=0) / (own.sum() + 1)
    np.testing.assert_allclose(
        found @ found.T, expected @ expected.T, rtol=1e-3, atol=1e-3 * np.abs(expected).max() ** 2
    )


def test_what_is_held_out_is_not_fitted_to(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store")
    parts = split(store, 0.4, seed=3)
    found = resampled_held_out(store, parts.held_out)(parts.held_out[2:5])
    expected = resampled_baseline(store, parts.train).encode(Words.from_store(store, parts.held_out))
    np.testing.assert_array_equal(found, expected[2:5])
