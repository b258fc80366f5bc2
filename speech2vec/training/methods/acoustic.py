"""Vectors of how words sound, without labels: adapted and resampled frames, their components, no speaker's mean.

Each speaker's frames are adapted (`speech2vec.model.adaptation`); then, in closed form, the principal components of the
training words' resampled frames, divided by the fourth root of their variance, so that none of them rules the cosine
and noise stays small.
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from sklearn.decomposition import PCA

from speech2vec.features.store import Store
from speech2vec.model.resampled import Resampled, ResampledSettings, points_of
from speech2vec.model.word_encoder import WordEncoder, Words
from speech2vec.runtime.config import narrowed
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import log
from speech2vec.runtime.seeds import FITTED, generator
from speech2vec.training.methods.method import Method, check_finite
from speech2vec.training.methods.speaker_adaptation import (
    AdaptiveTrainingSettings,
    fit_adaptation,
    used_settings,
)

_NO_DEVIATION = 1e-6  # of the largest value: below it, numbers differ by rounding only
_NO_VARIANCE = 1e-7  # of the first component's: below it, a component is rounding


class AcousticSettings(ResampledSettings):
    """How the encoder is fitted, and what it does (`ResampledSettings`).

    Parameters
    ----------
    points, adaptation
        As there, chosen on speakers of real speech (docs/methods.md); and how the adaptation is fitted.
    vector_size : int
        Principal components; fewer where the training words have no more.
    whitening : float
        A component is divided by its standard deviation to this power: 0 is not at all, 1 makes all alike.
    most_words : int
        Words that the components are fitted to, a random sample of more.
    """

    points: int = Field(24, ge=1, le=1000)
    adaptation: AdaptiveTrainingSettings = AdaptiveTrainingSettings()
    vector_size: int = Field(80, ge=1, le=4096)
    whitening: float = Field(0.5, ge=0, le=1)
    most_words: int = Field(100_000, ge=2)


# Resampled frames in closed form: nothing about a speaker but the mean of the vectors.
PLAIN = AcousticSettings(points=16, vector_size=60, adaptation=AdaptiveTrainingSettings(rounds=0))


def fit(
    store: Store, rows: np.ndarray, settings: AcousticSettings, *, seed: int, device: torch.device, quiet: bool
) -> Resampled:
    """Principal components of the resampled words in `rows`.

    Raises
    ------
    UserError
        If all words sound alike, or frames are not finite.
    """
    if len(rows) > settings.most_words:
        rows = np.sort(generator(seed, FITTED).choice(rows, settings.most_words, replace=False))
    words, adaptation = Words.from_store(store, rows), None
    if settings.adaptation.rounds:
        adaptation = fit_adaptation(words, settings.adaptation, seed)
        words = adaptation.adapted(words)
    points = resampled_words(words, settings)
    check_finite(points, store)
    mean, scale = points.mean(axis=0, dtype=np.float64), np.ones(points.shape[1])
    deviation = points.std(axis=0, dtype=np.float64)
    if deviation.max() <= _NO_DEVIATION * max(float(np.abs(points).max()), 1e-30):
        raise UserError(f"the training words of {store.path} all sound the same: there is nothing to tell apart")
    if deviation[-1] > _NO_DEVIATION:  # the logarithm of the duration counts as much as one number of one frame
        scale[-1] = 1 / deviation[-1]
    points -= mean.astype(np.float32)
    points *= scale.astype(np.float32)
    pca = PCA(min(settings.vector_size, *points.shape), random_state=0).fit(points)
    variance = pca.explained_variance_
    kept = variance > _NO_VARIANCE * variance[0]
    if kept.sum() < settings.vector_size:
        log.warning(
            "%s training words differ in %d directions only: vectors have %d numbers, not %d",
            *(f"{len(rows):,}", kept.sum(), kept.sum(), settings.vector_size),
        )
    projection = (scale[:, None] * pca.components_[kept].T) / variance[kept] ** (settings.whitening / 2)
    # Contiguous, as a file's arrays are: the sums of a matrix product depend on it.
    projection = projection.astype(np.float32, order="C")
    return Resampled(encoder_settings(settings), mean.astype(np.float32), projection, adaptation)


def untrained(encoder: WordEncoder, store: Store, settings: AcousticSettings, *, seed: int) -> Resampled:
    """The resampled frames as they are: no adaptation, no components, no speaker's mean."""
    size = settings.points * store.n_mfcc + 1
    plain = ResampledSettings(points=settings.points, averaged=settings.averaged, speaker_mean=False)
    return Resampled(plain, np.zeros(size, dtype=np.float32), np.eye(size, size - 1, dtype=np.float32))


def resampled_words(words: Words, settings: ResampledSettings) -> np.ndarray:
    """All words resampled, in memory [shape=(n, points * n_features + 1)], float32 (see `points_of`)."""
    out = np.empty((len(words), settings.points * words.n_features + 1), dtype=np.float32)
    for positions, frames in words.chunks():
        out[positions] = points_of(frames, words.n_frames[positions], settings)
    return out


def encoder_settings(settings: AcousticSettings) -> ResampledSettings:
    """Those that the encoder needs."""
    return narrowed(ResampledSettings, settings, adaptation=used_settings(settings.adaptation))


METHOD = Method(AcousticSettings, fit, untrained)
