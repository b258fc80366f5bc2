"""`egemaps`, `compare`: openSMILE's functionals of an utterance, and a linear support vector machine.

Eyben et al., "The Geneva minimalistic acoustic parameter set (GeMAPS) for voice research and affective computing" (IEEE
Transactions on Affective Computing 2016): 88 functionals in the extended set. Schuller et al., "The INTERSPEECH 2016
computational paralinguistics challenge": 6,373 functionals. Both are what the field compares with.

openSMILE (extra `opensmile`) is free for research and education only: see its licence.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from emotion.classifiers.base import Classifier, Context
from emotion.classifiers.linear import LinearMachine, LinearSettings, fit_linear_machine
from emotion.data.audio_inputs import load_waveform
from emotion.data.cache import cached_vectors
from emotion.data.examples import WAVEFORM, Examples
from emotion.data.normalise import normalise_by_speaker
from speech2vec.corpus.manifest import Utterance
from speech2vec.runtime.errors import UserError

_SAMPLING_RATE = 16000
_FILE = "opensmile.safetensors"


@lru_cache(maxsize=2)
def _extractor(feature_set: str) -> Any:
    try:
        import opensmile
    except (ImportError, OSError) as error:
        raise UserError("egemaps and compare need openSMILE: pip install 'speech2vec-emotion[opensmile]'") from error
    return opensmile.Smile(opensmile.FeatureSet[feature_set], opensmile.FeatureLevel.Functionals)


def functionals(utterance: Utterance, feature_set: str) -> np.ndarray:
    """Compute the functionals of an utterance [shape=(n_functionals,)], float32; what is not finite is 0."""
    extractor = _extractor(feature_set)
    signal = load_waveform(utterance, _SAMPLING_RATE)
    signal = np.pad(signal, (0, max(0, _SAMPLING_RATE // 10 - len(signal))))  # it needs some frames
    values = extractor.process_signal(signal, _SAMPLING_RATE).to_numpy(dtype=np.float32)[0]
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


@dataclass(frozen=True)
class FittedOpenSmile:
    """A machine on functionals."""

    machine: LinearMachine
    feature_set: str
    context: Context

    def predict_proba(self, examples: Examples) -> np.ndarray:
        return self.machine.predict_proba(_vectors(examples, self.feature_set, self.context))

    def save(self, folder: Path) -> None:
        self.machine.save(folder / _FILE)

    @property
    def facts(self) -> dict[str, Any]:
        return self.machine.facts


class OpenSmile(Classifier):
    """Functionals of a set of features -> linear support vector machine."""

    feature_set: str
    inputs = frozenset({WAVEFORM})
    settings = LinearSettings
    uses_development = False

    def fit(self, train: Examples, development: Examples, context: Context) -> FittedOpenSmile:
        own = context.settings.of(self.name, LinearSettings)
        x = _vectors(train, self.feature_set, context)
        machine = fit_linear_machine(x, train.labels, train.speakers, len(context.labels), own)
        return FittedOpenSmile(machine, self.feature_set, context)

    def load(self, folder: Path, context: Context) -> FittedOpenSmile:
        return FittedOpenSmile(LinearMachine.load(folder / _FILE, len(context.labels)), self.feature_set, context)


class Egemaps(OpenSmile):
    """The extended Geneva minimalistic acoustic parameter set."""

    name, title, feature_set = "egemaps", "eGeMAPS, linear SVM", "eGeMAPSv02"


class Compare(OpenSmile):
    """The features of the computational paralinguistics challenge."""

    name, title, feature_set = "compare", "ComParE, linear SVM", "ComParE_2016"


def _vectors(examples: Examples, feature_set: str, context: Context) -> np.ndarray:
    """The functionals of utterances; of each speaker standardised, if the settings say so."""
    assert examples.waveform is not None  # asked for

    def compute(utterance: Utterance) -> np.ndarray:
        return functionals(utterance, feature_set)

    x = cached_vectors(examples.waveform, compute, context.cache, f"opensmile-levelled-{feature_set}")
    if context.settings.training.normalisation == "speaker":
        x = np.concatenate(normalise_by_speaker(list(x[:, None]), list(examples.speakers)))
    return x
