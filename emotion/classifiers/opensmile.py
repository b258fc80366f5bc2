"""`egemaps`, `compare`: openSMILE's functionals of an utterance, and a linear support vector machine.

Eyben et al., "The Geneva minimalistic acoustic parameter set (GeMAPS) for voice research and affective computing" (IEEE
Transactions on Affective Computing 2016): 88 functionals in the extended set. Schuller et al., "The INTERSPEECH 2016
computational paralinguistics challenge": 6,373 functionals. Both are what the field compares with.

openSMILE (extra `opensmile`) is free for research and education only: see its licence.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from emotion.classifiers.base import Classifier, Context
from emotion.classifiers.linear import LinearSettings
from emotion.classifiers.waveform_machine import WaveformMachine, WaveformVectors
from emotion.data.audio_inputs import load_waveform
from emotion.data.examples import WAVEFORM, Examples
from speech2vec.corpus.manifest import Utterance
from speech2vec.runtime.errors import UserError

_SAMPLING_RATE = 16000


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


class OpenSmile(Classifier):
    """Functionals of a set of features -> linear support vector machine."""

    feature_set: str
    inputs = frozenset({WAVEFORM})
    settings = LinearSettings
    uses_development, calibrated, deterministic = False, True, True

    def fit(self, train: Examples, development: Examples, context: Context) -> WaveformMachine:
        own = context.settings.of(self.name, LinearSettings)
        return WaveformMachine.fit(_vectors(self.feature_set), train, context, own)

    def load(self, folder: Path, context: Context) -> WaveformMachine:
        return WaveformMachine.load(folder, _vectors(self.feature_set), context)


class Egemaps(OpenSmile):
    """The extended Geneva minimalistic acoustic parameter set."""

    name, title, feature_set = "egemaps", "eGeMAPS, linear SVM", "eGeMAPSv02"


class Compare(OpenSmile):
    """The features of the computational paralinguistics challenge."""

    name, title, feature_set = "compare", "ComParE, linear SVM", "ComParE_2016"


@lru_cache
def _vectors(feature_set: str) -> WaveformVectors:
    return WaveformVectors(f"opensmile-levelled-{feature_set}", partial(functionals, feature_set=feature_set))
