"""The 34 features equal pyAudioAnalysis 0.3.14; the corrected variant puts filters and chroma where they belong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyAudioAnalysis import ShortTermFeatures

from emotion.features import pyaudioanalysis as features34
from emotion.features.pyaudioanalysis import FEATURE_NAMES, extract, make_bank
from emotion.features.settings import FeatureSettings
from speech2vec.corpus import audio
from speech2vec.runtime.config import fingerprint
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import generator

RATE = 16000


def reference(signal: np.ndarray, rate: int, window: float, hop: float) -> np.ndarray:
    length, step = round(window * rate), round(hop * rate)
    features, names = ShortTermFeatures.feature_extraction(np.double(signal) * 32768, rate, length, step, deltas=False)
    assert tuple(names) == FEATURE_NAMES
    return features.T


def check(signal: np.ndarray, rate: int = RATE, window: float = 0.1, hop: float = 0.1) -> np.ndarray:
    ours = extract(signal, rate, window, hop)
    assert ours.dtype == np.float64 and ours.shape[1] == 34
    np.testing.assert_allclose(ours, reference(signal, rate, window, hop), atol=1e-6, rtol=0)
    return ours


def tone(frequency: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


@pytest.mark.parametrize(
    ("rate", "window", "hop"),
    [
        (16000, 0.1, 0.1),
        (16000, 0.05, 0.02),
        (16000, 0.025, 0.01),
        (8000, 0.05, 0.05),
        (22050, 0.1, 0.1),
        (44100, 0.05, 0.025),
        (48000, 0.1, 0.1),
        (11025, 0.033, 0.011),
        (16000, 0.02, 0.1),
    ],
)
def test_noise_equals_the_reference(rate: int, window: float, hop: float) -> None:
    check(generator(1).normal(0, 0.1, 3 * rate), rate, window, hop)


def test_silence_clipping_and_steps_equal_the_reference() -> None:
    noise = generator(2).normal(0, 0.1, 3 * RATE)
    silence = check(np.zeros(3 * RATE))
    assert silence[:, 8] == pytest.approx(-99.0, abs=0.01)
    assert not silence[:, [*range(8), *range(21, 34)]].any()
    check(np.full(3 * RATE, 0.25))
    check(np.clip(30 * noise, -1, 1))
    check(np.sign(tone(2.0, 3)))
    check(
        np.where(np.arange(3 * RATE) // 9000 % 2, 0.0, noise) + 0.05
    )  # digital silence between speech, with an offset
    check(np.eye(1, 3 * RATE, 20000)[0])
    check(tone(440, 3))
    check(np.round(noise * 32768) / 32768)


@given(st.integers(0, 2**32 - 1), st.integers(1600, 20000), st.floats(1e-6, 1.0), st.floats(-0.5, 0.5))
@settings(max_examples=25, deadline=None)
def test_any_signal_equals_the_reference(seed: int, n_samples: int, level: float, offset: float) -> None:
    rng = generator(seed)
    signal = level * np.cumsum(rng.normal(size=n_samples)) * rng.integers(0, 2, n_samples)
    check(np.clip(signal + offset, -1, 1).astype(np.float32))


@pytest.mark.corpus
def test_real_speech_equals_the_reference(test_data: Path, librispeech: Path) -> None:
    paths = sorted((test_data / "ravdess_4class").glob("Actor_*/*.flac"))[::60]
    paths += sorted((librispeech / "dev-clean").rglob("*.mp3"))[::300]
    assert len(paths) >= 12
    for path in paths:
        signal = audio.load(path)
        check(signal)
        check(np.clip(20 * signal, -1, 1))


def test_the_window_count_drops_the_rest() -> None:
    assert len(extract(np.ones(1599), RATE)) == 0
    assert len(extract(np.empty(0), RATE)) == 0
    assert len(extract(np.ones(1600), RATE)) == 1
    assert len(extract(np.ones(3199), RATE)) == 1
    assert len(extract(np.ones(3200), RATE, hop=0.05)) == 3


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    signal = generator(4).normal(size=RATE * 8)
    whole = extract(signal, RATE, hop=0.03)
    monkeypatch.setattr(features34, "_BLOCK", 7)
    np.testing.assert_allclose(extract(signal, RATE, hop=0.03), whole, atol=1e-12)


@pytest.mark.parametrize(("frequency", "pitch"), [(440.0, 0), (880.0, 0), (220.0, 0), (1000.0, 2), (261.63, 3)])
def test_corrected_chroma_names_the_pitch(frequency: float, pitch: int) -> None:
    corrected = extract(tone(frequency), RATE, compat="corrected")[5]
    assert corrected[21:33].argmax() == pitch


def test_the_reference_loses_lines_that_are_not_the_last_of_their_index() -> None:
    assert extract(tone(500), RATE)[5, 21:33].max() < 1e-6  # 520 Hz has the same index


@pytest.mark.parametrize("frequency", [400.0, 700.0, 1500.0, 3000.0])
def test_corrected_filters_lie_at_their_nominal_frequencies(frequency: float) -> None:
    centres = 133.33 + np.arange(1, 13) * (200 / 3)
    centres = np.concatenate([centres, centres[-1] * 1.0711703 ** np.arange(1, 29)])
    spectrum = np.abs(np.fft.rfft(tone(frequency)[:1600]))[:800]
    for compat, place in (("corrected", frequency), ("pyaudioanalysis", 2 * frequency)):
        bank = make_bank(RATE, 1600, compat)
        loudest = (spectrum[: len(bank.filters)] @ bank.filters / bank.filters.max(axis=0)).argmax()
        assert abs(centres[loudest] - place) < 0.08 * place


@pytest.mark.parametrize("length", [1600, 1601, 800])
def test_corrected_centroid_of_a_tone_is_its_frequency(length: int) -> None:
    """Tones of a whole number of periods a window: one spectral line. The reference has it one line too high."""
    resolution = RATE / length
    for line in (22, 50, 100):
        wave = tone(line * resolution)[: 4 * length]
        plain, corrected = (
            extract(wave, RATE, length / RATE, length / RATE, compat=compat)[0, 3:5] * RATE / 2
            for compat in ("pyaudioanalysis", "corrected")
        )
        assert corrected == pytest.approx([line * resolution, 0], abs=1.0)
        assert plain[0] == pytest.approx((line + 1) * resolution, abs=1.0)


def test_only_filters_chroma_and_centroid_are_corrected() -> None:
    noise = generator(5).normal(size=RATE)
    plain, corrected = extract(noise, RATE), extract(noise, RATE, compat="corrected")
    assert [FEATURE_NAMES[i] for i in range(8) if np.abs(plain[:, i] - corrected[:, i]).max() > 1e-9] == [
        "spectral_centroid"
    ]
    # All lines lie lower by one, so that their spread is the same.
    np.testing.assert_allclose(corrected[:, 3], plain[:, 3] - 1 / 800, atol=1e-9)
    assert np.abs(plain[:, 8:] - corrected[:, 8:]).max() > 0.01


def test_what_gives_no_features_is_said() -> None:
    with pytest.raises(UserError, match="NaN or infinite"):
        extract(np.array([0.0, np.nan] * 2000), RATE)
    with pytest.raises(UserError, match="one channel"):
        extract(np.zeros((2, 2000)), RATE)
    with pytest.raises(UserError, match="too short"):
        extract(np.zeros(2000), RATE, window=0.01, hop=0.01)
    with pytest.raises(UserError, match="sampling rate of 6000"):
        extract(np.zeros(2000), 6000)
    with pytest.raises(UserError, match="compat"):
        extract(np.zeros(2000), RATE, compat="other")  # type: ignore[arg-type]
    assert extract(np.zeros(2000), RATE, window=0.01, hop=0.01, compat="corrected").shape == (12, 34)


def test_settings_have_a_fingerprint() -> None:
    assert fingerprint(FeatureSettings()) == fingerprint(FeatureSettings(window=0.1))
    assert fingerprint(FeatureSettings()) != fingerprint(FeatureSettings(compat="corrected"))
