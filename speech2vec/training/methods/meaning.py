"""Vectors of what words mean, from sound alone: clusters of sounds, and the company that they keep.

1. Sound vectors (`acoustic`), and the directions in which neighbours from two speakers differ least (`same_word`).
2. Clusters, to the nearest few of which every word belongs, the more the nearer they are (`clustering`).
3. How often clusters stand near each other in utterances; PPMI and SVD of these counts (`cooccurrence`).

With `label_share`, the words of so many of the training speakers are known by name: they give the pairs of step 1, and
in step 3 the contexts are words where clusters have names.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from pydantic import Field

from speech2vec.features.store import Store
from speech2vec.model.clusters import Clusters
from speech2vec.model.word_encoder import WordEncoder
from speech2vec.runtime.errors import UserError
from speech2vec.training.methods.clustering import ClusteringSettings, cell_matrix, fit_clusters, membership_matrix
from speech2vec.training.methods.cooccurrence import CooccurrenceSettings, cooccurrence, embed_counts
from speech2vec.training.methods.method import NO_LABELS, Method, words_of


class MeaningSettings(ClusteringSettings, CooccurrenceSettings):
    """How sounds are clustered, and how clusters are embedded.

    Parameters
    ----------
    label_share : float
        Share of the training speakers whose words are known by name.
    """

    label_share: float = Field(0.0, ge=0, le=1)


def fit(
    store: Store, rows: np.ndarray, settings: MeaningSettings, *, seed: int, device: torch.device, quiet: bool
) -> Clusters:
    """Clusters of the words in `rows`, and the vectors of the company that they keep.

    Raises
    ------
    UserError
        If all words sound alike, or no word has a neighbour in its utterance.
    """
    word = None
    if settings.label_share:
        named = np.isin(store.speaker[rows], _named_speakers(store, rows, settings.label_share))
        word = np.where(named, store.word_id[rows], -1)
    encoder, points = fit_clusters(store, rows, word, settings, seed)
    members = membership_matrix(encoder, points)
    cells = cell_matrix(encoder, points)
    counts = cooccurrence(members, cells, store.utterance[rows], settings.window)
    if not counts.any():
        raise UserError(f"{store.path}: every utterance is one word: meaning is learned from the words around a word")
    return replace(encoder, vectors=embed_counts(counts, settings, seed))


def _named_speakers(store: Store, rows: np.ndarray, share: float) -> np.ndarray:
    """The speakers whose words are known by name, evenly spread over the training speakers [shape=(n_named,)]."""
    speakers = np.unique(store.speaker[rows])
    n_named = int(np.ceil(share * len(speakers)))
    return speakers[np.arange(n_named) * len(speakers) // max(n_named, 1)]


def untrained(encoder: WordEncoder, store: Store, settings: MeaningSettings, *, seed: int) -> WordEncoder:
    """The sound vectors below the clusters."""
    assert isinstance(encoder, Clusters)
    return encoder.sound


def labels(store: Store, rows: np.ndarray, settings: MeaningSettings) -> str:
    """None, or the words of how many speakers."""
    if not settings.label_share:
        return NO_LABELS
    return words_of(store, rows[np.isin(store.speaker[rows], _named_speakers(store, rows, settings.label_share))])


METHOD = Method(MeaningSettings, fit, untrained, labels)
