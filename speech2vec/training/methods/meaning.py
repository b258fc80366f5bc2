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
from scipy import sparse

from speech2vec.features.rows import runs_of
from speech2vec.features.store import Store
from speech2vec.model.clusters import Clusters
from speech2vec.model.ppmi import cooccurrences, one_hot
from speech2vec.model.word_encoder import WordEncoder
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import FITTED, generator
from speech2vec.training.methods.clustering import ClusteredWords, ClusteringSettings, fit_clusters, weights
from speech2vec.training.methods.cooccurrence import CooccurrenceSettings, embed_counts
from speech2vec.training.methods.method import NO_LABELS, Method, words_of

_COUNTS_AT_ONCE = 150_000_000  # at most, about 1.2 GB; 94 h have fewer in a clustering


class MeaningSettings(ClusteringSettings, CooccurrenceSettings):
    """How sounds are clustered, and how clusters are embedded.

    Parameters
    ----------
    nearest : int
        As there.
    contexts : float
        Clusters of a clustering that are contexts, where words have no names: so many times the square root of the
        number of words, as a vocabulary grows (Heaps' law), so that a context is met often in a small corpus, too.
    context_clusterings : int
        Clusterings whose clusters are contexts: a word is one of each.
    label_share : float
        Share of the training speakers whose words are known by name.
    """

    nearest: int = Field(2, ge=1, le=1000)
    contexts: float = Field(6.5, gt=0, le=1000)
    context_clusterings: int = Field(2, ge=1, le=100)
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
    utterance = store.utterance[rows]
    if not (np.diff(utterance) == 0).any():
        raise UserError(f"{store.path}: every utterance is one word: meaning is learned from the words around a word")
    word = None
    if settings.label_share:
        named = np.isin(store.speaker[rows], _named_speakers(store, rows, settings.label_share))
        word = np.where(named, store.word_id[rows], -1)
    words = fit_clusters(store, rows, word, settings, seed)
    if word is None:
        contexts = _clusters_as_contexts(words, settings, seed)
    else:
        known = np.flatnonzero(word >= 0)
        nearest = words.nearest(words.points[known])[:, 0]
        contexts = one_hot(word[known][nearest], len(store.types), np.float32)
    n_clusters = len(words.encoder.centres) // settings.clusterings
    of_words = _neighbours(utterance, settings.window) * settings.nearest * contexts.nnz // len(rows)
    n_parts = math.ceil(min(of_words, n_clusters * contexts.shape[1]) / _COUNTS_AT_ONCE)
    # Clusters are numbered as their first words were drawn: those of a part, like all of a clustering, lie anywhere.
    parts = words.memberships_in_parts(n_parts)
    counts = (cooccurrences(members, contexts, utterance, settings.window) for members in parts)
    return replace(words.encoder, vectors=embed_counts(counts, settings, seed))


def _clusters_as_contexts(words: ClusteredWords, settings: MeaningSettings, seed: int) -> sparse.csr_array:
    """A 1 for each word's cluster in each clustering [shape=(n_words, n_contexts)]."""
    wanted = math.ceil(settings.contexts * math.sqrt(len(words.points)))
    draw = generator(seed, FITTED, 3)
    centres = words.centres(wanted, settings.context_clusterings, settings.evenness, draw)
    clusters = words.nearest(centres, settings.context_clusterings)
    return weights(clusters, np.ones(clusters.shape, np.float32), len(centres))


def _neighbours(utterance: np.ndarray, window: int) -> int:
    """Pairs of a word and one of its neighbours, both ways."""
    _, lengths = runs_of(utterance)
    reach = np.minimum(lengths - 1, window)
    return int((reach * (2 * lengths - 1 - reach)).sum())


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
