"""Vectors of units of speech from the company that they keep (`speech2vec.model.ppmi`)."""

from __future__ import annotations

import numpy as np
from pydantic import Field
from scipy import sparse

from speech2vec.model.ppmi import SMOOTHING, factorise, ppmi
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


def embed_counts(counts: sparse.csr_array, settings: CooccurrenceSettings, seed: int) -> np.ndarray:
    """Vectors of units from their counts of contexts [shape=(n_units, vector_size)], float32.

    Zero for units without counts; of fewer numbers where there are fewer units or contexts.
    """
    return factorise(ppmi(counts, settings.smoothing), settings.vector_size, seed, exponent=settings.exponent)
