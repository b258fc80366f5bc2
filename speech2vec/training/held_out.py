"""Speakers held out of training, and the loss on them beside the controls that give it a meaning."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from speech2vec.features.store import Store, starts_of_runs
from speech2vec.model.encoding import segments_of
from speech2vec.model.speech2vec import Decoded, Speech2Vec
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import HELD_OUT, generator
from speech2vec.training.batches import DeviceStore
from speech2vec.training.sampler import Sampler

log = logging.getLogger("speech2vec")


@dataclass(frozen=True)
class HeldOutLoss:
    """Mean squared error per real frame and coefficient on held-out speech, and its controls.

    Parameters
    ----------
    loss : float
        The model's.
    shuffled : float
        The model's, with each z that of a random word of another utterance, most often of another speaker: what z is
        worth. Where the held-out part is one utterance there is none: a warning says so, and it is `shuffled_within`.
    shuffled_within : float
        The same with z of another word of the same utterance: what the word in z is worth, speaker and channel apart.
    previous_frame : float
        Each frame predicted by the one before (zeros before the first): what teacher forcing gives away.
    mean_frame : float
        Each frame predicted by the mean frame of the training part.
    n_pairs, n_frames : int
    """

    loss: float
    shuffled: float
    shuffled_within: float
    previous_frame: float
    mean_frame: float
    n_pairs: int
    n_frames: int


def mean_frame(store: Store, rows: np.ndarray, most: int = 10_000, n_stretches: int = 100) -> np.ndarray:
    """The mean frame of some rows [shape=(n_mfcc,)].

    Of more than `most` rows, `n_stretches` evenly spaced stretches stand for all: words that lie together are read from
    a disk at once; reading each word by itself would wait for the disk each time.
    """
    if len(rows) > most:
        begin = np.linspace(0, len(rows), n_stretches, endpoint=False, dtype=np.int64)
        rows = rows[(begin[:, None] + np.arange(most // n_stretches)).ravel()]
    return segments_of(store, rows).frames.double().mean(0).float().numpy()


def rows_to_measure(store: Store, held_out: np.ndarray, window: int, seed: int, most_pairs: int = 50_000) -> np.ndarray:
    """The held-out rows that a loss is measured on: all of them, or of many a seeded sample of whole utterances.

    Parameters
    ----------
    store : Store
    held_out : ndarray [shape=(n,)], int64
        Ascending rows.
    window, seed : int
    most_pairs : int
        Utterances are drawn until they have so many pairs.

    Returns
    -------
    ndarray of int64
        Ascending.
    """
    utterance = store.utterance[held_out]
    neighbours = [utterance[:-o][utterance[:-o] == utterance[o:]] for o in range(1, window + 1)]
    n_pairs = 2 * np.bincount(np.concatenate(neighbours), minlength=1)
    drawn = generator(seed, HELD_OUT, 1).permutation(np.flatnonzero(n_pairs))
    needed = 1 + int(np.searchsorted(np.cumsum(n_pairs[drawn]), most_pairs))
    return held_out if needed >= len(drawn) else held_out[np.isin(utterance, drawn[:needed])]


def _utterances(utterance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each word the first position and the length of its utterance [shape=(n_words,)], int64."""
    begin = starts_of_runs(utterance)
    length = np.diff(np.append(begin, len(utterance)))
    return np.repeat(begin, length), np.repeat(length, length)


def _elsewhere(utterance: np.ndarray, seed: int) -> np.ndarray | None:
    """For each word a seeded random one of another utterance [shape=(n_words,)]; None if there is only one."""
    start, length = _utterances(utterance)
    others = len(utterance) - length
    if not others.all():
        return None
    place = (generator(seed, HELD_OUT, 2).random(len(utterance)) * others).astype(np.int64)  # among the words of others
    return place + length * (place >= start)


def _within(utterance: np.ndarray) -> np.ndarray:
    """For each word another word of its utterance: half the utterance away."""
    start, n = _utterances(utterance)
    return start + (np.arange(len(utterance)) - start + n // 2) % n


@torch.inference_mode()
def held_out_loss(model: Speech2Vec, frames: DeviceStore, sampler: Sampler, mean: np.ndarray) -> HeldOutLoss:
    """Measure the loss and its controls on the pairs of a sampler.

    Raises
    ------
    UserError
        The sampler has no pair.
    """
    device = frames.device
    names = ("loss", "shuffled", "shuffled_within", "previous_frame", "mean_frame")
    sums = torch.zeros(len(names), dtype=torch.float64, device=device)
    n_values = n_pairs = 0
    average, longest = torch.from_numpy(mean).to(device), int(frames.store.n_frames.max())
    elsewhere = _elsewhere(sampler.utterance, sampler.seed)
    if elsewhere is None:
        log.warning("the held-out part is one utterance: its words get the z of each other, not of another utterance")
    model.eval()
    for batch in sampler:
        given = frames.batch(batch)
        encoded = model.encoder(given.words)
        within = encoded[torch.from_numpy(_within(batch.utterance)).to(device)]
        other = within
        if elsewhere is not None:
            positions = np.searchsorted(sampler.rows, batch.words)
            other = model.encoder(frames.segments(sampler.rows[elsewhere[positions]]))
        errors = []
        for of_words in (encoded, other, within):
            decoded = model.decode(of_words, given.words, given.centre, given.context, given.n_rows)
            errors.append(decoded.squared_error().double())
        errors.append(_previous_frame_error(decoded, longest))
        errors.append((decoded.target - average).double().square().sum())
        sums += torch.stack(errors)
        n_values += decoded.target.numel()
        n_pairs += decoded.n_sequences
    model.train()
    if not n_values:
        raise UserError("the held-out part has no pair of neighbouring words: nothing to measure on")
    return HeldOutLoss(
        **dict(zip(names, (sums / n_values).tolist(), strict=True)),
        n_pairs=n_pairs,
        n_frames=n_values // frames.store.n_mfcc,
    )


def _previous_frame_error(decoded: Decoded, longest: int) -> Tensor:
    order = torch.argsort(decoded.sequence * longest + decoded.time)
    target, first = decoded.target[order].double(), decoded.time[order] == 0
    previous = torch.where(first[:, None], torch.zeros_like(target), target.roll(1, 0))
    return (target - previous).square().sum()
