"""`svm`: a linear support vector machine on statistics of the features, the standing control of every network.

Lin & Wei, "Speech emotion recognition based on HMM and SVM" (ICMLC 2005), classify statistics of short-term features;
so does the usual baseline of the field (Schuller, Steidl & Batliner, "The INTERSPEECH 2009 Emotion Challenge").
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotion.classifiers.base import Classifier, Context
from emotion.classifiers.linear import LinearMachine, LinearSettings, fit_linear_machine
from emotion.data.examples import STATISTICS, Examples

_FILE = "svm.safetensors"


@dataclass(frozen=True)
class FittedSvm:
    """A machine on the vectors of each utterance that have these names, side by side."""

    machine: LinearMachine
    sources: tuple[str, ...]

    def predict_proba(self, examples: Examples) -> np.ndarray:
        return self.machine.predict_proba(_vectors(examples, self.sources))

    def save(self, folder: Path) -> None:
        self.machine.save(folder / _FILE)

    @property
    def facts(self) -> dict[str, Any]:
        return self.machine.facts


class Svm(Classifier):
    """Mean, deviation and deviation of the change of each feature -> linear support vector machine."""

    name, title = "svm", "linear SVM on statistics"
    inputs = frozenset({STATISTICS})
    settings: type[LinearSettings] = LinearSettings
    sources: tuple[str, ...] = (STATISTICS,)
    uses_development, calibrated, deterministic = False, True, True

    def fit(self, train: Examples, development: Examples, context: Context) -> FittedSvm:
        own = context.settings.of(self.name, self.settings)
        x = _vectors(train, self.sources)
        machine = fit_linear_machine(x, train.labels, train.speakers, len(context.labels), own)
        return FittedSvm(machine, self.sources)

    def load(self, folder: Path, context: Context) -> FittedSvm:
        return FittedSvm(LinearMachine.load(folder / _FILE, len(context.labels)), self.sources)


def _vectors(examples: Examples, sources: tuple[str, ...]) -> np.ndarray:
    return np.hstack([getattr(examples, source) for source in sources])
