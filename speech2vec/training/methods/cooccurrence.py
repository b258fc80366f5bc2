"""Vectors of clusters from the company that they keep: soft counts, PPMI, singular value decomposition.

Levy & Goldberg 2014, "Neural word embedding as implicit matrix factorization"; the smoothed counts of contexts are of
Levy, Goldberg & Dagan 2015, "Improving distributional similarity with lessons learned from word embeddings".
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from pydantic import Field
from sklearn.utils.extmath import randomized_svd

from speech2vec.features.store import starts_of_runs
from speech2vec.runtime.config import Settings

_WORDS_AT_ONCE = 50_000  # of whole utterances: what the largest sparse product is taken over
_ITERATIONS = 4  # of the randomised decomposition


class CooccurrenceSettings(Settings):
    """How units of speech become vectors of their contexts.

    Parameters
    ----------
    vector_size : int
    window : int
        Words to either side, in the utterance, that keep a word company.
    smoothing : float
        Power of the counts of contexts.
    exponent : float
        Power of the singular values that vectors are multiplied by.
    """

    vector_size: int = Field(100, ge=1, le=4096)
    window: int = Field(20, ge=1, le=1000)
    smoothing: float = Field(0.75, ge=0, le=1)
    exponent: float = Field(0.0, ge=0, le=1)


def cooccurrence(units: sp.csr_matrix, contexts: sp.csr_matrix, utterance: np.ndarray, window: int) -> np.ndarray:
    """How often units stand near contexts in utterances, by soft counts.

    Parameters
    ----------
    units : csr_matrix [shape=(n_words, n_units)], float32
        Weights with which words, in time order, are units.
    contexts : csr_matrix [shape=(n_words, n_contexts)], float32
        The same of contexts.
    utterance : ndarray [shape=(n_words,)], int
        The words of an utterance are adjacent.
    window : int
        Words s apart count (window + 1 - s) / window.

    Returns
    -------
    ndarray [shape=(n_units, n_contexts)], float32
    """
    counts = np.zeros((units.shape[1], contexts.shape[1]), dtype=np.float32)
    ends = np.append(starts_of_runs(utterance)[1:], len(utterance))
    begin = 0
    while begin < len(utterance):
        # Whole utterances, one at least.
        last = max(
            np.searchsorted(ends, begin + _WORDS_AT_ONCE, side="right") - 1, np.searchsorted(ends, begin, "right")
        )
        end = int(ends[last])
        near = _closeness(utterance[begin:end], window) @ contexts[begin:end]
        product = (units[begin:end].T @ near).tocsr()
        counts[np.repeat(np.arange(len(counts)), np.diff(product.indptr)), product.indices] += product.data
        begin = end
    return counts


def _closeness(utterance: np.ndarray, window: int) -> sp.csr_matrix:
    """The weight of each pair of words [shape=(n_words, n_words)], float32."""
    n = len(utterance)
    diagonals = [
        np.where(utterance[s:] == utterance[: n - s], (window + 1 - s) / window, 0).astype(np.float32)
        for s in range(1, min(window, n - 1) + 1)
    ]
    if not diagonals:
        return sp.csr_matrix((n, n), dtype=np.float32)
    upper = sp.diags(diagonals, range(1, len(diagonals) + 1), shape=(n, n), format="csr", dtype=np.float32)
    upper.eliminate_zeros()
    return (upper + upper.T).tocsr()


def embed_counts(counts: np.ndarray, settings: CooccurrenceSettings, random_state: int) -> np.ndarray:
    """Vectors of units: positive pointwise mutual information with their contexts, and its leading singular vectors.

    Parameters
    ----------
    counts : ndarray [shape=(n_units, n_contexts)], float32
        Becomes the PPMI in place.
    settings : CooccurrenceSettings
    random_state : int

    Returns
    -------
    ndarray [shape=(n_units, vector_size)], float32
        Zero for units without counts; of fewer numbers where there are fewer units or contexts.
    """
    unit = counts.sum(axis=1, dtype=np.float64)
    context = counts.sum(axis=0, dtype=np.float64) ** settings.smoothing
    expected = (np.where(context > 0, context, 1) / max(context.sum(), 1e-300)).astype(np.float32)
    for row, total in zip(counts, np.where(unit > 0, unit, 1).astype(np.float32), strict=True):
        np.log(np.maximum(row / (total * expected), 1), out=row)
    size = min(settings.vector_size, *counts.shape)
    left, values, _ = randomized_svd(counts, size, n_iter=_ITERATIONS, random_state=random_state)
    return np.ascontiguousarray(left * values**settings.exponent, dtype=np.float32)
