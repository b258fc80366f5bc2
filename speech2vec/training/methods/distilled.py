"""Vectors of what words mean, taught by the text of the transcripts: the sound of a word in, its text vector out.

The teacher is made of the training speakers' transcripts alone: PPMI and SVD of their words (`cooccurrence`). A cluster
of sounds (`clustering`, with pairs of one word by name) has the mean of the teacher's vectors over the words that are
in it, by how much they are: a kernel regression, in closed form.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from pydantic import Field

from speech2vec.features.store import Store
from speech2vec.model.clusters import Clusters
from speech2vec.model.ppmi import cooccurrences, one_hot
from speech2vec.model.word_encoder import WordEncoder
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import log
from speech2vec.runtime.seeds import FITTED, generator
from speech2vec.training.methods.clustering import ClusteringSettings, fit_clusters
from speech2vec.training.methods.cooccurrence import CooccurrenceSettings, embed_counts
from speech2vec.training.methods.method import TEXT, Method


class DistilledSettings(ClusteringSettings, CooccurrenceSettings):
    """How sounds are clustered, and how the teacher is made of the text.

    Parameters
    ----------
    clusters, pairs : int
        As there; more, as names tell what clusters are.
    min_count : int
        Words said less often by the training speakers have no teacher's vector.
    most_types : int
        So many words at most have one: the most frequent.
    unheard : float
        Share of the vocabulary whose sound is left out of fitting, to score the encoder on words that it never heard.
    """

    clusters: int = Field(200_000, ge=1, le=1_000_000)
    pairs: int = Field(30_000, ge=1)
    min_count: int = Field(5, ge=1)
    most_types: int = Field(20_000, ge=1)
    unheard: float = Field(0.0, ge=0, lt=1)


def fit(
    store: Store, rows: np.ndarray, settings: DistilledSettings, *, seed: int, device: torch.device, quiet: bool
) -> Clusters:
    """Clusters of the words in `rows`, with the mean of their words' text vectors.

    Raises
    ------
    UserError
        If all words sound alike, or the text teaches nothing.
    """
    taught, vectors = text_vectors(store, rows, settings, seed)
    heard = ~np.isin(store.word_id[rows], unheard_types(store, settings, seed))
    rows, taught = rows[heard], taught[heard]
    if not (taught >= 0).any():
        raise UserError(f"{store.path}: no word that the text teaches is heard: set distilled.unheard lower")
    words = fit_clusters(store, rows, store.word_id[rows], settings, seed)
    known = taught >= 0
    weights = words.memberships(known).T @ one_hot(taught[known], len(vectors), np.float32)
    total = np.asarray(weights.sum(axis=1))[:, None]
    return replace(words.encoder, vectors=(weights @ vectors / np.where(total > 0, total, 1)).astype(np.float32))


def text_vectors(
    store: Store, rows: np.ndarray, settings: DistilledSettings, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The teacher: vectors of the words of the transcripts.

    Parameters
    ----------
    store : Store
    rows : ndarray [shape=(n,)], int64
        Ascending: the words that it may read.
    settings : DistilledSettings
    seed : int

    Returns
    -------
    ndarray [shape=(n,)], int64
        The vector of each word, -1 for none.
    ndarray [shape=(n_taught, vector_size)], float32
        Of length 1; the words most frequent in the store first.

    Raises
    ------
    UserError
        If no two words that are frequent enough stand in one utterance.
    """
    counts = np.bincount(store.word_id[rows], minlength=len(store.types))
    least = settings.min_count
    if not (counts >= least).any():
        least = int(counts.max())
        log.warning(
            "%s: no word is said %d times: the teacher reads those said %d times", store.path, settings.min_count, least
        )
    types = np.argsort(-counts, kind="stable")[: settings.most_types]
    types = np.sort(types[counts[types] >= least])
    number = np.full(len(store.types), -1)
    number[types] = np.arange(len(types))
    taught = number[store.word_id[rows]]
    words = one_hot(taught, len(types), np.float32)
    found = cooccurrences(words, words, store.utterance[rows], settings.window)
    if not found.nnz:
        raise UserError(f"{store.path}: no two frequent words stand in one utterance: its text teaches nothing")
    vectors = embed_counts([found], settings, seed)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return taught, vectors / np.where(lengths > 0, lengths, 1)


def unheard_types(store: Store, settings: DistilledSettings, seed: int) -> np.ndarray:
    """The words of the store's vocabulary whose sound is left out of fitting [shape=(n,)], int64."""
    n = len(store.types)
    return np.sort(generator(seed, FITTED, 2).permutation(n)[: int(settings.unheard * n)])


def untrained(encoder: WordEncoder, store: Store, settings: DistilledSettings, *, seed: int) -> WordEncoder:
    """The sound vectors below the clusters."""
    assert isinstance(encoder, Clusters)
    return encoder.sound


METHOD = Method(DistilledSettings, fit, untrained, lambda store, rows, settings: TEXT)
