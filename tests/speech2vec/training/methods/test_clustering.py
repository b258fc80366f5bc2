"""Several clusterings of the same words, and vectors of their clusters in one space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import made_up_store
from scipy import sparse

from speech2vec.training.methods.clustering import ClusteredWords, ClusteringSettings, fit_clusters
from speech2vec.training.methods.cooccurrence import CooccurrenceSettings, embed_counts

SETTINGS = ClusteringSettings(clusterings=3, nearest=2, clusters=15, cells=8)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> ClusteredWords:
    store = made_up_store(tmp_path_factory.mktemp("clustering") / "store", 4, 20, 6)
    return fit_clusters(store, np.arange(store.n_words), None, SETTINGS, seed=1)


def test_each_clustering_has_as_many_clusters_and_a_word_belongs_to_all(words: ClusteredWords) -> None:
    assert len(words.encoder.centres) == 3 * 15
    first, second, third = np.split(words.encoder.centres, 3)
    assert not np.array_equal(first, second) and not np.array_equal(second, third)
    parts = list(words.memberships_in_parts())
    assert [part.shape for part in parts] == [(len(words.points), 15)] * 3
    for part in parts:
        np.testing.assert_allclose(part.sum(axis=1), 1 / 3, atol=1e-6)
        np.testing.assert_array_equal(np.diff(part.indptr), 2)
    np.testing.assert_array_equal(sparse.hstack(parts).toarray(), words.memberships().toarray())
    smaller = list(words.memberships_in_parts(2))
    assert [part.shape[1] for part in smaller] == [7, 8] * 3
    np.testing.assert_array_equal(sparse.hstack(smaller).toarray(), words.memberships().toarray())


def test_the_nearest_of_other_centres_in_each_clustering(words: ClusteredWords) -> None:
    centres = words.centres(5, 2, 0.5, np.random.default_rng(0))
    assert len(centres) == 10
    distance = ((words.points[:, None] - centres) ** 2).sum(axis=2)
    expected = np.stack([distance[:, :5].argmin(axis=1), 5 + distance[:, 5:].argmin(axis=1)], axis=1)
    np.testing.assert_array_equal(words.nearest(centres, 2), expected)


def test_parts_of_the_units_have_vectors_in_one_space() -> None:
    settings = CooccurrenceSettings(vector_size=4)
    draw = np.random.default_rng(0)
    whole = sparse.csr_array(draw.poisson(1.5, size=(30, 12)).astype(np.float32))
    alone = embed_counts([whole], settings, seed=1)
    turned = whole[::-1]
    both = embed_counts((part for part in (whole, turned)), settings, seed=1)
    np.testing.assert_allclose(both, np.concatenate([alone, alone[::-1]]), atol=1e-5)


def test_clusters_of_few_words_are_as_many_in_every_clustering(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store", 2, 3, 3)
    words = fit_clusters(store, np.arange(store.n_words), None, SETTINGS, seed=1)
    assert len(words.encoder.centres) % 3 == 0
    np.testing.assert_allclose(words.memberships().sum(axis=1), 1, atol=1e-6)
