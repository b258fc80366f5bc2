"""The instances of a run's words as vectors: which of them, and of what length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import made_up_store, untrained_run

from speech2vec.model.encoding import encode_instances
from speech2vec.model.settings import ModelSettings
from speech2vec.training.presets import TrainSettings, VectorSettings
from speech2vec.vectors.instances import at_most_each, instances_by_row, word_vectors


def test_at_most_each_keeps_so_many_rows_of_a_word_and_all_of_a_rarer_one() -> None:
    word_id = np.repeat([0, 1, 2, 3], [2, 3, 4, 20])
    rows = np.arange(1, 29)  # without the first of word 0
    chosen = at_most_each(word_id, rows, most=3, seed=0)
    assert np.bincount(word_id[chosen]).tolist() == [1, 3, 3, 3]
    assert (np.diff(chosen) > 0).all() and set(chosen) <= set(rows)
    assert chosen.tolist() == at_most_each(word_id, rows, most=3, seed=0).tolist()
    assert chosen.tolist() != at_most_each(word_id, rows, most=3, seed=1).tolist()


@pytest.mark.parametrize("unit", [False, True])
def test_instances_are_of_length_one_where_the_run_says_so(tmp_path: Path, unit: bool) -> None:
    store = made_up_store(tmp_path / "store", speakers=2, utterances=4)
    settings = TrainSettings(model=ModelSettings(vector_size=8), vectors=VectorSettings(unit_instances=unit))
    loaded = untrained_run(store, settings)
    encoded = encode_instances(loaded.model, store)
    if unit:
        encoded = encoded / np.linalg.norm(encoded, axis=1, keepdims=True)
    words = word_vectors(loaded)
    found = instances_by_row(loaded, words, np.array([0, 2]))
    assert sorted(found) == [0, 2]
    for row, instances in found.items():
        own = store.word_id == store.types.index(words.words[row])
        expected = encoded[own]
        np.testing.assert_array_equal(instances.voice, store.speaker[own])
        np.testing.assert_allclose(instances.vectors, expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(words.vectors[row], expected.mean(axis=0), rtol=1e-4, atol=1e-6)
