"""Which word instances take part: min_count and subsampling, in gensim's words and by its formula."""

from __future__ import annotations

import numpy as np


def keep_probability(counts: np.ndarray, min_count: int = 1, sample: float = 0.0) -> np.ndarray:
    """The probability with which an instance of each word is kept.

    Parameters
    ----------
    counts : ndarray [shape=(n_types,)]
    min_count : int
        Rarer words are left out.
    sample : float
        Threshold of subsampling: a word of relative frequency f is kept with probability
        ``sqrt(sample / f) + sample / f`` (Mikolov et al. 2013, as word2vec computes it); 0 keeps all.

    Returns
    -------
    ndarray [shape=(n_types,)], float64

    Examples
    --------
    >>> keep_probability(np.array([98, 2]), sample=0.1).round(3)
    array([0.421, 1.   ])
    """
    kept = np.where(counts >= min_count, 1.0, 0.0)
    total = counts[counts >= min_count].sum()
    if sample > 0 and total:
        ratio = sample * total / np.maximum(counts, 1)
        kept *= np.minimum(1.0, np.sqrt(ratio) + ratio)
    return kept


def keep_instances(word_id: np.ndarray, probability: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw which instances are kept [shape=(n_words,)], bool."""
    chance = probability[word_id]
    if chance.min(initial=1.0) >= 1.0:
        return np.ones(len(word_id), dtype=bool)
    return generator.random(len(word_id)) < chance
