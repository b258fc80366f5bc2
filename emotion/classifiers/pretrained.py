"""`pretrained`: a linear support vector machine on a frozen audio encoder, what one would use today.

Statistics over time of the activations of a network that learned from much other speech, as in SUPERB (Yang et al.,
2021), whose weighted sum of layers is here a choice of layers: those in the middle, where voice and prosody still are.
An encoder that learned to recognise words keeps them least in its last layer.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from emotion.data.normalise import Scaler
from speech2vec.corpus.manifest import Utterance
from speech2vec.features.pretrained import PretrainedEncoder, open_encoder
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import read_json, write_json

_MACHINE_FILE, _ENCODER_FILE = "pretrained.safetensors", "pretrained.json"
_PERCENTILES = (10, 50, 90)
_IN_MEMORY = 4096  # utterances: the classifiers of all folds and seeds predict the same ones


class PretrainedSettings(LinearSettings):
    """Settings of the classifier `pretrained`, with those of its linear support vector machine.

    Parameters
    ----------
    encoder : str
        A folder, or a name in the cache of Hugging Face (docs/pretrained.md); must be given.
    layers : tuple of int
        Whose frames are used: 0 is the input of the first layer. Empty: all between the first layer's output and the
        last layer's, without the latter.
    """

    encoder: str = ""
    layers: tuple[int, ...] = ()


@dataclass(frozen=True)
class FittedPretrained:
    """A machine on statistics of an encoder's frames.

    Parameters
    ----------
    machine : LinearMachine
    encoder : PretrainedEncoder
    layers : tuple of int
    by_speaker : bool
        Standardise each speaker's statistics over the utterances given at once.
    """

    machine: LinearMachine
    encoder: PretrainedEncoder
    layers: tuple[int, ...]
    by_speaker: bool

    def predict_proba(self, examples: Examples) -> np.ndarray:
        return self.machine.predict_proba(_statistics(examples, self.encoder, self.layers, self.by_speaker, None))

    def save(self, folder: Path) -> None:
        self.machine.save(folder / _MACHINE_FILE)
        described = {"encoder": self.encoder.name, "weights": self.encoder.weights, "layers": list(self.layers)}
        write_json(folder / _ENCODER_FILE, {**described, "by_speaker": self.by_speaker})

    @property
    def facts(self) -> dict[str, Any]:
        return {**self.machine.facts, "encoder": self.encoder.name, "weights": self.encoder.weights}


class Pretrained(Classifier):
    """Statistics of a frozen encoder's frames -> linear support vector machine."""

    name, title = "pretrained", "frozen encoder, linear SVM"
    inputs = frozenset({WAVEFORM})
    settings = PretrainedSettings

    def fit(self, train: Examples, development: Examples, context: Context) -> FittedPretrained:
        own = context.settings.of(self.name, PretrainedSettings)
        if not own.encoder:
            raise UserError("--model pretrained needs --set pretrained.encoder=NAME_OR_FOLDER (docs/pretrained.md)")
        encoder = open_encoder(own.encoder)
        layers = own.layers or tuple(range(1, encoder.n_layers)) or (encoder.n_layers,)
        for layer in layers:
            encoder.check_layer(layer)
        by_speaker = context.settings.training.normalisation == "speaker"
        x = _statistics(train, encoder, layers, by_speaker, context.cache)
        machine = fit_linear_machine(x, train.labels, train.speakers, len(context.labels), own)
        return FittedPretrained(machine, encoder, layers, by_speaker)

    def load(self, folder: Path, context: Context) -> FittedPretrained:
        described = read_json(folder / _ENCODER_FILE)
        encoder = open_encoder(described["encoder"])
        if encoder.weights != described["weights"]:
            raise UserError(f"the encoder {encoder.name} has other weights than the one that {folder} was trained on")
        machine = LinearMachine.load(folder / _MACHINE_FILE, len(context.labels))
        return FittedPretrained(machine, encoder, tuple(described["layers"]), described["by_speaker"])


def _statistics(
    examples: Examples, encoder: PretrainedEncoder, layers: tuple[int, ...], by_speaker: bool, cache: Path | None
) -> np.ndarray:
    """[shape=(n_utterances, n_statistics)]"""
    assert examples.waveform is not None  # asked for

    def compute(utterance: Utterance) -> np.ndarray:
        place = utterance.audio, utterance.start, utterance.end, utterance.channel
        return _statistics_at(place, encoder, layers)

    name = f"pretrained-{encoder.weights}-{'-'.join(map(str, layers))}"
    x = cached_vectors(examples.waveform, compute, cache, name)
    if by_speaker:
        for speaker in set(examples.speakers):
            rows = np.flatnonzero(examples.speakers == speaker)
            x[rows] = Scaler.fit([x[rows]])(x[rows])
    return x


@lru_cache(maxsize=_IN_MEMORY)
def _statistics_at(
    place: tuple[Path, float | None, float | None, int | None], encoder: PretrainedEncoder, layers: tuple[int, ...]
) -> np.ndarray:
    """Of a file's section and channel."""
    samples = load_waveform(Utterance("", place[0], "", "", *place[1:]))
    return layer_statistics(encoder.encode_layers(samples, layers=layers))


def layer_statistics(frames: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Mean, deviation and percentiles 10, 50 and 90 over time.

    [shape=(n_layers, n_frames, hidden_size)] -> [shape=(5 * n_layers * hidden_size,)], float32

    Examples
    --------
    >>> layer_statistics(np.array([[[0.0], [1.0], [2.0]]])).round(2)
    array([1.  , 0.82, 0.2 , 1.  , 1.8 ], dtype=float32)
    """
    values = np.asarray(frames, dtype=np.float32)
    percentiles = np.percentile(values, _PERCENTILES, axis=1)
    return np.concatenate([values.mean(axis=1)[None], values.std(axis=1)[None], percentiles]).ravel().astype(np.float32)
