"""Contours of the voice: a glide has its pitch, noise none; functionals are finite and do not depend on loudness."""

from __future__ import annotations

import numpy as np
import pytest

from emotion.features.functionals import VERSION, functionals
from emotion.features.level import level_speech
from emotion.features.voice import voice_contours

RATE = 16000


def glide(low: float, high: float, seconds: float = 1.0) -> np.ndarray:
    """A pulse-like tone (harmonics up to 4 kHz, 6 dB per octave down) whose pitch rises evenly in semitones."""
    pitch = low * (high / low) ** np.linspace(0, 1, int(seconds * RATE))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    return np.sum([np.sin(k * phase) / k for k in range(1, int(4000 / high) + 1)], axis=0)


@pytest.mark.parametrize(("low", "high"), [(80, 120), (150, 300), (250, 500)])
def test_the_pitch_of_a_glide_is_found(low: float, high: float) -> None:
    voice = voice_contours(level_speech(glide(low, high), RATE))
    expected = 12 * np.log2(low * (high / low) ** np.linspace(0, 1, len(voice.pitch)) / 55)
    inner = slice(5, -5)
    assert voice.voiced[inner].all()
    assert np.abs(voice.pitch - expected)[inner].max() < 0.7  # a lag of one sample at 500 Hz is 0.55 semitones
    assert np.median(voice.harmonicity) > 15


def test_noise_and_pauses_have_no_pitch() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE)
    signal = level_speech(np.concatenate([noise, np.zeros(RATE // 2), noise]), RATE)
    voice = voice_contours(signal)
    assert voice.voiced.mean() < 0.05
    assert (voice.level[115:135] < -80).all()


def test_the_spectral_balance_of_a_bright_voice_is_higher() -> None:
    voiced = glide(100, 130)
    bright = np.append(0, np.diff(voiced))
    dull_voice, bright_voice = (voice_contours(level_speech(one, RATE)) for one in (voiced, bright))
    assert bright_voice.alpha.mean() < dull_voice.alpha.mean() - 5
    assert bright_voice.hammarberg.mean() < dull_voice.hammarberg.mean() - 5
    assert bright_voice.slope_middle.mean() > dull_voice.slope_middle.mean()
    assert bright_voice.centroid.mean() > dull_voice.centroid.mean() + 0.2


def test_blocks_of_windows_join_without_a_seam() -> None:
    signal = level_speech(glide(100, 300, 24.0) * (1 + 0.1 * np.random.default_rng(0).standard_normal(24 * RATE)), RATE)
    voice, part = voice_contours(signal), voice_contours(signal[20 * RATE :])
    for name in ("flux", "alpha", "level"):
        np.testing.assert_allclose(getattr(voice, name)[2010:2350], getattr(part, name)[10:350], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("seconds", [0.0001, 0.01, 0.03, 0.2, 2.0])
def test_functionals_are_finite_whatever_the_recording(seconds: float) -> None:
    for signal in (glide(100, 200, seconds), np.random.default_rng(1).standard_normal(max(1, int(seconds * RATE)))):
        values, names = functionals(signal)
        assert values.shape == (134,) == (len(names),) and len(set(names)) == len(names)
        assert np.isfinite(values).all()


def test_functionals_do_not_depend_on_the_gain_nor_on_silence_at_the_ends() -> None:
    syllables = np.abs(np.sin(np.pi * np.arange(RATE) / 3200)) + 1e-3
    signal = (glide(100, 200) * syllables).astype(np.float32)
    base, names = functionals(level_speech(signal, RATE))
    for gain in (0.1, 0.37, 10.0):
        found = functionals(level_speech((gain * signal).astype(np.float32), RATE))[0]
        np.testing.assert_allclose(found, base, rtol=1e-4, atol=1e-4)
    padded = np.concatenate([np.zeros(2 * RATE), signal, np.zeros(2 * RATE)])
    pitch = names.index("pitch 1")
    assert functionals(level_speech(padded, RATE))[0][pitch] == pytest.approx(base[pitch], abs=0.2)


def jitter_of(signal: np.ndarray, version: int = VERSION) -> float:
    values, names = functionals(level_speech(signal, RATE), version)
    return float(values[names.index("jitter 1")])


def test_jitter_is_measured_within_voiced_stretches_and_not_across_pauses() -> None:
    low, pause, high = glide(120, 120), np.zeros(RATE // 2), glide(240, 240)
    steady = max(jitter_of(low), jitter_of(high))
    assert jitter_of(np.concatenate([low, pause, high])) < steady + 0.01
    assert jitter_of(np.concatenate([low, pause, high]), version=2) > steady + 0.1  # what earlier runs learned from
