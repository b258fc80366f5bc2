"""Settings of training, and the named sets of settings of features and training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import Field

from speech2vec.model.settings import ModelSettings
from speech2vec.runtime.config import Settings
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import LARGEST_SEED

Preset = TypeVar("Preset")


class DataSettings(Settings):
    """What is trained on, and what is held out.

    Parameters
    ----------
    window : int
        Neighbours to either side (k in the paper).
    min_count : int
        Rarer words are left out before windows are taken.
    sample : float
        Subsampling threshold of frequent words; 0 is none.
    subsample : str
        What is subsampled: `words`, which leave the text before windows are taken (word2vec), or `centres`, which stay
        in the text as the context of others (the reality check).
    across_utterances : bool
        Windows run on from the end of an utterance to the beginning of the next one in the store; a batch is then a
        stretch of the text.
    held_out : float
        Share of the words that is never trained on: those of whole speakers, or of whole utterances where there is
        only one speaker.
    """

    window: int = Field(3, ge=1, le=20)
    min_count: int = Field(1, ge=1)
    sample: float = Field(0.0, ge=0)
    subsample: Literal["words", "centres"] = "words"
    across_utterances: bool = False
    held_out: float = Field(0.1, gt=0, lt=1)


class OptimiserSettings(Settings):
    """How the weights are found.

    Parameters
    ----------
    name : str
    learning_rate : float
    final_learning_rate : float
        The learning rate falls from the first to this along a half cosine over all epochs.
    batch_size : int
        Approximate number of pairs a step.
    epochs : int
    gradient_clip : float
        Largest norm of the gradient; 0 is none.
    reduction : str
        `mean`: squared error averaged over all real frames and coefficients of a batch. `sum`: summed over the frames
        and coefficients of a pair, averaged over the pairs of a batch. `padded`: averaged over all frames of a batch
        when each target is padded with zeros to the store's longest word (the reality check); padding has no error, but
        it counts.
    precision : str
        What the model computes in: `float32`, or `bfloat16` with weights kept in float32.
    """

    name: Literal["adam", "sgd"] = "adam"
    learning_rate: float = Field(4e-3, gt=0)
    final_learning_rate: float = Field(1e-4, ge=0)
    batch_size: int = Field(512, ge=1)
    epochs: int = Field(20, ge=1)
    gradient_clip: float = Field(1.0, ge=0)
    reduction: Literal["mean", "sum", "padded"] = "mean"
    precision: Literal["float32", "bfloat16"] = "float32"


class VectorSettings(Settings):
    """How a word's vector is made of those of its instances; training does not depend on it.

    Parameters
    ----------
    unit_instances : bool
        Each instance's vector is scaled to length 1 before the mean is taken.
    """

    unit_instances: bool = False


class TrainSettings(Settings):
    """All that determines a trained model, beside the store."""

    preset: str = "default"
    seed: int = Field(1, ge=0, le=LARGEST_SEED)
    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    vectors: VectorSettings = VectorSettings()


PRESETS: dict[str, dict[str, Any]] = {
    # The published architecture and loss with an optimiser that learns in tens of epochs (docs/training.md).
    "default": {"preset": "default"},
    # The same for a GPU, which a small batch does not fill: what it costs is in docs/training.md.
    "large-batch": {"preset": "large-batch", "optimiser": {"batch_size": 16384, "learning_rate": 8e-3}},
    # As published: SGD without momentum at a fixed 1e-3 for 500 epochs. What the paper leaves open (batch size,
    # reduction, counts) is filled as docs/training.md says.
    "paper": {
        "preset": "paper",
        "optimiser": {
            "name": "sgd",
            "learning_rate": 1e-3,
            "final_learning_rate": 1e-3,
            "batch_size": 1024,
            "epochs": 500,
            "gradient_clip": 0.0,
            "reduction": "sum",
        },
    },
    # As in arXiv 2209.10791, the reproduction that found no meaning; what that paper leaves open is as in its published
    # code (docs/training.md).
    "reality-check": {
        "preset": "reality-check",
        "model": {"decoder": "attention", "teacher_forcing": True},
        "data": {"min_count": 4, "sample": 1e-3, "subsample": "centres", "across_utterances": True},
        "optimiser": {
            "name": "sgd",
            "learning_rate": 1e-3,
            "final_learning_rate": 1e-3,
            "batch_size": 4096,
            "epochs": 500,
            "gradient_clip": 0.0,
            "reduction": "padded",
        },
        "vectors": {"unit_instances": True},
    },
}


# What each preset says of the features (`MfccSettings`): only what its source says.
FEATURES: dict[str, dict[str, Any]] = {
    "default": {},
    "large-batch": {},
    "paper": {"sampling_rate": 16000, "hop_length": 160, "n_mfcc": 13, "max_frames": None},
    "reality-check": {
        "sampling_rate": 16000,
        "hop_length": 512,
        "win_length": 512,
        "n_fft": 512,
        "n_mels": 128,
        "n_mfcc": 13,
        "fmin": 0.0,
        "normalise": "corpus",
        "max_frames": 20,
    },
}


def preset_of(presets: Mapping[str, Preset], name: str) -> Preset:
    """A preset by its name.

    Raises
    ------
    UserError
        If there is none of that name.
    """
    if name not in presets:
        raise UserError(f"--preset takes {', '.join(presets)}, not '{name}'")
    return presets[name]


def other_features(preset: str, settings: Mapping[str, Any]) -> list[str]:
    """What a preset says of the features, where a store's settings say something else; each in words."""
    return [
        f"{key} = {wanted} (not {settings.get(key)})"
        for key, wanted in FEATURES[preset].items()
        if settings.get(key) != wanted
    ]
