"""Normalisation of features, in one place for all classifiers: by speaker first, then by the training part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from speech2vec.runtime.errors import UserError


@dataclass(frozen=True)
class Scaler:
    """Standardise each feature to zero mean and unit variance.

    Parameters
    ----------
    mean, deviation : ndarray [shape=(n_features,)], float32
    """

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def fit(cls, segments: Sequence[np.ndarray]) -> Scaler:
        """Mean and standard deviation over the windows of `segments`; a constant feature is only centred.

        Raises
        ------
        UserError
            There are no windows.
        """
        count = sum(len(segment) for segment in segments)
        if count == 0:
            raise UserError("there are no feature windows to normalise by: the training part has no audio")
        mean = sum(segment.sum(axis=0, dtype=np.float64) for segment in segments) / count
        variance = sum(((segment - mean) ** 2).sum(axis=0) for segment in segments) / count
        deviation = np.sqrt(variance)
        return cls(mean.astype(np.float32), np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32))

    def __call__(self, segment: np.ndarray) -> np.ndarray:
        return ((segment - self.mean) / self.deviation).astype(np.float32)

    def save(self, path: Path) -> None:
        save_file({"scaler.mean": self.mean, "scaler.deviation": self.deviation}, path)

    @classmethod
    def load(cls, path: Path) -> Scaler | None:
        """The scaler in a file of tensors; None if it holds none. Raises what safetensors does of a damaged file."""
        tensors = load_file(path)
        return cls(tensors["scaler.mean"], tensors["scaler.deviation"]) if "scaler.mean" in tensors else None


def normalise_by_speaker(segments: Sequence[np.ndarray], speakers: Sequence[str]) -> list[np.ndarray]:
    """Standardise each speaker's windows to zero mean and unit variance, without using labels."""
    of_speaker: dict[str, list[int]] = {}
    for i, speaker in enumerate(speakers):
        of_speaker.setdefault(speaker, []).append(i)
    result: list[np.ndarray] = list(segments)
    for rows in of_speaker.values():
        own = [segments[i] for i in rows]
        if sum(len(segment) for segment in own):
            scale = Scaler.fit(own)
            for i in rows:
                result[i] = scale(segments[i])
    return result


def check_features(segments: Sequence[np.ndarray], names: Sequence[str]) -> None:
    """Check that all features are finite.

    Raises
    ------
    UserError
        Naming the first utterance with NaN or infinite features.
    """
    for segment, name in zip(segments, names, strict=True):
        if not np.isfinite(segment).all():
            raise UserError(f"the features of utterance '{name}' contain NaN or infinity: prepare the corpus again")
