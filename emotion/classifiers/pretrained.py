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
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from emotion.classifiers.base import Classifier, Context
from emotion.classifiers.linear import Cost, LinearSettings
from emotion.classifiers.waveform_machine import WaveformMachine, WaveformVectors
from emotion.data.audio_inputs import load_waveform
from emotion.data.examples import WAVEFORM, Examples
from speech2vec.corpus.manifest import Utterance
from speech2vec.features.pretrained import PretrainedEncoder, open_encoder
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import read_json, write_json

_ENCODER_FILE = "pretrained.json"
_PERCENTILES = (10, 50, 90)
Pooled = Literal["mean", "deviation", "percentiles"]
POOLING: tuple[Pooled, ...] = ("mean", "deviation", "percentiles")


class PretrainedSettings(LinearSettings):
    """Settings of the classifier `pretrained`, with those of its linear support vector machine.

    Parameters
    ----------
    encoder : str
        A folder, or a name in the cache of Hugging Face (docs/pretrained.md); must be given.
    layers : tuple of int
        Whose frames are used: 0 is the input of the first layer. Empty: all between the first layer's output and the
        last layer's, without the latter.
    pooling : tuple of {"mean", "deviation", "percentiles"}
        Statistics over time of each number of a frame; the percentiles are 10, 50 and 90.
    costs, multi_class
        There are more features than utterances, so that small costs separate all classes. A machine for each class
        against the rest was better on RAVDESS and no worse on nEMO.
    """

    encoder: str = ""
    layers: tuple[int, ...] = ()
    pooling: Annotated[tuple[Pooled, ...], Field(min_length=1)] = POOLING
    costs: Annotated[tuple[Cost, ...], Field(min_length=1)] = (3e-5, 1e-4, 3e-4)
    multi_class: Literal["crammer_singer", "ovr"] = "ovr"


@dataclass(frozen=True)
class FittedPretrained(WaveformMachine):
    """A machine on statistics of an encoder's frames; its folder says which encoder, with which weights."""

    def save(self, folder: Path) -> None:
        super().save(folder)
        write_json(folder / _ENCODER_FILE, dict(self.vectors.facts))


class Pretrained(Classifier):
    """Statistics of a frozen encoder's frames -> linear support vector machine."""

    name, title = "pretrained", "frozen encoder, linear SVM"
    inputs = frozenset({WAVEFORM})
    settings = PretrainedSettings
    uses_development, calibrated, deterministic = False, True, True

    def fit(self, train: Examples, development: Examples, context: Context) -> WaveformMachine:
        own = context.settings.of(self.name, PretrainedSettings)
        if not own.encoder:
            raise UserError("--model pretrained needs --set pretrained.encoder=NAME_OR_FOLDER (docs/pretrained.md)")
        encoder = open_encoder(own.encoder)
        layers = own.layers or tuple(range(1, encoder.n_layers)) or (encoder.n_layers,)
        for layer in layers:
            encoder.check_layer(layer)
        return FittedPretrained.fit(_statistics(encoder, layers, own.pooling), train, context, own)

    def load(self, folder: Path, context: Context) -> WaveformMachine:
        own, described = context.settings.of(self.name, PretrainedSettings), read_json(folder / _ENCODER_FILE)
        encoder = open_encoder(described["encoder"])
        if encoder.weights != described["weights"]:
            raise UserError(f"the encoder {encoder.name} has other weights than the one that {folder} was trained on")
        return FittedPretrained.load(folder, _statistics(encoder, tuple(described["layers"]), own.pooling), context)


@lru_cache
def _statistics(encoder: PretrainedEncoder, layers: tuple[int, ...], pooling: tuple[Pooled, ...]) -> WaveformVectors:
    def compute(utterance: Utterance) -> np.ndarray:
        return layer_statistics(encoder.encode_layers(load_waveform(utterance), layers=layers), pooling)

    facts = {"encoder": encoder.name, "weights": encoder.weights, "layers": list(layers)}
    pooled = () if pooling == POOLING else pooling
    return WaveformVectors("-".join(map(str, ("pretrained", encoder.weights, *layers, *pooled))), compute, facts)


def layer_statistics(frames: np.ndarray | Sequence[np.ndarray], pooling: Sequence[Pooled] = POOLING) -> np.ndarray:
    """Statistics over time: mean, deviation, and percentiles 10, 50 and 90.

    [shape=(n_layers, n_frames, hidden_size)] -> [shape=(n_statistics * n_layers * hidden_size,)], float32

    Examples
    --------
    >>> layer_statistics(np.array([[[0.0], [1.0], [2.0]]])).round(2)
    array([1.  , 0.82, 0.2 , 1.  , 1.8 ], dtype=float32)
    """
    values = np.asarray(frames, dtype=np.float32)
    found = {
        "mean": lambda: values.mean(axis=1)[None],
        "deviation": lambda: values.std(axis=1)[None],
        "percentiles": lambda: np.percentile(values, _PERCENTILES, axis=1),
    }
    return np.concatenate([found[name]() for name in pooling]).ravel().astype(np.float32)
