"""Made-up sounds: what has the changes of speech without its words, and what has not (silence, noise, tones)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import scipy.signal

RATE = 16000


def babble(seconds: float, seed: int = 0) -> np.ndarray:
    """Vowel-like, noise-like and quiet stretches of 50 to 150 ms [shape=(n_samples,)]: changes as speech does."""
    random = np.random.default_rng(seed)
    n_samples, pieces, n = round(seconds * RATE), [np.zeros(0)], 0
    while n < n_samples:
        length = int(random.integers(800, 2400))
        kind = random.integers(4)
        noise = random.standard_normal(length)
        if kind < 2:  # pulses of a changing pitch through a random formant
            phase = np.cumsum(np.linspace(*random.uniform(90, 250, 2), length)) / RATE
            centre, radius = random.uniform(300, 2500), 0.97
            resonance = [1, -2 * radius * np.cos(2 * np.pi * centre / RATE), radius**2]
            piece = scipy.signal.lfilter([1], resonance, np.diff(np.floor(phase), prepend=0) + 0.001 * noise)
        elif kind == 2:
            piece = 0.1 * np.diff(noise, prepend=0)
        else:
            piece = 0.002 * noise
        pieces.append(0.2 * piece / max(1.0, np.abs(piece).max()) * np.hanning(length))
        n += length
    return np.concatenate(pieces)[:n_samples].astype(np.float32)


def _noise(level: float) -> Callable[[float, int], np.ndarray]:
    return lambda seconds, seed: np.random.default_rng(seed).normal(0, level, round(seconds * RATE))


def _pink(seconds: float, seed: int) -> np.ndarray:
    return scipy.signal.lfilter([0.03], [1, -0.97], np.random.default_rng(seed).standard_normal(round(seconds * RATE)))


def _notes(
    per_second: float, chord: tuple[float, ...], decay: float, vibrato: float = 0.0
) -> Callable[[float, int], np.ndarray]:
    """Notes of five harmonics in equal temperament."""

    def play(seconds: float, seed: int) -> np.ndarray:
        random = np.random.default_rng(seed)
        time = np.arange(round(seconds * RATE)) / RATE
        within = time % (1 / per_second)
        keys = random.integers(0, 13, round(seconds * per_second) + 1)
        lowest = 220 * 2 ** (keys[(time * per_second).astype(int)] / 12)
        sound = sum(
            np.sin(2 * np.pi * lowest * ratio * h * within + vibrato * np.sin(10 * np.pi * within)) / h
            for ratio in chord
            for h in range(1, 6)
        )
        return 0.1 * np.asarray(sound) * np.exp(-decay * within)

    return play


NOT_SPEECH: Mapping[str, Callable[[float, int], np.ndarray]] = {
    "digital silence": lambda seconds, seed: np.zeros(round(seconds * RATE)),
    "dither": _noise(1e-5),
    "quiet noise": _noise(1e-3),
    "white noise": _noise(0.1),
    "pink noise": _pink,
    "sine": lambda seconds, seed: 0.2 * np.sin(880 * np.pi * np.arange(round(seconds * RATE)) / RATE),
    "chords": _notes(4, (1, 1.25, 1.5), 4.0),
    "steady chords": _notes(4, (1, 1.25, 1.5), 0.0),
    "melody": _notes(4, (1,), 4.0),
    "vibrato": _notes(3, (1, 1.25, 1.5), 2.0, 3.0),
}
