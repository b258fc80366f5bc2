"""Random numbers that belong to a seed and a purpose."""

from __future__ import annotations

import numpy as np


def generator(seed: int, *stream: int) -> np.random.Generator:
    """A random generator for one purpose: the same `seed` and `stream` always give the same numbers."""
    return np.random.default_rng([seed, *stream])
