"""Vectors of units of speech from the company that they keep (`speech2vec.model.ppmi`)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from pydantic import Field
from scipy import sparse

from speech2vec.model.ppmi import SMOOTHING, factors, ppmi
from speech2vec.runtime.config import Settings


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
    smoothing: float = Field(SMOOTHING, ge=0, le=1)
    exponent: float = Field(0.0, ge=0, le=1)


def embed_counts(counts: Iterable[sparse.csr_array], settings: CooccurrenceSettings, seed: int) -> np.ndarray:
    """Vectors of units from their counts of contexts.

    Parameters
    ----------
    counts : iterable of csr_array [shape=(n_units, n_contexts)]
        Of units in parts, one at a time, as they may not fit into memory together. The first part makes the space of
        the vectors, so it has to be like the others.
    settings : CooccurrenceSettings
    seed : int

    Returns
    -------
    ndarray [shape=(n_units of all parts, vector_size)], float32
        Zero for units without counts; of fewer numbers where there are fewer units or contexts.
    """
    right, vectors = None, []
    for part in counts:
        information = ppmi(part, settings.smoothing)
        del part  # or it would be there while the next one is counted, as the information would
        if right is None:
            right = factors(information, settings.vector_size, seed, exponent=settings.exponent)
        vectors.append((information @ right).astype(np.float32))
        del information
    return np.concatenate(vectors)
