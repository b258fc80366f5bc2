from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from speech2vec.model.clusters import Clusters, MembershipSettings, nearest_centres
from speech2vec.model.resampled import Resampled, ResampledSettings
from speech2vec.model.word_encoder import Words


@pytest.mark.parametrize(("n_centres", "nearest"), [(1, 5), (3, 5), (7, 3), (1000, 1), (1000, 5), (707, 12)])
def test_nearest_centres_are_those_of_all_distances(n_centres: int, nearest: int) -> None:
    draw = np.random.default_rng(n_centres)
    points, centres = draw.normal(size=(40, 6)).astype(np.float32), draw.normal(size=(n_centres, 6)).astype(np.float32)
    found, distance = nearest_centres(points, centres, nearest)
    squared = ((points[:, None].astype(np.float64) - centres) ** 2).sum(axis=2)
    expected = np.argsort(squared, axis=1)[:, :nearest]
    np.testing.assert_array_equal(found, expected)
    half = 0.5 * (np.take_along_axis(squared, expected, axis=1) - (points.astype(np.float64) ** 2).sum(axis=1)[:, None])
    np.testing.assert_allclose(distance, half, atol=1e-4)


def encoder(nearest: int = 2) -> Clusters:
    """Of words of one frame of two numbers: three clusters on a line."""
    sound = Resampled(
        ResampledSettings(points=1, speaker_mean=False), np.zeros(3, np.float32), np.eye(3, 2, dtype=np.float32)
    )
    centres = np.array([[0, 0], [1, 0], [5, 0]], dtype=np.float32)
    settings = MembershipSettings(nearest=nearest, temperature=2.0)
    eye = np.eye(3, dtype=np.float32)
    return Clusters(settings, sound, np.eye(2, dtype=np.float32), centres[:1], centres, 0.25, eye)


def words(*first: float) -> Words:
    frames = np.array([(x, 0.0) for x in first], dtype=np.float32).reshape(-1, 2)
    return Words.from_frames(frames, np.ones(len(first), dtype=np.int64))


def test_a_word_has_the_mean_of_its_nearest_clusters_vectors() -> None:
    vectors = encoder().encode(words(0.5, 0.0, 5.0))
    # Half the squared distances of 0 are 0 and 0.5, in units of 0.25 * 2: weights 1 and 1 / e.
    np.testing.assert_allclose(vectors[0], [0.5, 0.5, 0.0], atol=1e-6)
    np.testing.assert_allclose(vectors[1], [1 / (1 + np.exp(-1)), 1 / (1 + np.e), 0.0], atol=1e-6)
    np.testing.assert_allclose(vectors[2], [0.0, 0.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(encoder(nearest=1).encode(words(0.4)), [[1, 0, 0]])
    assert encoder(nearest=10).encode(words()).shape == (0, 3)


def in_two_clusterings() -> Clusters:
    """The clusters of `encoder`, and three others."""
    one = encoder(nearest=1)
    others = np.array([[9, 0], [0.4, 0], [6, 0]], dtype=np.float32)
    vectors = np.array([[1, 0, 0], [0, 3, 0], [0, 0, 7]], dtype=np.float32)
    return replace(
        one,
        membership=MembershipSettings(clusterings=2, nearest=1),
        centres=np.concatenate([one.centres, others]),
        vectors=np.concatenate([one.vectors, vectors]),
    )


def test_a_word_belongs_to_every_clustering_alike() -> None:
    encoder = in_two_clusterings()
    members = encoder.members(np.array([[0.3, 0], [5.2, 0]], dtype=np.float32))
    np.testing.assert_array_equal(members.cluster, [[0, 4], [2, 5]])
    np.testing.assert_allclose(members.weight, 0.5)
    np.testing.assert_allclose(encoder.encode(words(0.3, 5.2)), [[0.5, 1.5, 0], [0, 0, 4]])


def test_an_encoder_saved_before_there_were_several_clusterings_has_one() -> None:
    given = encoder()
    settings = {name: value for name, value in given.settings.model_dump().items() if name != "clusterings"}
    again = Clusters.from_tensors(given.tensors(), settings)
    np.testing.assert_array_equal(again.encode(words(0.3, 2.0)), given.encode(words(0.3, 2.0)))


@pytest.mark.parametrize("given", [encoder(), in_two_clusterings()])
def test_tensors_and_settings_give_back_the_encoder(given: Clusters) -> None:
    again = Clusters.from_tensors(given.tensors(), given.settings.model_dump())
    np.testing.assert_array_equal(again.encode(words(0.3, 2.0)), given.encode(words(0.3, 2.0)))
    assert again.settings == given.settings
    with pytest.raises(ValueError, match="do not fit"):
        Clusters.from_tensors({**given.tensors(), "centres": torch.zeros(2, 2)}, given.settings.model_dump())
    with pytest.raises(ValueError, match="do not fit"):
        Clusters.from_tensors(given.tensors(), {**given.settings.model_dump(), "clusterings": 4})


def test_clusters_are_looked_for_in_the_cells_nearby() -> None:
    draw = np.random.default_rng(0)
    cells = 100 * draw.normal(size=(90, 6)).astype(np.float32)
    centres = (cells[draw.integers(0, 90, 900)] + draw.normal(size=(900, 6))).astype(np.float32)
    points = (centres[draw.integers(0, 900, 300)] + draw.normal(size=(300, 6)) / 10).astype(np.float32)
    sound = Resampled(ResampledSettings(points=1), np.zeros(7, np.float32), np.eye(7, 6, dtype=np.float32))
    settings = MembershipSettings(nearest=3)
    clusters = Clusters(settings, sound, np.eye(6, dtype=np.float32), cells, centres, 1.0, centres)
    members = clusters.members(points)
    np.testing.assert_array_equal(members.cluster, nearest_centres(points, centres, 3)[0])
    np.testing.assert_allclose(members.weight.sum(axis=1), 1, atol=1e-6)
