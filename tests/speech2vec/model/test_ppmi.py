"""Co-occurrence and its factors against slow loops and against numpy's dense decomposition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from speech2vec.model.ppmi import cooccurrences, factorise, factors, one_hot, ppmi


def slow_counts(units: np.ndarray, contexts: np.ndarray, utterance: np.ndarray, window: int) -> np.ndarray:
    counts = np.zeros((units.shape[1], contexts.shape[1]))
    for i in range(len(units)):
        for j in range(len(units)):
            if i != j and abs(i - j) <= window and utterance[i] == utterance[j]:
                counts += np.outer(units[i], contexts[j]) * (window + 1 - abs(i - j)) / window
    return counts


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 24), st.integers(1, 5), st.sampled_from([1, 7, 1000]))
def test_counts_equal_those_of_a_loop(seed: int, n_words: int, window: int, at_once: int) -> None:
    draw = np.random.default_rng(seed)
    utterance = np.sort(draw.integers(0, 5, n_words))
    hard = one_hot(draw.integers(-1, 4, n_words), 4).toarray()
    soft = draw.random((n_words, 3)) * (draw.random((n_words, 3)) < 0.5)
    for units, contexts in ((hard, hard), (soft, hard)):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("speech2vec.model.ppmi._WORDS_AT_ONCE", at_once)
            fast = cooccurrences(sparse.csr_array(units), sparse.csr_array(contexts), utterance, window).toarray()
        np.testing.assert_allclose(fast, slow_counts(units, contexts, utterance, window), atol=1e-12)


def test_information_is_of_smoothed_contexts_and_positive() -> None:
    counts = np.array([[4.0, 1.0], [0.0, 3.0]])
    context = counts.sum(axis=0) ** 0.75
    with np.errstate(divide="ignore"):
        expected = np.log(counts / counts.sum(axis=1, keepdims=True) / (context / context.sum()))
    given = sparse.csr_array(counts)
    np.testing.assert_allclose(ppmi(given).toarray(), np.maximum(expected, 0.0))
    np.testing.assert_array_equal(given.toarray(), counts)


def test_vectors_are_the_scaled_singular_vectors_and_rare_rows_lie_in_their_space() -> None:
    draw = np.random.default_rng(0)
    information = draw.random((9, 8)) * (draw.random((9, 8)) < 0.6)
    left, values, right = np.linalg.svd(information[:8])
    found = factorise(sparse.csr_array(information), 3, seed=1, n_known=8)
    expected = left[:, :3] * values[:3] ** 0.5
    np.testing.assert_allclose(found[:8] @ found[:8].T, expected @ expected.T, atol=1e-5)  # signs are free
    placed = information[8] @ right[:3].T / values[:3] ** 0.5
    np.testing.assert_allclose(found[8] @ found[:8].T, placed @ expected.T, atol=1e-5)
    right = factors(sparse.csr_array(information[:8]), 3, seed=1)
    np.testing.assert_allclose(information @ right, found, atol=1e-5)


def test_vectors_of_all_values_reproduce_the_matrix_and_rows_without_counts_are_zero() -> None:
    counts = np.random.default_rng(0).poisson(2.0, size=(9, 6)).astype(np.float32)
    counts[3] = 0
    information = ppmi(sparse.csr_array(counts))
    vectors = factorise(information, 50, seed=0, exponent=1.0)
    assert vectors.shape == (9, 6) and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors @ vectors.T, (information @ information.T).toarray(), atol=1e-4)
    np.testing.assert_allclose(vectors[3], 0, atol=1e-6)
    assert not factorise(sparse.csr_array((3, 3)), 2, seed=0).any()


def test_units_of_one_company_have_one_direction() -> None:
    # Two topics of three units each; units of one topic never stand together with the other's.
    topics = np.kron(np.eye(2), np.ones((3, 3)))
    vectors = factorise(ppmi(sparse.csr_array(topics)), 2, seed=0, exponent=0.0)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(unit @ unit.T, topics, atol=1e-5)
