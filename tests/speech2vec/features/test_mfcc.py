"""MFCC against librosa; frames of a word against a slow, obvious loop."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from speech2vec.corpus import audio
from speech2vec.features.mfcc import MfccSettings, frame_span, mfcc


def reference(samples: np.ndarray, settings: MfccSettings) -> np.ndarray:
    mel = librosa.feature.melspectrogram(
        y=samples.astype(np.float64),
        sr=settings.sampling_rate,
        n_fft=settings.n_fft,
        hop_length=settings.hop_length,
        win_length=settings.win_length,
        window="hann",
        center=True,
        pad_mode="constant",
        power=2.0,
        n_mels=settings.n_mels,
        fmin=settings.fmin,
        fmax=settings.fmax,
        dtype=np.float64,
    )
    return librosa.feature.mfcc(S=np.log(np.maximum(mel, settings.log_floor)), n_mfcc=settings.n_mfcc).T


def noise(n_samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(n_samples)).astype(np.float32)


@st.composite
def any_settings(draw: st.DrawFn) -> MfccSettings:
    n_fft = draw(st.sampled_from([256, 400, 512, 1024]))
    n_mels = draw(st.integers(20, 40))
    return MfccSettings(
        sampling_rate=draw(st.sampled_from([8000, 16000, 22050])),
        n_mfcc=draw(st.integers(1, n_mels)),
        hop_length=draw(st.integers(1, 500)),
        win_length=draw(st.integers(200, n_fft)),
        n_fft=n_fft,
        n_mels=n_mels,
        fmin=draw(st.sampled_from([0.0, 20.0, 133.3])),
        fmax=draw(st.sampled_from([None, 3800.0])),
        log_floor=draw(st.sampled_from([1e-10, 1e-5])),
    )


@hypothesis_settings(max_examples=40)
@given(any_settings(), st.integers(1024, 5000), st.integers(0, 9))
@pytest.mark.filterwarnings("ignore:Empty filters detected")
def test_noise_as_librosa(settings: MfccSettings, n_samples: int, seed: int) -> None:
    samples = noise(n_samples, seed)
    found = mfcc(samples, settings)
    assert found.dtype == np.float32
    assert found.shape == (1 + n_samples // settings.hop_length, settings.n_mfcc)
    np.testing.assert_allclose(found, reference(samples, settings), atol=1e-4)


@pytest.mark.parametrize("n_samples", [1, 159, 160, 161, 399, 400, 40959, 40960, 41120, 100000])
def test_any_length_as_librosa(n_samples: int) -> None:
    """Around the length of a hop, of a window, and of the frames that are computed at once."""
    samples = noise(n_samples)
    settings = MfccSettings()
    padded = np.pad(samples, (0, max(0, 512 - n_samples)))  # librosa warns of a signal shorter than n_fft
    expected = reference(padded, settings)[: 1 + n_samples // settings.hop_length]
    np.testing.assert_allclose(mfcc(samples, settings), expected, atol=1e-4)


def test_silence_and_a_signal_without_samples() -> None:
    settings = MfccSettings()
    silence = mfcc(np.zeros(1600, np.float32), settings)
    np.testing.assert_allclose(silence[:, 0], np.log(1e-10) * np.sqrt(settings.n_mels), rtol=1e-5)
    np.testing.assert_allclose(silence[:, 1:], 0, atol=1e-3)
    assert mfcc(np.zeros(0, np.float32), settings).shape == (1, 13)


def test_a_click_is_in_the_frames_around_its_time() -> None:
    """Frame i is centred at i times the hop: a click at 0.500 s is loudest in frame 50."""
    samples = np.zeros(16000, np.float32)
    samples[8000] = 1.0
    energy = mfcc(samples)[:, 0]
    assert int(energy.argmax()) == 50
    np.testing.assert_allclose(energy[49], energy[51], rtol=1e-4)


def test_the_input_is_not_changed() -> None:
    samples = noise(5000)
    before = samples.copy()
    mfcc(samples)
    np.testing.assert_array_equal(samples, before)


@pytest.mark.corpus
def test_real_speech_as_librosa(librispeech: Path) -> None:
    settings = MfccSettings()
    files = [*sorted(librispeech.rglob("*.flac"))[::60], *sorted(librispeech.rglob("*.mp3"))[::300]]
    assert len(files) > 8
    for file in files:
        samples = audio.load(file)
        np.testing.assert_allclose(mfcc(samples, settings), reference(samples, settings), atol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"win_length": 513}, "exceeds n_fft"),
        ({"n_mfcc": 41}, "exceeds n_mels"),
        ({"fmax": 8001.0}, "fmax <= sampling_rate"),
        ({"fmin": 8000.0}, "fmin < fmax"),
        ({"n_fft": 513}, "multiple of 2"),
        ({"hop_length": 0}, "greater than or equal to 1"),
        ({"normalise": "word"}, "'speaker', 'utterance', 'corpus' or 'none'"),
    ],
)
def test_settings_that_do_not_fit_each_other(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        MfccSettings.model_validate(wrong)


def obvious_span(start: float, end: float, settings: MfccSettings) -> tuple[int, int]:
    """Count frames up until one centre lies in the word, and on until one does not."""
    slack = Fraction(1, 10**6)
    shift = Fraction(settings.hop_length, settings.sampling_rate)
    first = 0
    while shift * first < Fraction(start) - slack:
        first += 1
    last = first
    while shift * last < Fraction(end) - slack:
        last += 1
    if last > first:
        return first, last
    middle = (Fraction(start) + Fraction(end)) / 2
    nearest = min(range(first + 2), key=lambda frame: abs(shift * frame - middle))
    return nearest, nearest + 1


# Times on a grid of 0.1 ms, as aligners write them, and exact halves left out (either neighbour is as near).
@given(st.integers(0, 30000), st.integers(0, 20000), st.sampled_from([(16000, 160), (16000, 200), (22050, 221)]))
def test_frames_of_a_word_as_an_obvious_loop_finds_them(start: int, length: int, rates: tuple[int, int]) -> None:
    settings = MfccSettings(sampling_rate=rates[0], hop_length=rates[1])
    first, last = frame_span(np.array([start / 1e4]), np.array([(start + length) / 1e4]), settings.frame_shift)
    found = int(first[0]), int(last[0])
    expected = obvious_span(start / 1e4, (start + length) / 1e4, settings)
    if expected[1] - expected[0] == 1 == found[1] - found[0] and expected != found:
        middle = (start + length / 2) / 1e4 / settings.frame_shift
        assert abs(middle - np.floor(middle) - 0.5) < 1e-6, "only where two frames are as near"
    else:
        assert found == expected


@given(st.lists(st.integers(1, 100), min_size=1, max_size=30))
def test_words_that_touch_share_no_frame_and_lose_none(lengths: list[int]) -> None:
    edges = np.concatenate([[0], np.cumsum(lengths)]) / 100
    first, last = frame_span(edges[:-1], edges[1:], 0.01)
    assert first[0] == 0
    np.testing.assert_array_equal(first[1:], last[:-1])
    np.testing.assert_array_equal(last - first, lengths)


@pytest.mark.parametrize("settings", [{"fmax": 0}, {"fmax": -1}, {"log_floor": float("inf")}])
def test_settings_of_no_filter_bank_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        MfccSettings(**settings)
