"""Speaker-adaptive training without labels: the mixture that `SpeakerAdaptation` brings the speakers' frames closer to.

Mixture and maps are estimated in turns (Anastasakos et al. 1996, "A compact model for speaker-adaptive training"): the
mixture from the adapted frames of all speakers, each speaker's map from the mixture.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import Field

from speech2vec.features.rows import rows_of_ranges
from speech2vec.model.adaptation import AdaptationSettings, SpeakerAdaptation, frames_by_speaker, no_change, transform
from speech2vec.model.word_encoder import Words
from speech2vec.runtime.config import narrowed
from speech2vec.runtime.seeds import FITTED, generator

_MOST_FRAMES = 60_000  # that the mixture is fitted to
_LEAST_WEIGHT = 0.05
_FIRST_STEPS, _STEPS = 8, 3  # of expectation-maximisation


class AdaptiveTrainingSettings(AdaptationSettings):
    """How the mixture is fitted, and how a speaker's map is estimated with it (`AdaptationSettings`).

    Parameters
    ----------
    components : int
        Gaussians of the mixture.
    training_rounds : int
        Turns of mixture and maps.
    lag : int, frames
        A coefficient is weighted by the square of its autocorrelation over so many frames inside words: what the mouth
        does changes slowly, noise and the detail of the spectrum do not. 0 weights all alike.
    """

    components: int = Field(64, ge=1)
    training_rounds: int = Field(10, ge=1)
    lag: int = Field(4, ge=0)


def fit_adaptation(words: Words, settings: AdaptiveTrainingSettings, seed: int) -> SpeakerAdaptation:
    """The mixture for some words of all speakers."""
    speakers, speaker = np.unique(words.speaker, return_inverse=True)
    weight = persistence(words, settings.lag)
    frames, first, who = frames_by_speaker(replace(words, speaker=speaker), settings.most_frames)
    frames *= weight
    draw = generator(seed, FITTED, 1)
    sample = np.sort(draw.permutation(len(frames))[:_MOST_FRAMES])
    extended = np.append(frames[sample], np.ones((len(sample), 1), np.float32), axis=1).astype(np.float64)
    moment = extended.T @ extended / len(sample)
    moment += 1e-3 * np.trace(moment) / len(moment) * np.eye(len(moment))  # coefficients that never change
    model = SpeakerAdaptation(
        used_settings(settings),
        weight,
        frames[np.sort(draw.choice(sample, min(settings.components, len(sample)), replace=False))].copy(),
        np.maximum(frames[sample].var(axis=0), 1e-6),
        moment.astype(np.float32),
    )
    model = _fit_mixture(model, frames[sample], _FIRST_STEPS)
    maps, adapted = no_change(len(speakers), words.n_features), frames
    for _ in range(settings.training_rounds):
        maps = model.improve(maps, frames, adapted, first, who)
        adapted = transform(frames, first, who, maps.astype(np.float32))
        model = _fit_mixture(model, adapted[sample], _STEPS)
    return model


def used_settings(settings: AdaptiveTrainingSettings) -> AdaptationSettings:
    """Those that adapting new words needs."""
    return narrowed(AdaptationSettings, settings)


def _fit_mixture(model: SpeakerAdaptation, frames: np.ndarray, steps: int) -> SpeakerAdaptation:
    """Steps of expectation-maximisation."""
    square = np.square(frames, dtype=np.float64).mean(axis=0)
    for _ in range(steps):
        posterior = model.responsibilities(frames)
        count = posterior.sum(axis=0, dtype=np.float64)[:, None] + 0.01
        mean = ((posterior.T @ frames + 0.01 * model.mean) / count).astype(np.float32)
        variance = square - (count * np.square(mean, dtype=np.float64)).sum(axis=0) / len(frames)
        floor = 1e-3 * max(float(square.mean()), 1e-6)
        model = replace(model, mean=mean, variance=np.maximum(variance, floor).astype(np.float32))
    return model


def persistence(words: Words, lag: int) -> np.ndarray:
    """Squared autocorrelations inside words, of mean square 1 [shape=(n_features,)], float32."""
    if not lag:
        return np.ones(words.n_features, dtype=np.float32)
    together, alone = np.zeros(words.n_features), np.full(words.n_features, 1e-9)
    for positions, frames in words.chunks():
        n = words.n_frames[positions]
        earlier = rows_of_ranges(np.cumsum(n) - n, np.maximum(n - lag, 0))
        a, b = frames[earlier], frames[earlier + lag]
        together += (a * b).sum(axis=0, dtype=np.float64)
        alone += 0.5 * (np.square(a) + np.square(b)).sum(axis=0, dtype=np.float64)
    weight = np.maximum(together / alone, _LEAST_WEIGHT) ** 2
    weight /= np.sqrt(np.square(weight).mean())
    return weight.astype(np.float32)
