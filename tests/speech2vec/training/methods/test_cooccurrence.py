from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from speech2vec.training.methods import cooccurrence as module
from speech2vec.training.methods.cooccurrence import CooccurrenceSettings, cooccurrence, embed_counts


@pytest.mark.parametrize("at_once", [1, 7, 1000])
@pytest.mark.parametrize("window", [1, 3, 50])
def test_soft_counts_are_those_of_all_pairs_in_utterances(
    window: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WORDS_AT_ONCE", at_once)
    draw = np.random.default_rng(window)
    utterance = np.repeat([4, 2, 9, 1], [6, 1, 12, 5])
    units = draw.random((24, 5)) * (draw.random((24, 5)) < 0.5)
    contexts = draw.random((24, 3))
    expected = np.zeros((5, 3))
    for i in range(24):
        for j in range(24):
            if i != j and utterance[i] == utterance[j] and abs(i - j) <= window:
                expected += (window + 1 - abs(i - j)) / window * np.outer(units[i], contexts[j])
    found = cooccurrence(
        sp.csr_matrix(units.astype(np.float32)), sp.csr_matrix(contexts.astype(np.float32)), utterance, window
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_vectors_reproduce_the_positive_mutual_information() -> None:
    draw = np.random.default_rng(0)
    counts = draw.poisson(2.0, size=(9, 6)).astype(np.float32)
    counts[3] = 0
    power = counts.sum(axis=0) ** 0.75
    with np.errstate(divide="ignore", invalid="ignore"):
        ppmi = np.log(np.maximum(counts / counts.sum(axis=1, keepdims=True) / (power / power.sum()), 1))
    ppmi = np.nan_to_num(ppmi)
    vectors = embed_counts(counts.copy(), CooccurrenceSettings(vector_size=50, exponent=1.0), 0)
    assert vectors.shape == (9, 6)
    np.testing.assert_allclose(vectors @ vectors.T, ppmi @ ppmi.T, atol=1e-4)
    np.testing.assert_allclose(vectors[3], 0, atol=1e-6)


def test_units_of_one_company_have_one_direction() -> None:
    # Two topics of three units each; units of one topic never stand together with the other's.
    counts = np.kron(np.eye(2), np.ones((3, 3))).astype(np.float32)
    vectors = embed_counts(counts, CooccurrenceSettings(vector_size=2), 0)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(unit @ unit.T, np.kron(np.eye(2), np.ones((3, 3))), atol=1e-5)
