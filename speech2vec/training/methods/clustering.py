"""Clusters of words that sound alike: what the methods `meaning` and `distilled` build on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from speech2vec.features.store import Store
from speech2vec.model.clusters import Clusters, MembershipSettings, nearest_centre, nearest_centres
from speech2vec.model.word_encoder import Words
from speech2vec.runtime.config import narrowed
from speech2vec.runtime.progress import log
from speech2vec.runtime.seeds import FITTED, generator
from speech2vec.training.methods import acoustic
from speech2vec.training.methods.acoustic import AcousticSettings
from speech2vec.training.methods.same_word import discriminant, named_pairs, neighbour_pairs

_MEASURED = 2_000  # words that the scale of distances is taken from


class ClusteringSettings(MembershipSettings):
    """How sounds are clustered.

    Parameters
    ----------
    clusterings : int
        As there.
    acoustic : AcousticSettings
        Of the sound vectors.
    directions : int
        Of the space where words are clustered.
    pairs, kept_pairs : int, float
        Words whose nearest neighbours are searched for, and the share of them, the closest, that count as one word.
        With names: the most pairs of one word.
    cells : int
        Of a coarse clustering, in which the clusters are looked for.
    clusters : int
        Of each clustering; half as many as there are words to cluster at most.
    evenness : float
        0 starts clusters where most words lie, so that frequent words have most of them; 1 as many in a sparse region
        as in a dense one.
    most_words : int
        Words that directions and cells are fitted to, a random sample of more.
    """

    clusterings: int = Field(3, ge=1, le=100)
    acoustic: AcousticSettings = AcousticSettings(vector_size=120)
    directions: int = Field(64, ge=1)
    pairs: int = Field(16_000, ge=1)
    kept_pairs: float = Field(0.6, gt=0, le=1)
    cells: int = Field(3_000, ge=1, le=50_000)
    clusters: int = Field(100_000, ge=1, le=1_000_000)
    evenness: float = Field(0.7, ge=0, le=1)
    most_words: int = Field(60_000, ge=2)


@dataclass(frozen=True, eq=False)
class ClusteredWords:
    """Words in the space of the clusters that were fitted to them.

    Parameters
    ----------
    encoder : Clusters
        With vectors of no numbers.
    points : ndarray [shape=(n, n_directions)], float32
    cell : ndarray [shape=(n,)], int64
        The nearest of the encoder's cells.
    """

    encoder: Clusters
    points: np.ndarray
    cell: np.ndarray

    def memberships(self, kept: np.ndarray | slice = slice(None)) -> sparse.csr_array:
        """Weights with which words, all or some, belong to clusters [shape=(n, n_clusters)], float32."""
        members = self.encoder.members(self.points[kept], self.cell[kept])
        return weights(members.cluster, members.weight, len(self.encoder.centres))

    def memberships_in_parts(self, n: int = 1) -> Iterator[sparse.csr_array]:
        """The weights of one clustering after the other, each in `n` parts of its clusters [shape=(n_words, part)]."""
        members = self.memberships()
        n_parts = n * self.encoder.membership.clusterings
        bounds = np.arange(n_parts + 1) * members.shape[1] // n_parts
        return (members[:, start:end] for start, end in pairwise(bounds))

    def nearest(self, centres: np.ndarray, clusterings: int = 1) -> np.ndarray:
        """The nearest of other centres in the same space, in each clustering [shape=(n, clusterings)], int32."""
        none = np.zeros((len(centres), 0), dtype=np.float32)
        membership = MembershipSettings(clusterings=clusterings, nearest=1)
        encoder = replace(self.encoder, membership=membership, centres=centres, vectors=none)
        return encoder.members(self.points, self.cell).cluster

    def centres(self, wanted: int, clusterings: int, evenness: float, draw: np.random.Generator) -> np.ndarray:
        """Centres of clusters that lie more evenly than the words do, one clustering after the other.

        The chance of a word to start one is (words in its cell) to the power -`evenness`; then one round of k-means
        moves each centre to the mean of the words nearest to it.

        Returns
        -------
        ndarray [shape=(clusterings * n_clusters, n_directions)], float32
        """
        return np.concatenate([self._centres(wanted, evenness, draw) for _ in range(clusterings)])

    def _centres(self, wanted: int, evenness: float, draw: np.random.Generator) -> np.ndarray:
        n_words = len(self.points)
        n = min(wanted, max(n_words // 2, 1))
        weight = np.bincount(self.cell)[self.cell] ** -evenness
        start = self.points[draw.choice(n_words, n, replace=False, p=weight / weight.sum())]
        nearest = self.nearest(start)[:, 0]
        words = sparse.csr_array((np.ones(n_words, np.float32), (nearest, np.arange(n_words))), shape=(n, n_words))
        counts = np.bincount(nearest, minlength=n)[:, None]
        return np.where(counts > 0, (words @ self.points) / np.maximum(counts, 1), start).astype(np.float32)


def weights(cluster: np.ndarray, weight: np.ndarray, n_clusters: int) -> sparse.csr_array:
    """Weights of words in the clusters that each has as many of [shape=(n, n_clusters)], of the weights' dtype."""
    ends = np.arange(0, cluster.size + 1, cluster.shape[1])
    return sparse.csr_array((weight.ravel(), cluster.ravel(), ends), shape=(len(cluster), n_clusters))


def fit_clusters(
    store: Store, rows: np.ndarray, word: np.ndarray | None, settings: ClusteringSettings, seed: int
) -> ClusteredWords:
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
    cells = _k_means(points[sample], settings.cells, draw)
    membership = narrowed(MembershipSettings, settings)
    none = np.zeros((len(cells), 0), dtype=np.float32)
    words = ClusteredWords(
        Clusters(membership, sound, projection, cells, cells, 1.0, none), points, nearest_centre(points, cells)
    )
    centres = words.centres(settings.clusters, settings.clusterings, settings.evenness, draw)
    of_each = len(centres) // settings.clusterings
    if of_each < settings.clusters:
        log.warning("%d words to cluster: %d clusters, not %d", len(points), of_each, settings.clusters)
    none = np.zeros((len(centres), 0), dtype=np.float32)
    encoder = replace(words.encoder, centres=centres, vectors=none, scale=_scale(points[sample], centres[:of_each]))
    return replace(words, encoder=encoder)


def _scale(points: np.ndarray, centres: np.ndarray) -> float:
    """The median difference between (half the squared) distances to the nearest and the second nearest centre."""
    measured = points[:: 1 + len(points) // _MEASURED]
    distance = np.concatenate(
        [nearest_centres(part, centres, 2)[1] for part in np.array_split(measured, 1 + len(measured) // 200)]
    )
    gap = float(np.median(distance[:, -1] - distance[:, 0]))
    return gap if gap > 0 else 1.0


def _k_means(points: np.ndarray, n_clusters: int, draw: np.random.Generator) -> np.ndarray:
    """Centres of one round of k-means [shape=(n_clusters, n_directions)], float32; half as many as points at most."""
    start = points[draw.choice(len(points), min(n_clusters, max(len(points) // 2, 1)), replace=False)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # words alike leave clusters empty, which harms nothing
        fitted = KMeans(len(start), init=start, n_init=1, max_iter=1, tol=0, algorithm="lloyd").fit(points)
    return np.ascontiguousarray(fitted.cluster_centers_, dtype=np.float32)
