"""Words of a store through an encoder: from instances in time to vectors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from speech2vec.features.store import Store
from speech2vec.model.encoder import Segments
from speech2vec.model.speech2vec import Speech2Vec
from speech2vec.model.word_encoder import WordEncoder, Words


def segments_of(store: Store, rows: np.ndarray, device: torch.device | str = "cpu") -> Segments:
    """The frames of some words of a store, together on a device."""
    return Segments.of_words(store.gather(rows), store.n_frames[rows].astype(np.int64), device)


@dataclass(frozen=True, eq=False)
class StoreVectors:
    """The vectors of a store's words, whichever are asked for together.

    Where an encoder takes statistics of each speaker, they are those of all the speaker's words in the store: the whole
    store is then encoded once, and kept.

    Parameters
    ----------
    encoder : WordEncoder
    store : Store
    """

    encoder: WordEncoder
    store: Store

    def __call__(self, rows: np.ndarray | None = None) -> np.ndarray:
        """The vectors of rows of the store [shape=(n, vector_size)], float32; None is all.

        They are a copy, which may be changed.
        """
        if not self.encoder.by_speaker:
            return self.encoder.encode(Words.from_store(self.store, rows))
        return self._all.copy() if rows is None else self._all[np.asarray(rows, dtype=np.int64)]

    @cached_property
    def _all(self) -> np.ndarray:
        return self.encoder.encode(Words.from_store(self.store))


def encode_instances(encoder: WordEncoder, store: Store, rows: np.ndarray | None = None) -> np.ndarray:
    """The vectors of word instances, for once (see `StoreVectors`).

    Parameters
    ----------
    encoder : WordEncoder
    store : Store
    rows : ndarray of int or None
        Of the store; None is all.

    Returns
    -------
    ndarray [shape=(n_instances, vector_size)], float32
    """
    return StoreVectors(encoder, store)(rows)


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
