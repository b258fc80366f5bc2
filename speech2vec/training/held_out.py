"""The loss on held-out speakers, and the controls that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from speech2vec.features.rows import runs_of
from speech2vec.features.store import Store
from speech2vec.model.encoding import segments_of
from speech2vec.model.speech2vec import Decoded, Speech2Vec
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import log
from speech2vec.runtime.seeds import HELD_OUT, generator
from speech2vec.training.batches import DeviceStore
from speech2vec.training.sampler import Sampler

_BATCH_SIZE = 512  # pairs; not the setting of training, so that losses compare between runs


@dataclass(frozen=True)
class HeldOutLoss:
    """Mean squared error per frame and coefficient on held-out speech, and its controls.

    Parameters
    ----------
    loss : float
        Of the model.
    shuffled : float
        Of the model when each z is replaced by that of a random word of another utterance, usually of another speaker:
        the difference to `loss` is what z contributes. If the held-out part is a single utterance this equals
        `shuffled_within`, with a warning.
    shuffled_within : float
        The same with z of another word of the same utterance: what the word in z contributes, apart from speaker and
        channel.
    previous_frame : float
        Of predicting each frame by the previous one (the first by zeros): what teacher forcing reveals.
    mean_frame : float
        Of predicting each frame by the mean frame of the training part.
    n_pairs, n_frames : int
        What the means are taken over.
    """

    loss: float
    shuffled: float
    shuffled_within: float
    previous_frame: float
    mean_frame: float
    n_pairs: int
    n_frames: int


def mean_frame(store: Store, rows: np.ndarray, most: int = 10_000, n_stretches: int = 100) -> np.ndarray:
    """The mean frame of the words in `rows` [shape=(n_mfcc,)].

    More than `most` rows are represented by `n_stretches` evenly spaced stretches: adjacent words are read from disk at
    once, random ones would each cost a seek.
    """
    if len(rows) > most:
        begin = np.linspace(0, len(rows), n_stretches, endpoint=False, dtype=np.int64)
        rows = rows[(begin[:, None] + np.arange(most // n_stretches)).ravel()]
    return segments_of(store, rows).frames.double().mean(0).float().numpy()


def held_out_sampler(store: Store, held_out: np.ndarray, window: int, seed: int, most_pairs: int = 50_000) -> Sampler:
    """Batches to measure the loss on: of all held-out rows, or of a seeded sample of whole utterances.

    Parameters
    ----------
    store : Store
    held_out : ndarray [shape=(n,)], int64
        Ascending rows.
    window, seed : int
    most_pairs : int
        Utterances are sampled, until they have this many pairs, where there are more.

    Raises
    ------
    UserError
        If no utterance has two words.
    """
    utterance = store.utterance[held_out]
    neighbours = [utterance[:-o][utterance[:-o] == utterance[o:]] for o in range(1, window + 1)]
    n_pairs = 2 * np.bincount(np.concatenate(neighbours), minlength=1)
    if not n_pairs.any():
        raise UserError(f"store {store.path}: no held-out utterance has two words to measure the loss on")
    drawn = generator(seed, HELD_OUT, 1).permutation(np.flatnonzero(n_pairs))
    needed = 1 + int(np.searchsorted(np.cumsum(n_pairs[drawn]), most_pairs))
    rows = held_out if needed >= len(drawn) else held_out[np.isin(utterance, drawn[:needed])]
    return Sampler.from_store(store, rows, window=window, batch_size=_BATCH_SIZE, seed=seed)


def _utterances(utterance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first position and the length of each word's utterance [shape=(n_words,)], int64."""
    begin, length = runs_of(utterance)
    return np.repeat(begin, length), np.repeat(length, length)


def words_of_other_utterances(utterance: np.ndarray, seed: int) -> np.ndarray | None:
    """For each word the position of a random one of another utterance [shape=(n_words,)]; None if there is only one."""
    start, length = _utterances(utterance)
    others = len(utterance) - length
    if not others.all():
        return None
    place = (generator(seed, HELD_OUT, 2).random(len(utterance)) * others).astype(np.int64)  # among all other words
    return place + length * (place >= start)


def words_of_same_utterance(utterance: np.ndarray) -> np.ndarray:
    """For each word the position of another word of its utterance, half the utterance away [shape=(n_words,)]."""
    start, n = _utterances(utterance)
    return start + (np.arange(len(utterance)) - start + n // 2) % n


@torch.inference_mode()
def held_out_loss(model: Speech2Vec, frames: DeviceStore, sampler: Sampler, mean: np.ndarray) -> HeldOutLoss:
    """Measure the loss and its controls on the pairs of a sampler.

    Parameters
    ----------
    model : Speech2Vec
    frames : DeviceStore
    sampler : Sampler
        Of the held-out rows.
    mean : ndarray [shape=(n_mfcc,)]
        Mean frame of the training part.
    """
    device = frames.device
    names = ("loss", "shuffled", "shuffled_within", "previous_frame", "mean_frame")
    sums = torch.zeros(len(names), dtype=torch.float64, device=device)
    n_values = n_pairs = 0
    average, longest = torch.from_numpy(mean).to(device), int(frames.store.n_frames.max())
    others = words_of_other_utterances(sampler.utterance, sampler.seed)
    if others is None:
        log.warning("the held-out part is a single utterance: z is shuffled within it, not across utterances")
    model.eval()
    for batch in sampler:
        given = frames.batch(batch)
        encoded = model.encoder(given.words)
        within = encoded[torch.from_numpy(words_of_same_utterance(batch.utterance)).to(device)]
        other = within
        if others is not None:
            positions = np.searchsorted(sampler.rows, batch.words)
            other = model.encoder(frames.segments(sampler.rows[others[positions]]))
        errors = []
        for z in (encoded, other, within):
            decoded = model.decode(z, given.words, given.centre, given.context, given.n_rows)
            errors.append(decoded.squared_error().double())
        errors.append(_previous_frame_error(decoded, longest))
        errors.append((decoded.target - average).double().square().sum())
        sums += torch.stack(errors)
        n_values += decoded.target.numel()
        n_pairs += decoded.n_sequences
    model.train()
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
