"""Random numbers that belong to a seed and a purpose."""

from __future__ import annotations

import numpy as np

# The widest that all generators of random numbers take.
LARGEST_SEED = 2**32 - 1


# What numbers are drawn for. The values stay, since figures rest on them; that some are equal does no harm, as those
# draws are of different things and never meet.
EPOCH = 1  # the order of utterances, and what a subsample keeps; followed by the epoch


RANDOM_PAIRS = 1


HELD_OUT = 2  # the speakers; HELD_OUT, 1: the utterances that are measured; HELD_OUT, 2: the z of other utterances


HALVES = 2


PROBE_SPLIT = 3


PROBE_BOOTSTRAP = 4


WARPED_SAMPLE = 5


INSTANCES = 6


PAIR_BOOTSTRAP = 7


WORD_BOOTSTRAP = 8


DECODED_PAIRS = 8


def generator(seed: int, *stream: int) -> np.random.Generator:
    """A random generator for one purpose: the same `seed` and `stream` (a purpose, and which) give the same numbers."""
    return np.random.default_rng([seed, *stream])
