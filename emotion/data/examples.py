"""Utterances as classifiers receive them: the inputs that a classifier asks for, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from emotion.data.normalise import Scaler, mean_of_speakers, normalise
from emotion.settings import Normalisation
from speech2vec.corpus.manifest import Utterance
from speech2vec.corpus.transcripts import tokenize

# What a classifier can ask for.
FRAMES, STATISTICS, SPECTROGRAM, WAVEFORM = "frames", "statistics", "spectrogram", "waveform"
FUNCTIONALS = "functionals"
WORDS, VECTORS = "words", "vectors"
AUDIO_INPUTS = frozenset({FRAMES, STATISTICS, SPECTROGRAM, WAVEFORM, FUNCTIONALS})
TEXT_INPUTS = frozenset({WORDS, VECTORS})
INPUTS = AUDIO_INPUTS | TEXT_INPUTS


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Utterances as inputs of a classifier; what it did not ask for is None.

    Parameters
    ----------
    labels : ndarray [shape=(n_utterances,)], int64
        Indices of classes; zeros where they are not known.
    speakers : ndarray [shape=(n_utterances,)], object
    frames : list of ndarray [shape=(n_windows, n_features)], float32
        The prepared features.
    statistics : ndarray [shape=(n_utterances, 3 * n_features)], float32
        Mean, deviation, and deviation of the window-to-window change of each feature (`statistics`), not
        standardised.
    functionals : ndarray [shape=(n_utterances, 134)], float32
        Statistics of the contours of the voice (`emotion.features.functionals`), not standardised.
    spectrogram : list of ndarray [shape=(n_windows, n_mels)], float32
        Log-mel energies of the audio (`emotion.settings.SpectrogramSettings`), not normalised.
    waveform : list of Utterance
        Where the audio lies; `emotion.data.audio_inputs.load_waveform` loads it.
    words : list of list of str
        The words of each transcript.
    vectors : list of ndarray
        Each word as a row of the table of word vectors [shape=(n_words,)], int64, or as a vector of its own
        [shape=(n_words, vector_size)], float32.
    cache : Path or None
        A folder that keeps what is slow to compute from the ``waveform``; None for new recordings.
    """

    labels: np.ndarray
    speakers: np.ndarray
    frames: list[np.ndarray] | None = None
    statistics: np.ndarray | None = None
    functionals: np.ndarray | None = None
    spectrogram: list[np.ndarray] | None = None
    waveform: list[Utterance] | None = None
    words: list[list[str]] | None = None
    vectors: list[np.ndarray] | None = None
    cache: Path | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, rows: np.ndarray) -> Examples:
        """The utterances of these rows, in this order."""
        chosen: dict[str, Any] = {}
        for field in fields(self):
            values = getattr(self, field.name)
            chosen[field.name] = [values[i] for i in rows] if isinstance(values, list) else values
            if isinstance(values, np.ndarray):
                chosen[field.name] = values[rows]
        return Examples(**chosen)

    def population(self) -> dict[str, np.ndarray]:
        """Means over the speakers of ``frames``, ``statistics`` and ``functionals``, for `normalised`."""
        return {name: mean_of_speakers(own, self.speakers.tolist()) for name, own in self._sounds().items()}

    def normalised(self, how: Normalisation, population: Mapping[str, np.ndarray] | None = None) -> Examples:
        """With ``frames``, ``statistics`` and ``functionals`` normalised by the recordings of these examples.

        Parameters
        ----------
        how : {"training", "speaker", "speaker-mean", "corpus", "none"}
            See `emotion.data.normalise.normalise`.
        population : mapping of str to ndarray, or None
            `population` of the training part; None takes that of these examples, as does an input it lacks.
        """
        means, speakers = population or {}, self.speakers.tolist()
        found: dict[str, Any] = {}
        for name, own in self._sounds().items():
            rows = normalise(own, speakers, how, means.get(name)) if own else own
            found[name] = rows if name == FRAMES or not rows else np.concatenate(rows)
        return replace(self, **found)

    def _sounds(self) -> dict[str, list[np.ndarray]]:
        """What is normalised, as lists of [shape=(n_rows, n_features)]."""
        given = {FRAMES: self.frames, STATISTICS: self.statistics, FUNCTIONALS: self.functionals}
        return {
            name: own if isinstance(own, list) else list(own[:, np.newaxis])
            for name, own in given.items()
            if own is not None
        }

    def scaled(self, scaler: Scaler | None) -> Examples:
        """With each feature of the frames standardised."""
        if scaler is None or self.frames is None:
            return self
        return replace(self, frames=[scaler(segment) for segment in self.frames])


def make_examples(
    inputs: Collection[str],
    *,
    labels: np.ndarray,
    speakers: Sequence[str],
    frames: Sequence[np.ndarray],
    texts: Sequence[str],
    utterances: Sequence[Utterance],
    vectors: list[np.ndarray] | None = None,
    functionals: np.ndarray | None = None,
    spectrogram: list[np.ndarray] | None = None,
    cache: Path | None = None,
) -> Examples:
    """Utterances as the inputs asked for, not normalised; what is given and not asked for is left out.

    Parameters
    ----------
    inputs : collection of str
        Of `INPUTS`.
    frames : sequence of ndarray [shape=(n_windows, n_features)]
        As extracted.
    cache : Path or None
        See `Examples`.
    """
    return Examples(
        labels=labels,
        speakers=np.array(speakers, dtype=object),
        frames=list(frames) if FRAMES in inputs else None,
        statistics=np.stack([statistics(own) for own in frames]) if STATISTICS in inputs else None,
        functionals=functionals if FUNCTIONALS in inputs else None,
        spectrogram=spectrogram if SPECTROGRAM in inputs else None,
        waveform=list(utterances) if WAVEFORM in inputs else None,
        words=[tokenize(text) for text in texts] if WORDS in inputs else None,
        vectors=vectors if VECTORS in inputs else None,
        cache=cache,
    )


def statistics(windows: np.ndarray) -> np.ndarray:
    """Mean, deviation and deviation of the change between windows: [shape=(T, F)] -> [shape=(3 * F,)], float32."""
    windows = np.asarray(windows, dtype=np.float64)
    n_features = windows.shape[1]
    mean = windows.mean(axis=0) if len(windows) else np.zeros(n_features)
    deviation = windows.std(axis=0) if len(windows) else np.zeros(n_features)
    change = np.diff(windows, axis=0).std(axis=0) if len(windows) > 1 else np.zeros(n_features)
    return np.concatenate((mean, deviation, change)).astype(np.float32)
