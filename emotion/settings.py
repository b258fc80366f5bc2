"""Settings of the classifier and its training, with the presets ``default`` and ``paper``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from speech2vec.runtime.config import S, Settings, load_settings, validate_settings
from speech2vec.runtime.errors import UserError
from speech2vec.training.presets import preset_of

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Normalisation = Literal["training", "speaker", "speaker-mean", "corpus", "none"]
Pooling = Literal["last", "mean", "attention", "statistics"]


class ModelSettings(Settings):
    """The network.

    Parameters
    ----------
    hidden_size : int
        Units per direction of each Bi-LSTM.
    dense_size : int
        Units of each dense layer.
    recurrent_dropout, dropout : float
        Dropout on the recurrent connection, and after each dense layer.
    pooling : {"last", "mean", "attention", "statistics"}
        How a Bi-LSTM's outputs become one vector: the last processed state of each direction (published), the mean, a
        mean with learned weights, or mean and standard deviation over the sequence.
    padding : {"packed", "zeros"}
        "packed" processes real steps only; "zeros" (published) always processes `max_windows` and `max_words` steps,
        with zeros after the sequence and no mask.
    stack : int
        Consecutive windows concatenated into one step of the acoustic Bi-LSTM.
    input_statistics : bool
        Append to the pooled acoustic outputs the mean and standard deviation of the utterance's features and the
        standard deviation of their window-to-window differences, each standardised over the training utterances.
    noise : float
        Standard deviation of the noise added to the acoustic Bi-LSTM's normalised input in training.
    max_windows, max_words : int
        Maximum number of steps of either Bi-LSTM; longer sequences are cut (published: 200 and 128).
    keras : bool
        Initialise weights and drop recurrent units as Keras (published) does: see `emotion.models.recurrent.BiLSTM`.
    fusion : {"concatenation", "attention"}
        How the dual network joins its encoders: their dense layers concatenated (published), with or without what each
        modality finds in the other by cross-modal attention (`emotion.models.networks.CrossAttention`).
    train_embeddings : bool
        Train the word vectors together with the network (published) or keep them fixed.
    embedding_scale : float
        Scale all word vectors by one factor, so that the root mean square of their entries has this value: embeddings
        of any origin, and the random control, then start equal. 0 disables.
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
    keras: bool = False
    fusion: Literal["concatenation", "attention"] = "concatenation"
    train_embeddings: bool = True
    embedding_scale: Annotated[float, Field(ge=0)] = 0.3


class TrainingSettings(Settings):
    """The training loop.

    Parameters
    ----------
    epochs, batch_size : int
    learning_rate, weight_decay : float
        Of AdamW, which is Adam without weight decay.
    schedule : {"constant", "cosine"}
        Learning rate schedule; "cosine" decays to zero.
    max_gradient_norm : float
        Clip the gradient to this norm; 0 disables.
    normalisation : {"training", "speaker", "speaker-mean", "corpus", "none"}
        Standardise features over the windows of the training part; first by all recordings of a speaker or of a
        fold's part, without labels (`emotion.data.normalise.normalise`), and then over the training part; or not at
        all.
    class_weights : bool
        Weight the loss so that all classes contribute equally: each utterance by n / (n_classes * n of its class). It
        trades WA for UA where classes are of unlike size; the paper does not mention it.
    selection : {"recall", "loss", "last"}
        Keep the epoch with the highest UA or lowest loss on development data, or the last one.
    calibration : bool
        Divide the logarithms of the probabilities by a temperature that minimises the loss on development data, or on
        inner speaker folds of the training part where there are none (Guo et al., "On Calibration of Modern Neural
        Networks", ICML 2017). It changes no decision.
    inner_folds : int
        Number of speaker folds of the training part for what is fitted on them.
    """

    epochs: Positive = 20
    batch_size: Positive = 32
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    max_gradient_norm: Annotated[float, Field(ge=0)] = 0.0
    normalisation: Normalisation = "training"
    class_weights: bool = False
    selection: Literal["recall", "loss", "last"] = "recall"
    calibration: bool = True
    inner_folds: Annotated[int, Field(ge=2)] = 3


class SpectrogramSettings(Settings):
    """Log-mel energies, for classifiers that ask for ``spectrogram``.

    Parameters
    ----------
    sampling_rate : int, Hz
    window, hop : float, seconds
    n_mels : int
    """

    sampling_rate: Positive = 16000
    window: Annotated[float, Field(gt=0)] = 0.025
    hop: Annotated[float, Field(gt=0)] = 0.01
    n_mels: Positive = 64


class EmotionSettings(Settings):
    """All settings of ``speech2vec-emotion train``.

    Those of the networks are `model` and `training`; every other classifier has a table of its own under its name, as
    in ``--set svm.max_iterations=1000`` (`of`).
    """

    model_config = ConfigDict(extra="allow")

    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    spectrogram: SpectrogramSettings = SpectrogramSettings()

    @model_validator(mode="after")
    def _only_tables(self) -> EmotionSettings:
        for name, value in self.tables.items():
            if not isinstance(value, Mapping):
                raise ValueError(f"unknown setting '{name}'")
        return self

    @property
    def tables(self) -> Mapping[str, Any]:
        """The settings of classifiers by their names, not yet checked."""
        return self.model_extra or {}

    def of(self, name: str, kind: type[S]) -> S:
        """The settings of the classifier of this name.

        Raises
        ------
        UserError
            Naming every key that is unknown or has a value of the wrong type.
        """
        try:
            return validate_settings(kind, self.tables.get(name, {}))
        except UserError as error:
            raise UserError(f"{name}: {error}") from error


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Selected by UA on held-out speakers of RAVDESS, never by a test fold. But every actor was held out in turn and so
    # was development data of some choice: test scores on RAVDESS may be slightly optimistic (docs/emotion.md).
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
            "keras": True,
        },
        "training": {"epochs": 20, "selection": "last", "calibration": False},
    },
}


def classifier_settings(
    preset: str, file: Path | None = None, overrides: Sequence[str] = (), changes: Mapping[str, Any] | None = None
) -> EmotionSettings:
    """A preset's settings, overridden by a TOML file, by a mapping of dotted keys and by ``key.sub=value``.

    Raises
    ------
    UserError
        The preset or a setting is unknown, or a value is of the wrong type.
    """
    return load_settings(EmotionSettings, file, overrides, preset_of(PRESETS, preset), changes=changes)
