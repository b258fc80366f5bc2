"""Co-occurrence and its factors against slow loops and against numpy's dense decomposition."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from speech2vec.model.ppmi import cooccurrences, factorise, one_hot, ppmi


def slow_counts(shares: np.ndarray, utterance: np.ndarray, window: int) -> np.ndarray:
    counts = np.zeros((shares.shape[1], shares.shape[1]))
    for i in range(len(shares)):
        for j in range(len(shares)):
            if i != j and abs(i - j) <= window and utterance[i] == utterance[j]:
                counts += np.outer(shares[i], shares[j]) * (window + 1 - abs(i - j)) / window
    return counts


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 12), st.integers(1, 5))
def test_counts_equal_those_of_a_loop(seed: int, n_words: int, window: int) -> None:
    draw = np.random.default_rng(seed)
    utterance = np.sort(draw.integers(0, 3, n_words))
    soft = draw.random((n_words, 4)) * (draw.random((n_words, 4)) < 0.5)
    for shares in (one_hot(draw.integers(0, 4, n_words), 4).toarray(), soft):
        fast = cooccurrences(sparse.csr_array(shares), utterance, window).toarray()
        np.testing.assert_allclose(fast, slow_counts(shares, utterance, window), atol=1e-12)


def test_information_is_of_smoothed_contexts_and_positive() -> None:
    counts = np.array([[4.0, 1.0], [0.0, 3.0]])
    context = counts.sum(axis=0) ** 0.75
    with np.errstate(divide="ignore"):
        expected = np.log(counts / counts.sum(axis=1, keepdims=True) / (context / context.sum()))
    np.testing.assert_allclose(ppmi(sparse.csr_array(counts)).toarray(), np.maximum(expected, 0.0))


def test_vectors_are_the_scaled_singular_vectors_and_rare_rows_lie_in_their_space() -> None:
    draw = np.random.default_rng(0)
    information = draw.random((9, 8)) * (draw.random((9, 8)) < 0.6)
    left, values, right = np.linalg.svd(information[:8])
    found = factorise(sparse.csr_array(information), 8, 3, seed=1)
    expected = left[:, :3] * values[:3] ** 0.5
    np.testing.assert_allclose(found[:8] @ found[:8].T, expected @ expected.T, atol=1e-5)  # signs are free
    placed = information[8] @ right[:3].T / values[:3] ** 0.5
    np.testing.assert_allclose(found[8] @ found[:8].T, placed @ expected.T, atol=1e-5)
