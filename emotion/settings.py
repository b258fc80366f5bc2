"""Settings of the classifier and of its training; the presets ``default`` and ``paper``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from speech2vec.runtime.config import Settings, load_settings
from speech2vec.training.presets import preset_of

MODELS = ("acoustic", "embedding", "dual")

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Pooling = Literal["last", "mean", "attention", "statistics"]


class ModelSettings(Settings):
    """The network.

    Parameters
    ----------
    hidden_size : int
        Units of one direction of a Bi-LSTM.
    dense_size : int
    recurrent_dropout, dropout : float
        On the recurrent connection, and after each dense layer.
    pooling : {"last", "mean", "attention", "statistics"}
        What becomes of a Bi-LSTM's outputs: the last processed state of each direction (published), the mean, a
        weighted mean with learned weights, or mean and standard deviation over the sequence.
    padding : {"packed", "zeros"}
        "packed" processes real steps only; "zeros" (published) processes `max_windows` and `max_words` steps, with
        zeros after the sequence and no mask.
    stack : int
        Number of windows in a row that make one step of the acoustic Bi-LSTM.
    input_statistics : bool
        Mean and deviation of an utterance's features, and the deviation of their changes from window to window, join
        what pooling makes of the acoustic Bi-LSTM's outputs, each standardised over the training utterances.
    noise : float
        Standard deviation of noise that is added to the acoustic Bi-LSTM's normalised input in training.
    max_windows, max_words : int
        Steps of either Bi-LSTM; longer sequences are cut (published: 200 and 128).
    train_embeddings : bool
        Whether word vectors are trained along with the rest (published) or stay as they are.
    embedding_scale : float
        All word vectors are multiplied with one number, so that their entries' root mean square is this: embeddings
        of different origin, and the random control, then start alike. 0 leaves them as they come.
    """

    hidden_size: Positive = 128
    dense_size: Positive = 256
    recurrent_dropout: Share = 0.2
    dropout: Share = 0.3
    pooling: Pooling = "last"
    padding: Literal["packed", "zeros"] = "packed"
    stack: Positive = 1
    input_statistics: bool = False
    noise: Annotated[float, Field(ge=0)] = 0.0
    max_windows: Positive = 1200
    max_words: Positive = 128
    train_embeddings: bool = True
    embedding_scale: Annotated[float, Field(ge=0)] = 0.3


class TrainingSettings(Settings):
    """The training loop.

    Parameters
    ----------
    epochs, batch_size : int
    learning_rate, weight_decay : float
        Of Adam; with decay it is AdamW.
    schedule : {"constant", "cosine"}
        The learning rate over the steps; "cosine" falls to zero.
    max_gradient_norm : float
        Longer gradients are scaled down to it; 0 does not clip.
    normalisation : {"training", "speaker", "none"}
        Features to zero mean and unit variance: over the windows of the training part; of each speaker first (all
        recordings of the speaker, but no labels) and then the training part; or not at all.
    class_weights : bool
        Weight the loss so that all classes count the same.
    selection : {"recall", "loss", "last"}
        The epoch that is kept: highest UA or lowest loss on development data, or the last one.
    """

    epochs: Positive = 20
    batch_size: Positive = 32
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    max_gradient_norm: Annotated[float, Field(ge=0)] = 0.0
    normalisation: Literal["training", "speaker", "none"] = "training"
    class_weights: bool = False
    selection: Literal["recall", "loss", "last"] = "recall"


class EmotionSettings(Settings):
    """All settings of ``speech2vec-emotion train``."""

    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Chosen by UA on speakers of RAVDESS that were held out of training, never by a test fold. But they were all held
    # out in turn: every actor was development data of some choice, so that test figures on RAVDESS may be a little too
    # good (docs/emotion.md).
    "default": {
        "model": {
            "hidden_size": 64,
            "pooling": "statistics",
            "dropout": 0.5,
            "stack": 4,
            "input_statistics": True,
            "noise": 0.7,
        },
        "training": {"epochs": 25, "schedule": "cosine", "weight_decay": 0.01},
    },
    # Krishna & Reddy (2019), sections 3 and 4: 200 windows and 128 words, zero-padded; 20 epochs of Adam.
    "paper": {
        "model": {
            "pooling": "last",
            "padding": "zeros",
            "max_windows": 200,
            "max_words": 128,
            "embedding_scale": 0.0,
        },
        "training": {"epochs": 20, "selection": "last"},
    },
}


def classifier_settings(preset: str, file: Path | None = None, overrides: Sequence[str] = ()) -> EmotionSettings:
    """A preset's settings, changed by a TOML file and by ``key.sub=value``.

    Raises
    ------
    UserError
        If there is no such preset, or a setting is unknown or of a wrong type.
    """
    return load_settings(EmotionSettings, file, overrides, preset_of(PRESETS, preset))
