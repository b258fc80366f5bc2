"""Levelling: neither gain, nor silence at the ends, nor an offset reaches the features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion.features.extraction import SILENT, TOO_SHORT, extract_utterance
from emotion.features.level import NOMINAL, active_power, level_speech
from emotion.features.settings import FeatureSettings, compute
from speech2vec.corpus.manifest import Utterance
from speech2vec.corpus.readers import Problem

RATE = 16000
ACTIVE = FeatureSettings(loudness="active", window=0.05, hop=0.025, n_mels=40, level=True)


def speech_like(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    """Noise in syllables of 0.2 s, with a floor 60 dB below them."""
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    syllables = (
        np.abs(np.sin(np.pi * np.arange(n) / (0.2 * RATE))) * rng.uniform(0.3, 1, 1 + n // 3200).repeat(3200)[:n]
    )
    return 0.05 * (syllables + 1e-3) * rng.standard_normal(n)


def decibels(power: float) -> float:
    return float(10 * np.log10(power))


def test_the_active_level_does_not_count_silence() -> None:
    tone = 0.1 * np.sin(2 * np.pi * 200 * np.arange(4 * RATE) / RATE)
    alone = decibels(active_power(tone, RATE))
    assert alone == pytest.approx(decibels(0.005), abs=0.4)  # the hangover of 0.2 s counts
    padded = np.concatenate([np.zeros(20 * RATE), tone, np.zeros(20 * RATE)])
    assert decibels(active_power(padded, RATE)) == pytest.approx(alone, abs=0.02)
    assert decibels((padded**2).mean()) < alone - 10
    # A pause within an utterance of more than the hangover does not count either.
    halves = np.concatenate([tone, np.zeros(3 * RATE), tone])
    assert decibels(active_power(halves, RATE)) == pytest.approx(alone, abs=0.3)
    assert decibels(active_power(level_speech(halves, RATE), RATE)) == pytest.approx(NOMINAL, abs=0.1)


@settings(max_examples=10, deadline=None)
@given(st.floats(-20, 20), st.integers(0, 1000))
def test_no_gain_reaches_the_features(gain: float, seed: int) -> None:
    signal = speech_like(1.0, seed)
    found = compute(signal * 10 ** (gain / 20), ACTIVE)
    np.testing.assert_allclose(found, compute(signal, ACTIVE), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("noise", [0.0, 1e-5])
def test_no_silence_at_the_ends_reaches_the_features(noise: float) -> None:
    signal = np.concatenate([np.zeros(800), speech_like(), np.zeros(800)])
    silence = noise * np.random.default_rng(1).standard_normal((2, 2 * RATE))
    padded = np.concatenate([silence[0], signal, silence[1]])
    alone, found = level_speech(signal, RATE), level_speech(padded, RATE)
    assert abs(len(found) - len(alone)) <= 16 and len(alone) < len(signal)
    features, others = compute(signal, ACTIVE), compute(padded, ACTIVE)
    difference = np.abs(others.mean(axis=0) - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-3)
    assert difference.max() < 0.1


def test_levels_within_a_recording_keep_their_ratios() -> None:
    loud, quiet = speech_like(seed=1), 0.2 * speech_like(seed=2)
    found = level_speech(np.concatenate([loud, quiet]), RATE)
    first, second = found[: 2 * RATE - 1600], found[-2 * RATE + 1600 :]
    change = decibels((first**2).mean() / (second**2).mean())
    assert change == pytest.approx(decibels((loud**2).mean() / (quiet**2).mean()), abs=1)


def test_an_offset_is_removed_and_clipping_and_the_8_khz_are_borne() -> None:
    signal = speech_like()
    np.testing.assert_allclose(level_speech(signal + 0.3, RATE), level_speech(signal, RATE), atol=1e-9)
    assert np.isfinite(compute(np.clip(30 * signal, -1, 1), ACTIVE)).all()
    assert np.isfinite(compute(signal, ACTIVE.model_copy(update={"sampling_rate": 8000, "n_mels": 20}))).all()


@pytest.mark.parametrize("signal", [np.zeros(0), np.zeros(1), np.zeros(RATE), np.full(RATE, 0.3)])
def test_silence_has_no_level(signal: np.ndarray) -> None:
    assert active_power(signal, RATE) == 0 if len(signal) else True
    assert len(level_speech(signal, RATE)) == 0
    assert compute(signal, ACTIVE).shape == (0, len(ACTIVE.names))


def test_a_click_and_a_long_recording_have_a_level() -> None:
    click = np.zeros(RATE)
    click[8000] = 1.0
    assert active_power(click, RATE) > 0 and 0 < len(level_speech(click, RATE)) < RATE
    long = np.tile(speech_like(10), 30).astype(np.float32)  # 5 minutes
    assert decibels(active_power(level_speech(long, RATE), RATE)) == pytest.approx(NOMINAL, abs=0.1)


def test_silent_and_short_recordings_are_problems(tmp_path: Path) -> None:
    for name, signal in (("silent", np.zeros(RATE)), ("short", np.r_[np.zeros(RATE), 0.1, -0.1, np.zeros(RATE)])):
        sf.write(tmp_path / f"{name}.wav", signal, RATE, subtype="FLOAT")
    found = [extract_utterance(Utterance(n, tmp_path / f"{n}.wav", "", "s"), ACTIVE) for n in ("silent", "short")]
    assert [problem.reason for problem in found if isinstance(problem, Problem)] == [SILENT, TOO_SHORT]
