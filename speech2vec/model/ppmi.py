"""From co-occurrence to vectors in closed form: positive pointwise mutual information and its singular vectors.

What skip-gram with negative sampling factorises implicitly (Levy & Goldberg 2014, "Neural word embedding as implicit
matrix factorization"), with the choices of Levy, Goldberg & Dagan (2015, "Improving distributional similarity with
lessons learned from word embeddings"): context counts to the power .75, nearer neighbours counted more. It takes
seconds, and nothing is drawn but the start of the decomposition. Counts are sparse: their memory grows with the words,
and not with the product of units and contexts.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from speech2vec.features.rows import starts_of_runs

SMOOTHING = 0.75  # power of the context counts
_WORDS_AT_ONCE = 200_000  # of whole utterances: what the largest sparse product is taken over
_ITERATIONS = 4  # of the randomised decomposition


def one_hot(ids: np.ndarray, n_units: int, dtype: type = np.float64) -> sparse.csr_array:
    """A 1 for the unit of each word [shape=(n_words, n_units)]; nothing where its number is below 0."""
    known = ids >= 0
    ends = np.concatenate([[0], np.cumsum(known)])
    return sparse.csr_array((np.ones(ends[-1], dtype), ids[known], ends), shape=(len(ids), n_units))


def cooccurrences(
    units: sparse.csr_array, contexts: sparse.csr_array, utterance: np.ndarray, window: int
) -> sparse.csr_array:
    """How often units occur near contexts: words s apart count ``(window + 1 - s) / window``.

    Parameters
    ----------
    units : csr_array [shape=(n_words, n_units)]
        The unit of each spoken word (one 1 a row), or its shares of several units; in the order of speech.
    contexts : csr_array [shape=(n_words, n_contexts)]
        The same of contexts, of the same dtype.
    utterance : ndarray [shape=(n_words,)], int
        Of each word; the words of an utterance are adjacent, and neighbours are of one utterance.
    window : int
        Neighbours to either side.

    Returns
    -------
    csr_array [shape=(n_units, n_contexts)]
    """
    total = sparse.csr_array((units.shape[1], contexts.shape[1]), dtype=units.dtype)
    ends = np.append(starts_of_runs(utterance)[1:], len(utterance))
    begin = 0
    while begin < len(utterance):
        # Whole utterances, one at least.
        last = max(
            np.searchsorted(ends, begin + _WORDS_AT_ONCE, side="right") - 1, np.searchsorted(ends, begin, "right")
        )
        end = int(ends[last])
        closeness, of_words = _closeness(utterance[begin:end], window, units.dtype), units[begin:end]
        counted = np.flatnonzero(np.diff(of_words.indptr))  # units in parts have few of the words each
        total = total + of_words[counted].T @ (closeness[counted] @ contexts[begin:end])
        begin = end
    return sparse.csr_array(total)


def _closeness(utterance: np.ndarray, window: int, dtype: np.dtype) -> sparse.csr_array:
    """The weight of each pair of words [shape=(n_words, n_words)]."""
    n = len(utterance)
    diagonals = [
        np.where(utterance[s:] == utterance[: n - s], (window + 1 - s) / window, 0).astype(dtype)
        for s in range(1, min(window, n - 1) + 1)
    ]
    if not diagonals:
        return sparse.csr_array((n, n), dtype=dtype)
    upper = sparse.diags_array(diagonals, offsets=range(1, len(diagonals) + 1), shape=(n, n), format="csr", dtype=dtype)
    upper.eliminate_zeros()
    return sparse.csr_array(upper + upper.T)


def ppmi(counts: sparse.csr_array, smoothing: float = SMOOTHING) -> sparse.csr_array:
    """Positive pointwise mutual information of rows and columns, the columns' counts to the power `smoothing`.

    Parameters
    ----------
    counts : csr_array [shape=(n_units, n_contexts)]
    smoothing : float
        Below 1, rare contexts are less informative than their counts say.

    Returns
    -------
    csr_array [shape=(n_units, n_contexts)]
        Of the counts' dtype, without explicit zeros.
    """
    row = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    column = np.asarray(counts.sum(axis=0, dtype=np.float64)).ravel() ** smoothing
    expected = (column / max(column.sum(), 1e-300)).astype(counts.dtype)
    ratio = counts.data / np.repeat(row.astype(counts.dtype), np.diff(counts.indptr))
    ratio /= expected[counts.indices]
    # Zeros that a count may hold become 1, whose logarithm is dropped as all that is not positive is. It is dropped in
    # place: the counts keep places of their own.
    places = counts.indices.copy(), counts.indptr.copy()
    information = sparse.csr_array((np.log(np.maximum(ratio, 1, out=ratio), out=ratio), *places), shape=counts.shape)
    information.eliminate_zeros()
    return information


def factorise(
    information: sparse.csr_array, vector_size: int, seed: int, *, exponent: float = 0.5, n_known: int | None = None
) -> np.ndarray:
    """Left singular vectors times their values to a power.

    Parameters
    ----------
    information : csr_array [shape=(n_units, n_contexts)]
    vector_size, seed, exponent
        As of `factors`.
    n_known : int or None
        The first rows, which the decomposition sees; the others are put into their space. None is all.

    Returns
    -------
    ndarray [shape=(n_units, vector_size)], float32
    """
    right = factors(information[:n_known], vector_size, seed, exponent=exponent)
    return (information @ right).astype(np.float32)


def factors(information: sparse.csr_array, vector_size: int, seed: int, *, exponent: float = 0.5) -> np.ndarray:
    """What rows of information are multiplied by to become vectors.

    Of the rows given here, these are the left singular vectors times the singular values to a power; other rows, of the
    same contexts, are put into their space.

    Parameters
    ----------
    information : csr_array [shape=(n_units, n_contexts)]
    vector_size : int
        Fewer columns come out where the matrix has no more.
    seed : int
    exponent : float
        The power.

    Returns
    -------
    ndarray [shape=(n_contexts, vector_size)]
    """
    size = min(vector_size, *information.shape)
    if size < 1 or not information.nnz:
        return np.zeros((information.shape[1], 1), dtype=np.float32)
    _, values, right = randomized_svd(information, size, n_iter=_ITERATIONS, random_state=seed)
    kept = values > 1e-6 * max(values.max(), 1e-30)
    return right[kept].T * values[kept] ** (exponent - 1)
