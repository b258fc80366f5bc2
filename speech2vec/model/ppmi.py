"""From co-occurrence to vectors in closed form: positive pointwise mutual information and its singular vectors.

What skip-gram with negative sampling factorises implicitly (Levy & Goldberg 2014, "Neural word embedding as implicit
matrix factorization"), with the choices of Levy, Goldberg & Dagan (2015, "Improving distributional similarity with
lessons learned from word embeddings"): context counts to the power .75, nearer neighbours counted more, singular values
to the power 1/2. It takes seconds, and nothing is drawn but the start of the decomposition.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

SMOOTHING = 0.75  # power of the context counts
_POWER = 0.5  # of the singular values


def one_hot(ids: np.ndarray, n_units: int) -> sparse.csr_array:
    """A 1 for the unit of each word [shape=(n_words, n_units)], float64."""
    return sparse.csr_array((np.ones(len(ids)), ids, np.arange(len(ids) + 1)), shape=(len(ids), n_units))


def cooccurrences(words: sparse.csr_array, utterance: np.ndarray, window: int) -> sparse.csr_array:
    """How often units occur near each other: a neighbour s words away counts ``(window + 1 - s) / window``.

    Parameters
    ----------
    words : csr_array [shape=(n_words, n_units)]
        The unit of each spoken word (one 1 a row), or its shares of several units; in the order of speech.
    utterance : ndarray [shape=(n_words,)], int
        Of each word; neighbours are of one utterance.
    window : int
        Neighbours to either side.

    Returns
    -------
    csr_array [shape=(n_units, n_units)], float64
        Symmetric.
    """
    n_units = words.shape[1]
    total = sparse.csr_array((n_units, n_units), dtype=np.float64)
    for distance in range(1, window + 1):
        first = np.flatnonzero(utterance[:-distance] == utterance[distance:])
        if len(first):
            total = total + (words[first].T @ words[first + distance]) * ((window + 1 - distance) / window)
    return sparse.csr_array(total + total.T)


def ppmi(counts: sparse.csr_array, smoothing: float = SMOOTHING) -> sparse.csr_array:
    """Positive pointwise mutual information of rows and columns, the columns' counts to the power `smoothing`.

    Parameters
    ----------
    counts : csr_array [shape=(n_units, n_contexts)]
    smoothing : float
        Below 1, rare contexts are less informative than their counts say.

    Returns
    -------
    csr_array [shape=(n_units, n_contexts)], float64
        Without explicit zeros.
    """
    cells = sparse.coo_array(counts)
    row = np.asarray(counts.sum(axis=1)).ravel()
    column = np.asarray(counts.sum(axis=0)).ravel() ** smoothing
    information = np.log(cells.data * column.sum() / (row[cells.coords[0]] * column[cells.coords[1]]))
    positive = information > 0
    kept = tuple(axis[positive] for axis in cells.coords)
    return sparse.csr_array((information[positive], kept), shape=counts.shape)


def factorise(information: sparse.csr_array, n_known: int, vector_size: int, seed: int) -> np.ndarray:
    """Singular vectors of the first rows times the square roots of their values; other rows put into their space.

    Parameters
    ----------
    information : csr_array [shape=(n_units, n_contexts)]
    n_known : int
        Rows that the decomposition sees.
    vector_size : int
        Fewer columns come out where the matrix has no more.
    seed : int

    Returns
    -------
    ndarray [shape=(n_units, vector_size)], float32
    """
    size = min(vector_size, min(n_known, information.shape[1]) - 1)
    if size < 1 or not information[:n_known].nnz:
        return np.zeros((information.shape[0], 1), dtype=np.float32)
    start = np.random.default_rng(seed).standard_normal(min(n_known, information.shape[1]))
    _, values, right = svds(information[:n_known], size, v0=start)
    kept = np.argsort(-values)
    kept = kept[values[kept] > 1e-9 * max(values.max(), 1e-300)]
    # Of the rows that the decomposition sees, these are the left singular vectors times the values to the power.
    return (information @ (right[kept].T * values[kept] ** (_POWER - 1))).astype(np.float32)
