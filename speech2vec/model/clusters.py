"""Words as soft members of clusters of sounds, and each cluster as a vector of the company that it keeps.

A word's sound vector is compared with the centres of the clusters; its vector is the mean of its nearest clusters'
vectors, weighted by how near they are. It needs nothing but the word's sound, so words never heard have vectors too.
There may be several clusterings of the same sounds, in each of which a word has clusters: where one puts a border
through a word, another does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from speech2vec.model.resampled import Resampled
from speech2vec.model.word_encoder import WordEncoder, Words
from speech2vec.runtime.config import Settings, narrowed, validate_settings

# What may lie below the clusters.
SOUNDS: dict[str, type[WordEncoder]] = {encoder.kind: encoder for encoder in (Resampled,)}

_WORDS_AT_ONCE = 4096  # x cells, or the clusters of the cells nearby: the size of the largest array
_CELLS_NEARBY = 12  # in which a word's nearest clusters are looked for
_BLOCK = 64  # columns
_SOUND = "sound."
_OWN = ("projection", "cells", "centres", "vectors")


class MembershipSettings(Settings):
    """How a word belongs to clusters.

    Parameters
    ----------
    clusterings : int
        As many, of equally many clusters; a word belongs to each alike.
    nearest : int
        Clusters of a clustering that a word belongs to; the others are at zero.
    temperature : float
        In units of the median difference between the squared distances to a word's nearest and second nearest centre.
    """

    clusterings: int = Field(1, ge=1, le=100)
    nearest: int = Field(5, ge=1, le=1000)
    temperature: float = Field(1.0, gt=0)


class ClustersSettings(MembershipSettings):
    """Beside the tensors, all that the encoder needs: how words belong, and the encoder of their sound."""

    sound_kind: str
    sound: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Memberships:
    """The clusters that words belong to.

    Parameters
    ----------
    cluster : ndarray [shape=(n, clusterings * nearest)], int32
        One clustering after the other, the nearest of each first.
    weight : ndarray [shape=(n, clusterings * nearest)], float32
        Adding up to 1 for each word.
    """

    cluster: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True, eq=False)
class Clusters:
    """The encoder: sound vectors, their nearest clusters, and the mean of these clusters' vectors.

    Parameters
    ----------
    membership : MembershipSettings
    sound : WordEncoder
        Of `SOUNDS`.
    projection : ndarray [shape=(sound.vector_size, n_directions)], float32
        Of the sound vectors to the space of the centres.
    cells : ndarray [shape=(n_cells, n_directions)], float32
        Centres of a coarse clustering: a word is compared with the clusters of the cells nearby alone.
    centres : ndarray [shape=(n_clusters, n_directions)], float32
        One clustering after the other.
    scale : float
        The median difference that temperatures are in units of.
    vectors : ndarray [shape=(n_clusters, vector_size)], float32
    """

    membership: MembershipSettings
    sound: WordEncoder
    projection: np.ndarray
    cells: np.ndarray
    centres: np.ndarray
    scale: float
    vectors: np.ndarray

    kind: ClassVar[str] = "clusters"
    by_speaker: ClassVar[bool] = True  # as the sound vectors may be

    @property
    def n_features(self) -> int:
        return self.sound.n_features

    @property
    def vector_size(self) -> int:
        return int(self.vectors.shape[1])

    @property
    def settings(self) -> ClustersSettings:
        """Those of the memberships and of the encoder of sound."""
        return ClustersSettings(
            **self.membership.model_dump(), sound_kind=self.sound.kind, sound=self.sound.settings.model_dump()
        )

    def encode(self, words: Words) -> np.ndarray:
        """The words' vectors [shape=(n, vector_size)], float32."""
        members = self.members(self.sound.encode(words) @ self.projection)
        out = np.empty((len(words), self.vector_size), dtype=np.float32)
        for start in range(0, len(words), _WORDS_AT_ONCE):
            part = slice(start, start + _WORDS_AT_ONCE)
            np.einsum("nk,nkd->nd", members.weight[part], self.vectors[members.cluster[part]], out=out[part])
        return out

    def members(self, points: np.ndarray, cell: np.ndarray | None = None) -> Memberships:
        """The memberships of words in the space of the centres [shape=(n, n_directions)].

        `cell` [shape=(n,)] is the nearest cell of each, if it is known.
        """
        cell = nearest_centre(points, self.cells) if cell is None else cell
        n_clusterings = self.membership.clusterings
        nearest = min(self.membership.nearest, len(self.centres) // n_clusterings)
        cluster = np.empty((len(points), n_clusterings, nearest), dtype=np.int32)
        distance = np.empty(cluster.shape, dtype=np.float32)
        order = np.argsort(cell, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(cell[order])) + 1) if len(order) else ():
            for clustering, nearby in enumerate(self._nearby):
                near = nearby[cell[group[0]]]
                for start in range(0, len(group), _WORDS_AT_ONCE):
                    words = group[start : start + _WORDS_AT_ONCE]
                    found, distance[words, clustering] = nearest_centres(points[words], self.centres[near], nearest)
                    cluster[words, clustering] = near[found]
        weight = np.exp((distance[..., :1] - distance) / (self.scale * self.membership.temperature))
        weight /= n_clusterings * weight.sum(axis=2, keepdims=True)
        flat = (len(points), n_clusterings * nearest)
        return Memberships(cluster.reshape(flat), weight.reshape(flat))

    @cached_property
    def _nearby(self) -> list[list[np.ndarray]]:
        """For each clustering and each cell the clusters that the cell's words may belong to."""
        cells_nearby = nearest_centres(self.cells, self.cells, _CELLS_NEARBY)[0]
        cell = nearest_centre(self.centres, self.cells)
        found = []
        for clusters in np.split(np.arange(len(cell)), self.membership.clusterings):
            ends = np.cumsum(np.bincount(cell[clusters], minlength=len(self.cells)))[:-1]
            by_cell = np.split(clusters[np.argsort(cell[clusters], kind="stable")], ends)
            near = [np.concatenate([by_cell[i] for i in cells]) for cells in cells_nearby]
            found.append([some if len(some) >= self.membership.nearest else clusters for some in near])
        return found

    def tensors(self) -> dict[str, Tensor]:
        """What was learned, the sound encoder's under ``sound.``."""
        own = {name: torch.from_numpy(getattr(self, name)) for name in _OWN}
        own["scale"] = torch.tensor(self.scale, dtype=torch.float64)
        return {**own, **{_SOUND + name: tensor for name, tensor in self.sound.tensors().items()}}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Clusters:
        """The encoder of these tensors."""
        given = validate_settings(ClustersSettings, settings)
        below = {name.removeprefix(_SOUND): tensor for name, tensor in tensors.items() if name.startswith(_SOUND)}
        sound = SOUNDS[given.sound_kind].from_tensors(below, given.sound)
        projection, cells, centres, vectors = (tensors[name].numpy() for name in _OWN)
        n_clusters, n_directions = centres.shape
        expected = ((sound.vector_size, n_directions), (n_directions,), n_clusters, 2)
        fits = (projection.shape, cells.shape[1:], len(vectors), vectors.ndim) == expected
        fits &= n_clusters % given.clusterings == 0
        if not fits or not cells.size or not vectors.size:
            raise ValueError(f"centres of shape {centres.shape} and a projection of {projection.shape} do not fit")
        membership = narrowed(MembershipSettings, given)
        scale = tensors["scale"]
        if not float(scale) * given.temperature > 0:
            raise ValueError("its scale is not above 0")
        return cls(membership, sound, projection, cells, centres, float(scale), vectors)


def nearest_centres(points: np.ndarray, centres: np.ndarray, nearest: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centres of some points, nearest first.

    Parameters
    ----------
    points : ndarray [shape=(n, n_directions)], float32
    centres : ndarray [shape=(n_clusters, n_directions)], float32
    nearest : int
        All centres if there are no more.

    Returns
    -------
    ndarray [shape=(n, nearest)], int32
    ndarray [shape=(n, nearest)], float32
        Half the squared distances, less half the point's squared length.
    """
    distance = 0.5 * (centres**2).sum(axis=1) - points @ centres.T
    nearest = min(nearest, len(centres))
    found = _smallest(distance, nearest)
    values = np.take_along_axis(distance, found, axis=1)
    order = values.argsort(axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1).astype(np.int32), np.take_along_axis(values, order, axis=1)


def nearest_centre(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The nearest centre of each point [shape=(n,)], int64, some thousands of points at a time."""
    nearest = np.empty(len(points), dtype=np.int64)
    for start in range(0, len(points), _WORDS_AT_ONCE):
        part = slice(start, start + _WORDS_AT_ONCE)
        nearest[part] = nearest_centres(points[part], centres, 1)[0][:, 0]
    return nearest


def _smallest(values: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k smallest values of each row, in any order [shape=(n, k)].

    They lie in the k blocks of columns of the smallest minima, and minima are found ten times faster than a partition.
    """
    n, columns = values.shape
    n_blocks = columns // _BLOCK
    if n_blocks <= 2 * k:
        return np.argpartition(values, k - 1, axis=1)[:, :k]
    blocks = values[:, : n_blocks * _BLOCK].reshape(n, n_blocks, _BLOCK)
    best = np.argpartition(blocks.min(axis=2), k - 1, axis=1)[:, :k]
    candidates = (best[:, :, None] * _BLOCK + np.arange(_BLOCK)).reshape(n, -1)
    rest = np.broadcast_to(np.arange(n_blocks * _BLOCK, columns), (n, columns % _BLOCK))
    candidates = np.concatenate([candidates, rest], axis=1)
    chosen = np.argpartition(np.take_along_axis(values, candidates, axis=1), k - 1, axis=1)[:, :k]
    return np.take_along_axis(candidates, chosen, axis=1)
