"""Padded batches of utterances of similar length, the inputs of the networks."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emotion.data.examples import Examples
from emotion.settings import ModelSettings

_BATCHES_TO_SORT = 16  # utterances are sorted by length within chunks of this many shuffled batches


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


def sequences(examples: Examples) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The frames and word vectors of utterances; empty ones where a classifier does not use them."""
    n = len(examples)
    frames = examples.frames if examples.frames is not None else [np.zeros((0, 1), dtype=np.float32)] * n
    words = examples.vectors if examples.vectors is not None else [np.zeros(0, dtype=np.int64)] * n
    return frames, words


def collate(examples: Examples, settings: ModelSettings, device: torch.device | str = "cpu") -> Batch:
    """Stack, cut and pad utterances into one batch, according to the settings."""
    fill = settings.padding == "zeros"
    frames, vectors = sequences(examples)
    stacked = [stack_windows(segment, settings.stack) for segment in frames]
    features, n_windows = pad(stacked, settings.max_windows, fill)
    words, n_words = pad(vectors, settings.max_words, fill)
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
    lengths = np.array([len(segment) for segment in sequences(examples)[0]])
    rows = np.argsort(-lengths, kind="stable")
    for start in range(0, len(rows), batch_size):
        yield rows[start : start + batch_size]
