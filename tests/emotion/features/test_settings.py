"""What stands beside the 34 features: each window's level, and log-mel energies as librosa computes them."""

import librosa
import numpy as np
import pytest

from emotion.features.logmel import log_mel
from emotion.features.pyaudioanalysis import extract
from emotion.features.settings import FeatureSettings, compute, window_level
from speech2vec.runtime.errors import UserError


def noise(seconds=1.0, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * 16000))


def test_level_is_the_window_s_loudness_whatever_the_peak():
    signal = noise()
    signal[8000:] *= 3
    quiet, loud = (window_level(gain * signal, extract(gain * signal, 16000)) for gain in (0.5, 1.0))
    np.testing.assert_allclose(loud - quiet, 20 * np.log10(2), atol=1e-6)
    frames = (signal - signal.mean()).reshape(10, 1600)
    np.testing.assert_allclose(loud[:, 0], 10 * np.log10((frames**2).mean(axis=1)), atol=1e-4)
    assert window_level(np.zeros(1600), extract(np.zeros(1600), 16000))[0, 0] == -100


@pytest.mark.parametrize(("window", "hop"), [(0.05, 0.025), (0.1, 0.1), (0.025, 0.01)])
def test_log_mel_is_librosa_s(window, hop):
    signal = noise(9).astype(np.float32)  # more windows than one block
    length = round(window * 16000)
    mel = librosa.feature.melspectrogram(
        y=signal, sr=16000, n_fft=length, hop_length=round(hop * 16000), n_mels=20, center=False
    )
    np.testing.assert_allclose(log_mel(signal, 16000, window, hop, 20), np.log(mel + 1e-6).T, atol=1e-3)


def test_columns_stand_side_by_side():
    signal = noise()
    settings = FeatureSettings(window=0.05, hop=0.025, level=True, n_mels=23)
    features = compute(signal, settings)
    assert features.shape == (39, 34 + 1 + 23) == (39, len(settings.names)) and features.dtype == np.float32
    np.testing.assert_allclose(features[:, :34], extract(signal, 16000, 0.05, 0.025), rtol=1e-6)
    np.testing.assert_allclose(features[:, 35:], log_mel(signal, 16000, 0.05, 0.025, 23), rtol=1e-5)
    assert settings.names[33:36] == ("chroma_std", "level", "log_mel_1")
    assert compute(signal[:799], settings).shape == (0, 58)
    np.testing.assert_allclose(compute(np.zeros(16000), settings)[:, 35:], np.log(1e-6), rtol=1e-6)


def test_filters_without_a_line_are_refused():
    with pytest.raises(UserError, match="mel filters contain no FFT bin of a window of 200 samples"):
        log_mel(noise(), 16000, 0.0125, 0.01, 80)
