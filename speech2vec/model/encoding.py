"""Words of a store through an encoder: from instances in time to vectors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from speech2vec.features.store import Store, rows_of_ranges
from speech2vec.model.encoder import Segments
from speech2vec.model.speech2vec import Speech2Vec

# Frames encoded at once: bounds the memory, and changes no number beyond rounding.
_FRAMES_AT_ONCE = 100_000


# Words that lie together are encoded before those behind them: a disk is read from front to back.
_WORDS_AT_ONCE = 100_000


def segments_of(store: Store, rows: np.ndarray, device: torch.device | str = "cpu") -> Segments:
    """The frames of some words of a store, together on a device."""
    return _segments(store.gather(rows), store.n_frames[rows].astype(np.int64), device)


def _segments(frames: np.ndarray, n_frames: np.ndarray, device: torch.device | str) -> Segments:
    return Segments(
        torch.from_numpy(frames).to(device),
        torch.from_numpy(np.cumsum(n_frames) - n_frames).to(device),
        torch.from_numpy(n_frames).to(device),
        int(n_frames.max(initial=0)),
        int(n_frames.sum()),
    )


def _by_length(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Positions, the longest first, in groups of at most `_FRAMES_AT_ONCE` frames."""
    order = np.argsort(-lengths, kind="stable")
    group = (np.cumsum(lengths[order]) - 1) // _FRAMES_AT_ONCE
    yield from np.split(order, np.flatnonzero(np.diff(group)) + 1)


def encode_instances(model: Speech2Vec, store: Store, rows: np.ndarray | None = None) -> np.ndarray:
    """The vectors of word instances.

    Parameters
    ----------
    model : Speech2Vec
    store : Store
    rows : ndarray of int or None
        Of the store; None is all.

    Returns
    -------
    ndarray [shape=(n_instances, vector_size)], float32
    """
    rows = np.arange(store.n_words) if rows is None else np.asarray(rows, dtype=np.int64)
    vectors = np.empty((len(rows), model.settings.vector_size), dtype=np.float32)
    if len(rows):
        with torch.inference_mode():
            order = np.argsort(rows, kind="stable")
            for part in np.split(order, range(_WORDS_AT_ONCE, len(rows), _WORDS_AT_ONCE)):
                for group in _by_length(store.n_frames[rows[part]]):
                    words = segments_of(store, rows[part[group]], model.device)
                    vectors[part[group]] = model.encoder(words).z.float().cpu().numpy()
    return vectors


@torch.inference_mode()
def encode_frames(model: Speech2Vec, frames: np.ndarray, n_frames: np.ndarray) -> np.ndarray:
    """As `encode_instances`, for words that are in memory.

    Parameters
    ----------
    model : Speech2Vec
    frames : ndarray [shape=(total_frames, n_mfcc)], float32
        Normalised, one word after the other.
    n_frames : ndarray [shape=(n_words,)], int64
        Of each word, 1 or more.

    Returns
    -------
    ndarray [shape=(n_words, vector_size)], float32
    """
    vectors = np.empty((len(n_frames), model.settings.vector_size), dtype=np.float32)
    first = np.cumsum(n_frames) - n_frames
    for group in _by_length(n_frames) if len(n_frames) else ():
        lengths = n_frames[group]
        words = _segments(frames[rows_of_ranges(first[group], lengths)], lengths, model.device)
        vectors[group] = model.encoder(words).z.float().cpu().numpy()
    return vectors


@torch.inference_mode()
def decode_pair(model: Speech2Vec, store: Store, centre: int, context: int) -> tuple[np.ndarray, np.ndarray]:
    """A context word's frames as decoded from the centre's z, and as they are [shape=(n_frames, n_mfcc)]."""
    words = segments_of(store, np.array([centre, context]), model.device)
    index = torch.tensor([0], device=model.device), torch.tensor([1], device=model.device)
    z = model.encoder(words)
    if model.settings.objective == "cbow":
        index = index[1], index[0]  # the neighbour generates the centre
    decoded = model.decode(z, words, *index)
    return decoded.predicted.cpu().numpy(), decoded.target.cpu().numpy()
