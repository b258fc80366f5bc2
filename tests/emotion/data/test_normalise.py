"""Normalisation of features over the training part and by speaker."""

import numpy as np

from emotion.data.normalise import Scaler, mean_of_speakers, normalise, normalise_by_speaker


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


def test_a_shrunk_mean_takes_little_of_few_recordings_and_nearly_all_of_many():
    population = np.zeros(5)
    few, many = ([one + 4 for one in made_up(n, seed=n)] for n in (1, 45))
    for segments, weight in ((few, 1 / 6), (many, 45 / 50)):
        found = normalise(segments, ["a"] * len(segments), "speaker-mean", population)
        own = np.concatenate(segments).mean(axis=0)
        np.testing.assert_allclose(np.concatenate(found).mean(axis=0), own * (1 - weight), rtol=1e-4, atol=1e-5)
        # Spread and order within a speaker stay.
        np.testing.assert_allclose(found[0] - found[0][0], segments[0] - segments[0][0], atol=1e-5)


def test_the_population_s_mean_counts_speakers_once():
    segments = [np.full((n, 2), value, dtype=np.float32) for n, value in ((1, 0.0), (9, 0.0), (50, 6.0))]
    np.testing.assert_allclose(mean_of_speakers(segments, ["a", "a", "b"]), [3, 3])


def test_normalisation_by_corpus_takes_the_corpus_away_and_by_none_nothing():
    segments, speakers = made_up(6), ["a", "b"] * 3
    moved = [3 * segment - 7 for segment in segments]
    for plain, other in zip(normalise(segments, speakers, "corpus"), normalise(moved, speakers, "corpus"), strict=True):
        np.testing.assert_allclose(plain, other, atol=1e-4)
    for how in ("training", "none"):
        assert all(a is b for a, b in zip(normalise(segments, speakers, how), segments, strict=True))
