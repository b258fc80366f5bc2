"""What a training method is: a function from a store to an encoder, its settings, and the labels that it uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from speech2vec.features.store import Store
from speech2vec.model.word_encoder import WordEncoder
from speech2vec.runtime.config import Settings
from speech2vec.runtime.errors import UserError

NO_LABELS = "none"
TEXT = "text of the transcripts"


class Fit(Protocol):
    """Find an encoder from the words in `rows` of a store, and from no other."""

    def __call__(
        self, store: Store, rows: np.ndarray, settings: Any, *, seed: int, device: torch.device, quiet: bool
    ) -> WordEncoder:
        """Fit.

        Parameters
        ----------
        store : Store
        rows : ndarray [shape=(n,)], int64
            Ascending rows of the training speakers.
        settings : Settings
            Of `Method.settings`.
        seed : int
        device : torch.device
        quiet : bool
            Show no progress.
        """
        ...


class Untrained(Protocol):
    """The control of a method: what the encoder was before the method learned anything."""

    def __call__(self, encoder: WordEncoder, store: Store, settings: Any, *, seed: int) -> WordEncoder:
        """The control of what was fitted on the store; the same whenever it is asked for."""
        ...


@dataclass(frozen=True)
class Method:
    """A method: `speech2vec.training.methods.METHODS` lists them.

    Parameters
    ----------
    settings : subclass of Settings
        All settings with their defaults; ``TrainSettings`` has them under the method's name.
    fit : Fit
    untrained : Untrained
    labels : callable
        What beside sound and word boundaries fitting uses: from store, training rows and settings to `NO_LABELS`, what
        `words_of` says, or `TEXT`.
    """

    settings: type[Settings]
    fit: Fit
    untrained: Untrained
    labels: Callable[[Store, np.ndarray, Any], str] = lambda store, rows, settings: NO_LABELS


def words_of(store: Store, rows: np.ndarray) -> str:
    """The label that says which speakers' words are known by name."""
    n = len(np.unique(store.speaker[rows]))
    return f"words of {n} of {len(store.speakers)} speakers"


def check_finite(values: np.ndarray, store: Store) -> None:
    """Refuse what was read of a store if it holds NaN or infinity.

    Raises
    ------
    UserError
        Naming the first word of the store that holds some.
    """
    if not np.isfinite(values).all():
        raise UserError(store.explain_non_finite() or f"the frames of {store.path} are too large to compute with")
