"""The baseline of all vectors of sound: resampled frames, principal components, no speaker's mean.

It takes no training in epochs and no labels, so what a network learns must show above it. It is the method `acoustic`
in its closed form (`speech2vec.training.methods.acoustic.PLAIN`).
"""

from __future__ import annotations

import numpy as np
import torch

from speech2vec.features.store import Store
from speech2vec.model.resampled import Resampled
from speech2vec.training.methods import acoustic

SETTINGS = acoustic.PLAIN.model_copy(update={"most_words": 50_000})


def resampled_baseline(store: Store, rows: np.ndarray, seed: int = 0) -> Resampled:
    """The encoder, fitted to some rows of a store.

    Parameters
    ----------
    store : Store
    rows : ndarray [shape=(n,)], int64
        The words that a method which is compared with it has seen; a seeded sample above 50,000.
    seed : int

    Raises
    ------
    UserError
        If these words all sound alike.
    """
    return acoustic.fit(store, rows, SETTINGS, seed=seed, device=torch.device("cpu"), quiet=True)
