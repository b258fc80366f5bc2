"""Words resampled to a fixed number of points and projected, with what is the speaker's removed: no network, no labels.

Resampling makes all words vectors of one length, which a linear map can compare: the strongest simple acoustic word
embedding (Levin, Henry, Jansen & Livescu 2013, "Fixed-dimensional acoustic embeddings of variable-length segments in
low-resource settings"). What stands in the way of comparing two voices is mostly what each voice does to all its words:
a map of its frames (`speech2vec.model.adaptation`), and a constant that it adds to its vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from speech2vec.model.adaptation import AdaptationSettings, SpeakerAdaptation
from speech2vec.model.word_encoder import Words
from speech2vec.runtime.config import Settings, validate_settings


class ResampledSettings(Settings):
    """How a word becomes a vector, beside the fitted map.

    Parameters
    ----------
    points : int
        Frames that a word is resampled to.
    averaged : bool
        A point is the mean of its part of the word, not the frame in the part's middle: for frames that each know their
        surroundings, of which few parts are taken.
    speaker_mean : bool
        Remove the mean over the speaker's words.
    speaker_prior : float
        So many more words, at zero, a speaker's mean is taken over: one word alone keeps most of its vector, and
        thousands lose their mean.
    adaptation : AdaptationSettings
        How a speaker's frames are adapted before.
    """

    points: int = Field(16, ge=1, le=1000)
    averaged: bool = False
    speaker_mean: bool = True
    speaker_prior: float = Field(1.0, gt=0)
    adaptation: AdaptationSettings = AdaptationSettings(rounds=0)


@dataclass(frozen=True, eq=False)
class Resampled:
    """The encoder: adapt, resample, project, remove the speaker's mean.

    Parameters
    ----------
    settings : ResampledSettings
    mean : ndarray [shape=(points * n_features + 1,)], float32
        Subtracted from a word's points and log duration.
    projection : ndarray [shape=(points * n_features + 1, vector_size)], float32
    adaptation : SpeakerAdaptation or None
    """

    settings: ResampledSettings
    mean: np.ndarray
    projection: np.ndarray
    adaptation: SpeakerAdaptation | None = None

    kind: ClassVar[str] = "resampled"

    @property
    def by_speaker(self) -> bool:
        return self.settings.speaker_mean

    @property
    def n_features(self) -> int:
        return (len(self.mean) - 1) // self.settings.points

    @property
    def vector_size(self) -> int:
        return int(self.projection.shape[1])

    def encode(self, words: Words) -> np.ndarray:
        """The words' vectors [shape=(n, vector_size)], float32."""
        vectors = np.empty((len(words), self.vector_size), dtype=np.float32)
        words = self.adaptation.adapted(words) if self.adaptation else words
        for positions, frames in words.chunks():
            points = points_of(frames, words.n_frames[positions], self.settings)
            vectors[positions] = (points - self.mean) @ self.projection
        if self.settings.speaker_mean:
            remove_speaker_means(vectors, words.speaker, self.settings.speaker_prior)
        return vectors

    def tensors(self) -> dict[str, Tensor]:
        """Mean and projection, and those of the adaptation."""
        adaptation = self.adaptation.tensors() if self.adaptation else {}
        return {"mean": torch.from_numpy(self.mean), "projection": torch.from_numpy(self.projection), **adaptation}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Resampled:
        """The encoder of these tensors."""
        mean, projection = tensors["mean"].numpy(), tensors["projection"].numpy()
        if mean.ndim != 1 or projection.ndim != 2 or len(mean) != len(projection) or not projection.size:
            raise ValueError(f"a mean of shape {mean.shape} does not fit a projection of shape {projection.shape}")
        validated = validate_settings(ResampledSettings, settings)
        n_features = features_of(len(mean), validated.points)
        return cls(validated, mean, projection, SpeakerAdaptation.of_file(tensors, validated.adaptation, n_features))


def features_of(size: int, points: int) -> int:
    """Numbers a frame, if words resampled to so many points are `size` numbers; else a ValueError."""
    n_features, rest = divmod(size - 1, points)
    if n_features < 1 or rest:
        raise ValueError(f"{size} numbers a word are not {points} frames and a duration")
    return n_features


def points_of(frames: np.ndarray, n_frames: np.ndarray, settings: ResampledSettings) -> np.ndarray:
    """Words as vectors of one length, in the way of the settings (`resample`, `average`)."""
    return (average if settings.averaged else resample)(frames, n_frames, settings.points)


def average(frames: np.ndarray, n_frames: np.ndarray, points: int) -> np.ndarray:
    """The mean of each of `points` equal parts of a word, and log duration; see `resample`.

    A frame on the border of two parts counts in each for its share.
    """
    total = np.zeros((len(frames) + 1, frames.shape[1]))
    np.cumsum(frames, axis=0, dtype=np.float64, out=total[1:])
    border = (np.cumsum(n_frames) - n_frames)[:, None] + np.arange(points + 1) / points * n_frames[:, None]
    before = np.floor(border).astype(np.int64)
    at = total[before] + (border - before)[:, :, None] * frames[np.minimum(before, len(frames) - 1)]
    out = np.empty((len(n_frames), points * frames.shape[1] + 1), dtype=np.float32)
    out[:, :-1] = (np.diff(at, axis=1) * (points / n_frames[:, None, None])).reshape(len(n_frames), -1)
    out[:, -1] = np.log(n_frames)
    return out


def resample(frames: np.ndarray, n_frames: np.ndarray, points: int, moved: np.ndarray | None = None) -> np.ndarray:
    """Words as vectors of one length: frames by linear interpolation at evenly spaced points, and log duration.

    Point t lies at (t + 1/2) n / points - 1/2 of a word's frames 0 to n - 1, and no point outside them.

    Parameters
    ----------
    frames : ndarray [shape=(n_frames.sum(), n_features)], float32
        Word after word.
    n_frames : ndarray [shape=(n,)], int64
        Of each word, 1 or more.
    points : int
    moved : ndarray [shape=(2, n, 1)] or None
        How far to move each word's start and end, in parts of its length; points stay inside it.

    Returns
    -------
    ndarray [shape=(n, points * n_features + 1)], float32
        The last is the natural logarithm of the number of frames.
    """
    n = n_frames[:, None]
    part = (np.arange(points) + 0.5) / points
    if moved is not None:
        part = moved[0] + (1 - moved[0] + moved[1]) * part
    position = (part * n - 0.5).clip(0, n - 1)
    before = np.floor(position).astype(np.int64)
    first = (np.cumsum(n_frames) - n_frames)[:, None] + before
    weight = (position - before).astype(np.float32)[:, :, None]
    out = np.empty((len(n_frames), points * frames.shape[1] + 1), dtype=np.float32)
    between = frames[first] * (1 - weight)
    between += frames[first + (before < n - 1)] * weight
    out[:, :-1] = between.reshape(len(n_frames), -1)
    out[:, -1] = np.log(n_frames)
    return out


def remove_speaker_means(vectors: np.ndarray, speaker: np.ndarray, prior: float) -> None:
    """Subtract, in place, from the vectors of each speaker their mean.

    Parameters
    ----------
    vectors : ndarray [shape=(n, vector_size)]
    speaker : ndarray [shape=(n,)], int
    prior : float
        Above 0: the mean is the sum over the speaker's n words divided by n + `prior`.
    """
    _, group = np.unique(speaker, return_inverse=True)
    counts = np.bincount(group)
    for j in range(vectors.shape[1]):  # a column at a time: sums in float64 without a float64 copy of the whole
        means = np.bincount(group, weights=vectors[:, j]) / (counts + prior)
        vectors[:, j] -= means[group].astype(np.float32)
