"""What every method learns: an encoder that maps the frames of a spoken word to a vector.

`Words` are what it is given: word instances of a store or in memory, whose frames are read in chunks. The kinds of
encoders are listed in `speech2vec.model.kinds`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from torch import Tensor

from speech2vec.features.rows import rows_of_ranges
from speech2vec.features.store import Store
from speech2vec.runtime.config import Settings
from speech2vec.runtime.files import shortened

# Words that lie together are read before those behind them: a disk is read from front to back.
_WORDS_AT_ONCE = 100_000


@dataclass(frozen=True, eq=False)
class Words:
    """Word instances whose frames are read when they are needed.

    Parameters
    ----------
    n_frames : ndarray [shape=(n,)], int64
        Of each word, 1 or more.
    speaker : ndarray [shape=(n,)], int
        The group of words that a speaker's statistics are taken over.
    n_features : int
        Numbers a frame.
    gather : callable
        Positions [shape=(m,)] to their frames, word after word [shape=(n_frames[positions].sum(), n_features)],
        float32.
    place : ndarray [shape=(n,)], int64
        Where each word lies; to read in this order costs least.
    """

    n_frames: np.ndarray
    speaker: np.ndarray
    n_features: int
    gather: Callable[[np.ndarray], np.ndarray]
    place: np.ndarray

    def __len__(self) -> int:
        return len(self.n_frames)

    @classmethod
    def from_store(cls, store: Store, rows: np.ndarray | None = None) -> Words:
        """Rows of a store [shape=(n,)], in any order; None is all of them."""
        rows = np.arange(store.n_words) if rows is None else np.asarray(rows, dtype=np.int64)
        return cls(
            store.n_frames[rows].astype(np.int64),
            store.speaker[rows],
            store.n_mfcc,
            lambda positions: store.gather(rows[positions]),
            rows,
        )

    @classmethod
    def from_frames(
        cls,
        frames: np.ndarray,
        n_frames: np.ndarray,
        speaker: np.ndarray | None = None,
    ) -> Words:
        """Words in memory, by default of one speaker.

        Parameters
        ----------
        frames : ndarray [shape=(n_frames.sum(), n_features)], float32
            Normalised, word after word.
        n_frames : ndarray [shape=(n,)], int64
        speaker : ndarray [shape=(n,)] or None
        """
        n_frames = np.asarray(n_frames, dtype=np.int64)
        first = np.cumsum(n_frames) - n_frames
        return cls(
            n_frames,
            np.zeros(len(n_frames), dtype=np.int64) if speaker is None else speaker,
            frames.shape[1],
            lambda positions: frames[rows_of_ranges(first[positions], n_frames[positions])],
            np.arange(len(n_frames)),
        )

    def parts(self) -> Iterator[np.ndarray]:
        """Positions in the order of their place, some 100,000 at a time."""
        order = np.argsort(self.place, kind="stable")
        yield from np.split(order, range(_WORDS_AT_ONCE, len(order), _WORDS_AT_ONCE)) if len(order) else ()

    def chunks(self, most_frames: int = 100_000) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Positions in the order of their place, and their frames: at most so many (but at least a word) at a time."""
        for part in self.parts():
            group = (np.cumsum(self.n_frames[part]) - 1) // most_frames
            for positions in np.split(part, np.flatnonzero(np.diff(group)) + 1):
                yield positions, self.gather(positions)


class WordEncoder(Protocol):
    """The part of a trained model that new words need.

    An instance is kept as its tensors and its settings, so that it opens without the store or the code that fitted it.
    A class that is a `torch.nn.Module` is put on the device that is asked for, in evaluation mode.
    """

    kind: ClassVar[str]
    """Name in the saved file: the key in `speech2vec.model.kinds.KINDS`."""

    @property
    def by_speaker(self) -> bool:
        """Whether the vectors of a speaker's words depend on which of them are given (a mean of the speaker)."""
        ...

    @property
    def n_features(self) -> int:
        """Numbers in a frame that it takes."""
        ...

    @property
    def vector_size(self) -> int: ...

    @property
    def settings(self) -> Settings:
        """All plain values that, beside the tensors, make the encoder."""
        ...

    def encode(self, words: Words) -> np.ndarray:
        """The words' vectors [shape=(n, vector_size)], float32; frames are read in chunks, never all at once."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """All that was learned, by name."""
        ...

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> WordEncoder:
        """The encoder of these tensors and settings (what `tensors` and ``settings.model_dump()`` gave).

        Raises
        ------
        KeyError, ValueError, RuntimeError
            If they are not those of such an encoder. A file may be a stranger's: what fits together here can be encoded
            with. (The tensors are finite numbers: `speech2vec.model.kinds.load_encoder` sees to it.)
        """
        ...


def check_shapes(tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raise a ValueError that names the first tensor which is missing, of another shape, or one too many."""
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        shapes = f"{found.get(wrong[0], 'missing')}, not {expected.get(wrong[0], 'needed')}"
        raise ValueError(f"weights that are not those of its settings: {shortened(wrong[0])} is {shapes}")
