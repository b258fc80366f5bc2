"""Clusters of words that sound alike: what the methods `meaning` and `distilled` build on."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse as sp
import torch
from pydantic import Field
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from speech2vec.features.store import Store
from speech2vec.model.clusters import Clusters, MembershipSettings, nearest_centres
from speech2vec.model.word_encoder import Words
from speech2vec.runtime.progress import log
from speech2vec.runtime.seeds import FITTED, generator
from speech2vec.training.methods import acoustic
from speech2vec.training.methods.acoustic import PLAIN, AcousticSettings
from speech2vec.training.methods.same_word import discriminant, named_pairs, neighbour_pairs

_COARSE = 4  # the first clustering has so many times fewer clusters
_ROUNDS = 2  # of k-means
_MEASURED = 10_000  # words that the scale of distances is taken from


class ClusteringSettings(MembershipSettings):
    """How sounds are clustered.

    Parameters
    ----------
    acoustic : AcousticSettings
        Of the sound vectors.
    directions : int
        Of the space where words are clustered.
    pairs, kept_pairs : int, float
        Words whose nearest neighbours are searched for, and the share of them, the closest, that count as one word.
        With names: the most pairs of one word.
    clusters : int
        Half as many as there are words to cluster at most.
    evenness : float
        0 starts clusters where most words lie, so that frequent words have most of them; 1 as many in a sparse region
        as in a dense one.
    most_words : int
        Words that directions and clusters are fitted to, a random sample of more.
    """

    acoustic: AcousticSettings = PLAIN.model_copy(update={"vector_size": 120})
    directions: int = Field(64, ge=1)
    pairs: int = Field(16_000, ge=1)
    kept_pairs: float = Field(0.6, gt=0, le=1)
    clusters: int = Field(12_000, ge=1, le=50_000)
    evenness: float = Field(0.7, ge=0, le=1)
    most_words: int = Field(120_000, ge=2)


def fit_clusters(
    store: Store, rows: np.ndarray, word: np.ndarray | None, settings: ClusteringSettings, seed: int
) -> tuple[Clusters, np.ndarray]:
    """Clusters of sounds, and the words in their space.

    Parameters
    ----------
    store : Store
    rows : ndarray [shape=(n,)], int64
        Ascending.
    word : ndarray [shape=(n,)], int, or None
        Names of the words, below 0 where not known; None is without names.
    settings : ClusteringSettings
    seed : int

    Returns
    -------
    Clusters
        With vectors of no numbers.
    ndarray [shape=(n, n_directions)], float32
    """
    draw = generator(seed, FITTED, 1)
    sound = acoustic.fit(store, rows, settings.acoustic, seed=seed, device=torch.device("cpu"), quiet=True)
    vectors, speaker = sound.encode(Words.from_store(store, rows)), store.speaker[rows]
    sample = np.sort(draw.permutation(len(rows))[: settings.most_words])
    if word is not None:
        first, second = named_pairs(word, speaker, settings.pairs, draw)
    else:
        asked = draw.permutation(len(sample))[: settings.pairs]
        pairs = neighbour_pairs(vectors[sample], speaker[sample], asked, settings.kept_pairs)
        first, second = sample[pairs[0]], sample[pairs[1]]
    if len(first) > vectors.shape[1]:
        projection = discriminant(vectors[sample], vectors[first] - vectors[second], settings.directions)
    else:
        log.warning("%s: %d pairs of one word from two speakers are too few to learn from", store.path, len(first))
        projection = np.eye(*vectors.shape[1:] * 2, dtype=np.float32)[:, : settings.directions].copy()
    points = vectors @ projection
    centres = _centres(points[sample], settings, draw)
    _, distance = nearest_centres(points[sample[:_MEASURED]], centres, 2)
    gap = float(np.median(distance[:, -1] - distance[:, 0]))
    membership = MembershipSettings(nearest=settings.nearest, temperature=settings.temperature)
    none = np.zeros((len(centres), 0), dtype=np.float32)
    return Clusters(membership, sound, projection, centres, gap if gap > 0 else 1.0, none), points


def _centres(points: np.ndarray, settings: ClusteringSettings, draw: np.random.Generator) -> np.ndarray:
    """Centres by k-means [shape=(n_clusters, n_directions)], float32."""
    wanted = min(settings.clusters, max(len(points) // 2, 1))
    if wanted < settings.clusters:
        log.warning("%d words to cluster: %d clusters, not %d", len(points), wanted, settings.clusters)
    n_coarse = max(wanted // _COARSE, 1)
    coarse = _k_means(points, points[draw.choice(len(points), n_coarse, replace=False)], 1)
    weight = np.bincount(coarse.labels_, minlength=n_coarse)[coarse.labels_] ** -settings.evenness
    start = points[draw.choice(len(points), wanted, replace=False, p=weight / weight.sum())]
    return np.ascontiguousarray(_k_means(points, start, _ROUNDS).cluster_centers_, dtype=np.float32)


def _k_means(points: np.ndarray, start: np.ndarray, rounds: int) -> KMeans:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # words alike leave clusters empty, which harms nothing
        return KMeans(len(start), init=start, n_init=1, max_iter=rounds, tol=0, algorithm="lloyd").fit(points)


def membership_matrix(clusters: Clusters, points: np.ndarray) -> sp.csr_matrix:
    """Weights with which words belong to clusters [shape=(n, n_clusters)], float32; see `fit_clusters`."""
    parts = [members for _, members in clusters.members(points)]
    cluster = np.concatenate([part.cluster for part in parts])
    weight = np.concatenate([part.weight for part in parts])
    ends = np.arange(0, cluster.size + 1, cluster.shape[1])
    return sp.csr_matrix((weight.ravel(), cluster.ravel(), ends), shape=(len(points), len(clusters.centres)))
