"""Normalisation of features, in one place for all classifiers: by speaker first, then by the training part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from emotion.settings import Normalisation
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.guarded import check_arrays
from speech2vec.runtime.progress import log

_FEW = 8  # recordings
_ONE_SIDED = 0.8
_PRIOR = 5.0  # recordings that the mean over training speakers counts for in a speaker's own mean


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
        if segment.shape[-1] != len(self.mean):
            raise UserError(f"{segment.shape[-1]} features to standardise, where training had {len(self.mean)}")
        return ((segment - self.mean) / self.deviation).astype(np.float32)

    def save(self, path: Path) -> None:
        save_file({"scaler.mean": self.mean, "scaler.deviation": self.deviation}, path)

    @classmethod
    def load(cls, path: Path) -> Scaler | None:
        """The scaler in a file of tensors; None if it holds none. Raises what safetensors does of a damaged file."""
        tensors = load_file(path)
        if "scaler.mean" not in tensors:
            return None
        shape = (len(tensors["scaler.mean"]),)
        check_arrays(tensors, {"scaler.mean": shape, "scaler.deviation": shape})
        if not (tensors["scaler.deviation"] > 0).all():
            raise ValueError("a deviation that is not above 0")
        return cls(tensors["scaler.mean"], tensors["scaler.deviation"])


def normalise(
    segments: Sequence[np.ndarray], speakers: Sequence[str], how: Normalisation, population: np.ndarray | None = None
) -> list[np.ndarray]:
    """Normalise recordings by others of theirs, without using labels, before the standardisation over training data.

    Parameters
    ----------
    segments : sequence of ndarray [shape=(n_windows, n_features)]
    speakers : sequence of str
    how : {"training", "speaker", "speaker-mean", "corpus", "none"}
        "speaker": each speaker to zero mean and unit variance. "speaker-mean": subtract each speaker's mean, shrunk to
        that of the population as if 5 recordings of it belonged to the speaker; of one or few recordings it changes
        little. "corpus": all these recordings together to zero mean and unit variance; in training those of a fold's
        part, in scoring another corpus those of that corpus. The others change nothing.
    population : ndarray [shape=(n_features,)] or None
        `mean_of_speakers` of the training corpus; None takes that of `segments`.
    """
    if how == "speaker":
        return normalise_by_speaker(segments, speakers)
    if how == "corpus":
        return normalise_by_speaker(segments, [""] * len(segments))
    if how != "speaker-mean":
        return list(segments)
    if population is None:
        population = mean_of_speakers(segments, speakers)
    result: list[np.ndarray] = list(segments)
    for rows in _rows_of_speakers(speakers):
        weight = len(rows) / (len(rows) + _PRIOR)
        own = weight * _mean([segments[i] for i in rows]) + (1 - weight) * population
        for i in rows:
            result[i] = (segments[i] - own).astype(np.float32)
    return result


def normalise_vectors(
    x: np.ndarray, speakers: Sequence[str], how: Normalisation, population: np.ndarray | None = None
) -> np.ndarray:
    """`normalise` of recordings that are one vector each: [shape=(n, n_features)] -> the same shape."""
    return np.concatenate(normalise(list(x[:, np.newaxis]), speakers, how, population)) if len(x) else x


def mean_of_speakers(segments: Sequence[np.ndarray], speakers: Sequence[str]) -> np.ndarray:
    """Mean over speakers of the mean of their windows [shape=(n_features,)]."""
    found: np.ndarray = np.mean([_mean([segments[i] for i in rows]) for rows in _rows_of_speakers(speakers)], axis=0)
    return found


def _mean(segments: Sequence[np.ndarray]) -> np.ndarray:
    total: np.ndarray = np.sum([segment.sum(axis=0, dtype=np.float64) for segment in segments], axis=0)
    return total / max(1, sum(map(len, segments)))


def _rows_of_speakers(speakers: Sequence[str]) -> list[list[int]]:
    of_speaker: dict[str, list[int]] = {}
    for i, speaker in enumerate(speakers):
        of_speaker.setdefault(speaker, []).append(i)
    return list(of_speaker.values())


def normalise_by_speaker(segments: Sequence[np.ndarray], speakers: Sequence[str]) -> list[np.ndarray]:
    """Standardise each speaker's windows to zero mean and unit variance, without using labels."""
    result: list[np.ndarray] = list(segments)
    for rows in _rows_of_speakers(speakers):
        own = [segments[i] for i in rows]
        if sum(len(segment) for segment in own):
            scale = Scaler.fit(own)
            for i in rows:
                result[i] = scale(segments[i])
    return result


def warn_of_speakers(speakers: Sequence[str], classes: np.ndarray, labels: Sequence[str], how: Normalisation) -> None:
    """Warn if normalisation by other recordings is unreliable: a speaker has few of them, or one-sided ones.

    Parameters
    ----------
    speakers : sequence of str
    classes : ndarray [shape=(n_utterances,)], int64
        As labelled, or as predicted.
    labels : sequence of str
        Names of the classes.
    how : {"training", "speaker", "speaker-mean", "corpus", "none"}
        The first, third and last warn of nothing.
    """
    if how not in ("speaker", "corpus"):
        return
    groups = np.array(speakers if how == "speaker" else ["all recordings"] * len(speakers), dtype=object)
    few = [name for name in dict.fromkeys(groups) if (groups == name).sum() < _FEW]
    if few:
        log.warning(
            "normalisation by %s is unreliable: %d have fewer than %d recordings (first: %s); the files of a folder "
            "are one speaker; training.normalisation=speaker-mean needs fewer",
            how, len(few), _FEW, few[0],
        )  # fmt: skip
    for name in dict.fromkeys(groups):
        counts = np.bincount(classes[groups == name], minlength=len(labels))
        if name not in few and counts.max() > _ONE_SIDED * counts.sum():
            log.warning(
                "%s: %d of %d recordings are classified as %s; normalisation by %s assumes a mix of emotions, and "
                "cannot find one that all recordings have",
                name, counts.max(), counts.sum(), labels[int(counts.argmax())], how,
            )  # fmt: skip


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
