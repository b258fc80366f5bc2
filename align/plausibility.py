"""Whether audio that was aligned can be speech: silence, noise and tones are aligned with any words, if a beam is wide.

The limits are far outside what speech measures. In brackets: the extreme of the 1,617 utterances of LibriSpeech that
``docs/alignment.md`` names; then what noise and tones of ``tests/align/sounds.py`` measure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from speech2vec.corpus.manifest import Word

QUIETEST = -75.0  # dB of full scale, of the loudest frames [-39; digital silence -120]
LEAST_CHANGE = 3.2  # dB, of the spectrum's shape over time [5.4, of words cut out alone 3.5; noise 2.9]
STEADIEST = 0.88  # correlation of spectra 64 ms apart [0.77, of words alone 0.84; chords and melodies 0.91 to 1]
LONGEST_WORD = 3.0  # seconds [1.3]
# PocketSphinx's score, log-likelihood per frame below the best state [-2.4; noise -6 to -15, tones -4 to -8].
LOWEST_SCORE = -6.0
LOW_SCORE, LEVEL_DYNAMICS = -3.0, 8.0  # together, with dynamics in dB: a poor score, and a level that hardly changes

_FRAME, _SHIFT, _FFT = 400, 160, 512  # samples at 16 kHz: 25 and 10 ms
_LONG_FRAME = 1024  # resolves the harmonics of a voice
_SAMPLING_RATE = 16000
# Up to what telephones transmit: above, their spectrum stands still.
_EDGES = np.unique(np.round(np.geomspace(3, 110, 11)).astype(int))  # of bands, 94 to 3,440 Hz
_HARMONICS = slice(10, 220)  # 156 to 3,440 Hz
_LOUD = 30.0  # dB: frames that are quieter than the loudest by more do not count
_FEWEST = 10  # frames, below which nothing is said about the sound


def find_implausible(words: Sequence[Word], samples: np.ndarray, offset: float = 0.0, scored: bool = False) -> str:
    """Say why the aligned audio cannot be speech; "" if it can.

    Parameters
    ----------
    words : sequence of Word
        Aligned, in time order.
    samples : ndarray [shape=(n_samples,)]
        The utterance's audio at 16 kHz.
    offset : float, seconds
        Where the utterance starts: the times of words count from the start of the file.
    scored : bool
        Whether the words' scores are PocketSphinx's.
    """
    longest = max(words, key=lambda word: word.end - word.start)
    if longest.end - longest.start > LONGEST_WORD:
        return f"'{longest.word}' would last {longest.end - longest.start:.1f} s"
    energy, shape = _spectrum(samples, words, offset)
    if len(energy) < _FEWEST:
        return ""
    loudest = float(np.percentile(energy, 95))
    if loudest < QUIETEST:
        return "it is silent where the words should be"
    loud = energy > loudest - _LOUD
    change = float(shape[loud].std(axis=0).mean())
    if change < LEAST_CHANGE:
        return f"its spectrum does not change, as that of noise (by {change:.1f} dB, that of speech by 5)"
    steadiness = _steadiness(samples)
    if steadiness > STEADIEST:
        return f"its tones stand still, as those of music (correlation {steadiness:.2f})"
    if scored:
        lengths = [max(word.end - word.start, 1e-3) for word in words]
        score = float(np.average([word.score or 0.0 for word in words], weights=lengths))
        dynamics = loudest - float(np.percentile(energy, 10))
        if score < LOWEST_SCORE or (score < LOW_SCORE and dynamics < LEVEL_DYNAMICS):
            return f"it does not sound like these words (score {score:.1f}, that of speech is above -3)"
    return ""


def _spectrum(samples: np.ndarray, words: Sequence[Word], offset: float) -> tuple[np.ndarray, np.ndarray]:
    """Energy in dB of full scale [shape=(n,)] and energy of each band relative to their mean [shape=(n, n_bands)].

    Of the frames within words; of all if the words have too few.
    """
    if len(samples) < _FRAME:
        return np.zeros(0), np.zeros((0, len(_EDGES) - 1))
    window = np.hanning(_FRAME)
    frames = sliding_window_view(samples, _FRAME)[::_SHIFT]
    times = offset + (np.arange(len(frames)) * _SHIFT + _FRAME / 2) / _SAMPLING_RATE
    inside = np.zeros(len(frames), dtype=bool)
    for word in words:
        inside[np.searchsorted(times, word.start) : np.searchsorted(times, word.end)] = True
    if inside.sum() >= _FEWEST:
        frames = frames[inside]
    power = np.abs(np.fft.rfft(frames * window, _FFT)) ** 2 / (_FFT * np.square(window).sum())
    bands = 10 * np.log10(np.add.reduceat(power[:, : _EDGES[-1]], _EDGES[:-1], axis=1) + 1e-15)
    return 10 * np.log10(2 * power.sum(axis=1) + 1e-12), bands - bands.mean(axis=1, keepdims=True)


def _steadiness(samples: np.ndarray) -> float:
    """Median correlation of the log spectra of loud frames 64 ms apart; 0 if there are too few."""
    if len(samples) < 3 * _LONG_FRAME:
        return 0.0
    frames = sliding_window_view(samples, _LONG_FRAME)[:: _LONG_FRAME // 2]
    power = np.abs(np.fft.rfft(frames * np.hanning(_LONG_FRAME))) ** 2
    energy = 10 * np.log10(power.sum(axis=1) + 1e-12)
    spectra = np.log(power[:, _HARMONICS] + 1e-9 * power.max() + 1e-30)
    spectra -= spectra.mean(axis=1, keepdims=True)
    spectra /= np.sqrt(np.square(spectra).sum(axis=1, keepdims=True)) + 1e-12
    loud = energy > np.percentile(energy, 95) - 20
    both = loud[2:] & loud[:-2]
    if both.sum() < 4:
        return 0.0
    return float(np.median((spectra[2:] * spectra[:-2]).sum(axis=1)[both]))
