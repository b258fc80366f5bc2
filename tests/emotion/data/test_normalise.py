"""Normalisation of features over the training part and by speaker."""

import numpy as np

from emotion.data.normalise import Scaler, normalise_by_speaker


def made_up(n, seed=0, n_features=5):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((int(k), n_features)).astype(np.float32) for k in rng.integers(3, 12, n)]


def test_scaling():
    segments = made_up(6)
    scale = Scaler.fit(segments)
    scaled = np.concatenate([scale(segment) for segment in segments])
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-5)
    constant = Scaler.fit([np.ones((4, 2), dtype=np.float32)])
    assert (constant(np.ones((1, 2), dtype=np.float32)) == 0).all()


def test_normalisation_by_speaker_takes_the_speaker_away():
    segments = made_up(6)
    shifted = [5 * segment + 3 if i % 2 else segment for i, segment in enumerate(segments)]
    speakers = ["a", "b"] * 3
    for plain, moved in zip(
        normalise_by_speaker(segments, speakers), normalise_by_speaker(shifted, speakers), strict=True
    ):
        np.testing.assert_allclose(plain, moved, atol=1e-4)
