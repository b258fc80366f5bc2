"""Model inputs: normalised features and words of each utterance, batched by similar length."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emotion.settings import ModelSettings
from speech2vec.runtime.errors import UserError

_BATCHES_TO_SORT = 16  # utterances are sorted by length within chunks of this many shuffled batches


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


@dataclass(frozen=True)
class Examples:
    """Utterances as model inputs, before padding.

    Parameters
    ----------
    features : list of ndarray [shape=(n_windows, n_features)], float32
    words : list of ndarray
        Rows of the embedding layer [shape=(n_words,)], int64, or vectors [shape=(n_words, vector_size)], float32.
    labels : ndarray [shape=(n_utterances,)], int64
    """

    features: list[np.ndarray]
    words: list[np.ndarray]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, rows: np.ndarray) -> Examples:
        """The utterances of these rows, in this order."""
        return Examples([self.features[i] for i in rows], [self.words[i] for i in rows], self.labels[rows])


@dataclass(frozen=True)
class Batch:
    """Padded tensors; lengths stay on the CPU, as packing requires.

    Parameters
    ----------
    features : Tensor [shape=(B, T, F)]
    n_windows : Tensor [shape=(B,)]
    words : Tensor [shape=(B, N)], int64, or [shape=(B, N, d)]
    n_words : Tensor [shape=(B,)]
    labels : Tensor [shape=(B,)]
    """

    features: Tensor
    n_windows: Tensor
    words: Tensor
    n_words: Tensor
    labels: Tensor

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.features, self.n_windows, self.words, self.n_words


def stack_windows(segment: np.ndarray, n: int) -> np.ndarray:
    """Concatenate every `n` windows, repeating the last: [shape=(T, F)] -> [shape=(ceil(T / n), n * F)]."""
    if n == 1 or len(segment) == 0:
        return segment.reshape(len(segment), n * segment.shape[1])
    short = -len(segment) % n
    return np.pad(segment, ((0, short), (0, 0)), mode="edge").reshape(-1, n * segment.shape[1])


def pad(sequences: Sequence[np.ndarray], limit: int = sys.maxsize, fill: bool = False) -> tuple[Tensor, Tensor]:
    """Cut sequences to `limit` steps and pad them with zeros.

    Parameters
    ----------
    sequences : sequence of ndarray [shape=(n_steps, ...)]
    limit : int
    fill : bool
        Pad to `limit` steps and count all of them as real; otherwise pad to the longest, at least one step.

    Returns
    -------
    padded : Tensor [shape=(n_sequences, n_steps, ...)]
    lengths : Tensor [shape=(n_sequences,)], int64
    """
    lengths = [min(len(sequence), limit) for sequence in sequences]
    steps = limit if fill else max(1, *lengths)
    first = sequences[0]
    padded = np.zeros((len(sequences), steps, *first.shape[1:]), dtype=first.dtype)
    for row, (sequence, length) in enumerate(zip(sequences, lengths, strict=True)):
        padded[row, :length] = sequence[:length]
    return torch.from_numpy(padded), torch.tensor([steps] * len(sequences) if fill else lengths)


def collate(examples: Examples, settings: ModelSettings, device: torch.device | str = "cpu") -> Batch:
    """Stack, cut and pad utterances into one batch, according to the settings."""
    fill = settings.padding == "zeros"
    stacked = [stack_windows(segment, settings.stack) for segment in examples.features]
    features, n_windows = pad(stacked, settings.max_windows, fill)
    words, n_words = pad(examples.words, settings.max_words, fill)
    labels = torch.from_numpy(examples.labels)
    return Batch(features.to(device), n_windows, words.to(device), n_words, labels.to(device))


def batch_rows(lengths: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Rows of each batch of one epoch: shuffled, grouped by similar length, every row once.

    Parameters
    ----------
    lengths : ndarray [shape=(n_utterances,)]
    batch_size : int
    rng : Generator
    """
    order = rng.permutation(len(lengths))
    chunk = batch_size * _BATCHES_TO_SORT
    batches: list[np.ndarray] = []
    for start in range(0, len(order), chunk):
        rows = order[start : start + chunk]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def by_length(examples: Examples, batch_size: int) -> Iterator[np.ndarray]:
    """Rows of batches for evaluation, longest first, to keep padding low."""
    lengths = np.array([len(segment) for segment in examples.features])
    rows = np.argsort(-lengths, kind="stable")
    for start in range(0, len(rows), batch_size):
        yield rows[start : start + batch_size]
