"""A linear support vector machine on one vector of each recording's waveform: of openSMILE, or of a frozen encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from emotion.classifiers.base import Context
from emotion.classifiers.linear import LinearMachine, LinearSettings, fit_linear_machine
from emotion.data.cache import cached_vectors
from emotion.data.examples import Examples
from emotion.data.normalise import mean_of_speakers, normalise_vectors
from emotion.settings import Normalisation
from speech2vec.corpus.manifest import Utterance
from speech2vec.runtime.guarded import check_arrays

_IN_MEMORY = 4096  # recordings: the classifiers of all folds and seeds predict the same ones
_MACHINE_FILE, _POPULATION_FILE = "machine.safetensors", "population.safetensors"


@dataclass(frozen=True, eq=False)
class WaveformVectors:
    """A way from a recording to a vector; one object for all folds, as it remembers the vectors of recordings.

    Parameters
    ----------
    name : str
        Of the kind of vector, with everything that its values depend on.
    compute : callable
        Utterance -> ndarray [shape=(n_features,)], float32.
    facts : mapping
        What to note of it in a run.
    """

    name: str
    compute: Callable[[Utterance], np.ndarray]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def of(self, examples: Examples) -> np.ndarray:
        """[shape=(n_utterances, n_features)], float32."""
        assert examples.waveform is not None  # asked for
        return cached_vectors(examples.waveform, self._remembered, examples.cache, self.name)

    def _remembered(self, utterance: Utterance) -> np.ndarray:
        return _vector_at(self, (utterance.audio, utterance.start, utterance.end, utterance.channel))


@lru_cache(maxsize=_IN_MEMORY)
def _vector_at(vectors: WaveformVectors, place: tuple[Path, float | None, float | None, int | None]) -> np.ndarray:
    """Of a file's section and channel."""
    return vectors.compute(Utterance("", place[0], "", "", *place[1:]))


@dataclass(frozen=True)
class WaveformMachine:
    """A linear machine on vectors of recordings.

    Parameters
    ----------
    machine : LinearMachine
    vectors : WaveformVectors
    how : {"training", "speaker", "speaker-mean", "corpus", "none"}
        Normalisation of the vectors of utterances given at once; see `emotion.data.normalise.normalise`.
    population : ndarray [shape=(n_features,)]
        `mean_of_speakers` of the training part.
    """

    machine: LinearMachine
    vectors: WaveformVectors
    how: Normalisation
    population: np.ndarray

    @classmethod
    def fit(
        cls, vectors: WaveformVectors, train: Examples, context: Context, settings: LinearSettings
    ) -> WaveformMachine:
        """Train on the vectors of recordings."""
        x, how = vectors.of(train), context.settings.training.normalisation
        population = mean_of_speakers(list(x[:, None]), train.speakers.tolist())
        x = normalise_vectors(x, train.speakers.tolist(), how, population)
        machine = fit_linear_machine(x, train.labels, train.speakers, len(context.labels), settings)
        return cls(machine, vectors, how, population)

    def predict_proba(self, examples: Examples) -> np.ndarray:
        x = normalise_vectors(self.vectors.of(examples), examples.speakers.tolist(), self.how, self.population)
        return self.machine.predict_proba(x)

    def save(self, folder: Path) -> None:
        self.machine.save(folder / _MACHINE_FILE)
        save_file({"population": self.population}, folder / _POPULATION_FILE)

    @classmethod
    def load(cls, folder: Path, vectors: WaveformVectors, context: Context) -> WaveformMachine:
        machine = LinearMachine.load(folder / _MACHINE_FILE, len(context.labels))
        population = load_file(folder / _POPULATION_FILE)["population"]
        check_arrays({"population": population}, {"population": machine.mean.shape})
        return cls(machine, vectors, context.settings.training.normalisation, population)

    @property
    def facts(self) -> dict[str, Any]:
        return {**self.machine.facts, **self.vectors.facts}
