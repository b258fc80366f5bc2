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


def resampled_baseline(store: Store, rows: np.ndarray) -> Resampled:
    """The encoder, fitted to some rows of a store.

    Parameters
    ----------
    store : Store
    rows : ndarray [shape=(n,)], int64
        The words that a method which is compared with it has seen; of more than 50,000 always the same sample.

    Raises
    ------
    UserError
        If these words all sound alike.
    """
    return acoustic.fit(store, rows, SETTINGS, seed=0, device=torch.device("cpu"), quiet=True)
