"""Random generators derived from a seed and a purpose."""

from __future__ import annotations

import numpy as np

# The largest seed that all random generators accept.
LARGEST_SEED = 2**32 - 1

# One stream per purpose. The values must not change, since published figures depend on them. Some are equal, which is
# harmless: those draws concern different things and are never combined.
EPOCH = 1  # order of the utterances and subsampling; followed by the epoch
RANDOM_PAIRS = 1
HELD_OUT = 2  # the speakers; HELD_OUT, 1: the measured utterances; HELD_OUT, 2: the z of other utterances
HALVES = 2
PROBE_SPLIT = 3
PROBE_BOOTSTRAP = 4
WARPED_SAMPLE = 5
INSTANCES = 6
PAIR_BOOTSTRAP = 7
WORD_BOOTSTRAP = 8
DECODED_PAIRS = 8
FITTED = 9  # the words that a method is fitted to
PROJECTION = 9


def generator(seed: int, *stream: int) -> np.random.Generator:
    """A random generator for one purpose: equal `seed` and `stream` (purpose, index) give equal numbers."""
    return np.random.default_rng([seed, *stream])
