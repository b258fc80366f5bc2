"""Settings of training, and the named sets of settings of features and training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import Field, SerializeAsAny, SerializerFunctionWrapHandler, model_serializer, model_validator

from speech2vec.model.settings import ModelSettings
from speech2vec.runtime.config import Settings, validate_settings
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import shortened
from speech2vec.runtime.seeds import LARGEST_SEED
from speech2vec.training.methods import METHODS, PUBLISHED

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
    """All that determines a trained model, beside the store.

    Parameters
    ----------
    preset : str
    seed : int
    model, optimiser
        Of the published method.
    data
        The same; of other methods `held_out` alone.
    vectors
    method : str
        `published`, or one of `speech2vec.training.methods.METHODS`.
    of_method : Settings or None
        Of such a method. In files, in ``--set`` and in dictionaries they have the method's name (``acoustic.points``).
        What a method does not have is left out there, so that a published run's files are what they always were.
    """

    preset: str = "default"
    seed: int = Field(1, ge=0, le=LARGEST_SEED)
    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    vectors: VectorSettings = VectorSettings()
    method: str = PUBLISHED
    of_method: SerializeAsAny[Settings] | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_method(cls, values: Any) -> Any:
        name = values.get("method", PUBLISHED) if isinstance(values, Mapping) else PUBLISHED
        if name == PUBLISHED:
            return values
        if name not in METHODS:
            raise UserError(f"setting method: takes {', '.join([PUBLISHED, *METHODS])} (got {shortened(name)})")
        published = [key for key in ("model", "optimiser") if key in values]
        published += [f"data.{key}" for key in _given(values.get("data")) if key != "held_out"]
        if published:
            raise UserError(f"{published[0]}: a setting of the published method; those of {name} are {name}.KEY")
        values = dict(values)
        own, kind = values.pop(name, values.get("of_method") or {}), METHODS[name].settings
        values["of_method"] = own if isinstance(own, kind) else validate_settings(kind, own, f"{name}.")
        return values

    @model_serializer(mode="wrap")
    def _write_method(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        method, own = values.pop("method"), values.pop("of_method", None)
        if method == PUBLISHED:
            return values
        for key in ("model", "optimiser"):
            del values[key]
        return {**values, "data": {"held_out": self.data.held_out}, "method": method, method: own}


def _given(values: Any) -> list[str]:
    """The names of the settings that a mapping or an instance was given."""
    return list(values.model_fields_set if isinstance(values, Settings) else values or ())


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
    # The other methods (docs/methods.md).
    "acoustic": {"preset": "acoustic", "method": "acoustic"},
    # For frames of a pretrained encoder, which know their surroundings and differ little by voice.
    "acoustic-pretrained": {
        "preset": "acoustic-pretrained",
        "method": "acoustic",
        "acoustic": {"points": 2, "averaged": True, "vector_size": 200, "whitening": 1.0, "adaptation": {"rounds": 0}},
    },
    "contrastive": {"preset": "contrastive", "method": "contrastive"},
    "meaning": {"preset": "meaning", "method": "meaning"},
    "meaning-labels": {"preset": "meaning-labels", "method": "meaning", "meaning": {"label_share": 0.1}},
    "distilled": {"preset": "distilled", "method": "distilled"},
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


def short_settings(
    chosen: Mapping[str, Any], epochs: int | None, vector_size: int | None, seed: int | None
) -> dict[str, Any]:
    """What the short options of a command mean, by dotted key: settings of the method that the others choose."""
    method = chosen.get("method", PUBLISHED)
    of_epochs, of_vectors = ("optimiser", "model") if method == PUBLISHED else (method, method)
    return {f"{of_epochs}.epochs": epochs, f"{of_vectors}.vector_size": vector_size, "seed": seed}


def other_features(preset: str, settings: Mapping[str, Any]) -> list[str]:
    """What a preset says of the features, where a store's settings say something else; each in words."""
    return [
        f"{key} = {wanted} (not {settings.get(key)})"
        for key, wanted in FEATURES.get(preset, {}).items()
        if settings.get(key) != wanted
    ]
