"""Vectors of what words mean, from sound alone: clusters of sounds, and the company that they keep.

1. Sound vectors (`acoustic`), and the directions in which neighbours from two speakers differ least (`same_word`).
2. Clusters, to the nearest few of which every word belongs, the more the nearer they are (`clustering`).
3. How often clusters stand near contexts in utterances; PPMI and SVD of these counts (`cooccurrence`). Contexts are
   clusters too, but fewer: a context must be met often.

With `label_share`, the words of so many of the training speakers are known by name: they give the pairs of step 1, and
in step 3 a context is the name of the named word that sounds most like it.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from pydantic import Field

from speech2vec.features.store import Store
from speech2vec.model.clusters import Clusters
from speech2vec.model.ppmi import cooccurrences, one_hot
from speech2vec.model.word_encoder import WordEncoder
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import FITTED, generator
from speech2vec.training.methods.clustering import ClusteringSettings, fit_clusters
from speech2vec.training.methods.cooccurrence import CooccurrenceSettings, embed_counts
from speech2vec.training.methods.method import NO_LABELS, Method, words_of


class MeaningSettings(ClusteringSettings, CooccurrenceSettings):
    """How sounds are clustered, and how clusters are embedded.

    Parameters
    ----------
    nearest : int
        As there.
    contexts : float
        Clusters that are contexts, where words have no names: so many times the square root of the number of words,
        as a vocabulary grows (Heaps' law), so that a context is met often in a small corpus, too.
    label_share : float
        Share of the training speakers whose words are known by name.
    """

    nearest: int = Field(3, ge=1, le=1000)
    contexts: float = Field(13.0, gt=0, le=1000)
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
    words = fit_clusters(store, rows, word, settings, seed)
    if word is None:
        wanted = math.ceil(settings.contexts * math.sqrt(len(rows)))
        centres = words.centres(wanted, settings.evenness, generator(seed, FITTED, 3))
        context, n_contexts = words.nearest(centres), len(centres)
    else:
        known = np.flatnonzero(word >= 0)
        context, n_contexts = word[known][words.nearest(words.points[known])], len(store.types)
    contexts = one_hot(context, n_contexts, np.float32)
    counts = cooccurrences(words.memberships(), contexts, store.utterance[rows], settings.window)
    if not counts.nnz:
        raise UserError(f"{store.path}: every utterance is one word: meaning is learned from the words around a word")
    return replace(words.encoder, vectors=embed_counts(counts, settings, seed))


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
