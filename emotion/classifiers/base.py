"""The protocol of classifiers: what is trained on a fold, and what that gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from emotion.data.examples import Examples
from emotion.models.word_vectors import Pretrained
from emotion.settings import EmotionSettings
from speech2vec.model.word_encoder import check_shapes
from speech2vec.runtime.config import Settings

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a classifier needs to know apart from its examples.

    Parameters
    ----------
    labels : tuple of str
        The classes, in the order of the probabilities.
    settings : EmotionSettings
        All settings; ``settings.of(name, kind)`` has a classifier's own.
    seed : int
        All randomness depends on it.
    n_features : int
        Of a window of ``frames``.
    pretrained : Pretrained or None
        Word vectors, for ``vectors``; None if each word comes with its own.
    vector_size : int
        0 without word vectors.
    device : torch.device
    on_epoch : callable or None
        Called with the metrics of each epoch, for progress.
    """

    labels: tuple[str, ...]
    settings: EmotionSettings
    seed: int = 0
    n_features: int = 0
    pretrained: Pretrained | None = None
    vector_size: int = 0
    device: torch.device | str = "cpu"
    on_epoch: Callable[[dict[str, Any]], None] | None = None


class Fitted(Protocol):
    """A trained classifier."""

    def predict_proba(self, examples: Examples) -> np.ndarray:
        """Class probabilities of each utterance [shape=(n_utterances, n_classes)], in the given order."""
        ...

    def save(self, folder: Path) -> None:
        """Write everything that was learned to an existing folder, as ``*.safetensors`` and ``*.json``."""
        ...

    @property
    def facts(self) -> dict[str, Any]:
        """What to note of the training, for ``member.json``: ``parameters`` (a number), settings chosen, ..."""
        ...


class NoSettings(Settings):
    """No settings."""


class Classifier(Protocol):
    """A way to train a classifier; it holds no state itself.

    Attributes
    ----------
    name : str
        Also the name of the table of its settings.
    inputs : frozenset of str
        Of `emotion.data.examples.INPUTS`: what its examples contain.
    title : str
        What tables call it; "" is its name.
    settings : subclass of Settings
        Its own settings.
    uses_development : bool
        Whether development data are kept out of training: to choose an epoch by, or only to fit the temperature of the
        probabilities (``training.calibration``). If not, they are training data too.
    calibrated : bool
        Whether training calibrates the probabilities itself, on speakers held out.
    deterministic : bool
        Whether all seeds give the same; tables then train one.
    """

    name: str
    inputs: frozenset[str]
    title: str = ""
    settings: type[Settings] = NoSettings
    uses_development: bool = True
    calibrated: bool = False
    deterministic: bool = False

    def fit(self, train: Examples, development: Examples, context: Context) -> Fitted:
        """Train.

        Parameters
        ----------
        train : Examples
            The frames are standardised over them.
        development : Examples
            Other speakers, for what is chosen in training; may be empty.
        context : Context

        Raises
        ------
        UserError
            It cannot be trained on these.
        """
        ...

    def load(self, folder: Path, context: Context) -> Fitted:
        """Read what `Fitted.save` wrote.

        Raises
        ------
        OSError, SafetensorError, KeyError, ValueError, RuntimeError, UserError
            A file is missing or damaged.
        """
        ...

    def longest(self, settings: EmotionSettings) -> int | None:
        """The number of windows after which frames are cut; None if they are not."""
        return None


def with_weights(make: Callable[[], N], weights: Mapping[str, Tensor]) -> N:
    """A new network with weights from a file; a ValueError, before memory is claimed, if they are another's."""
    with torch.device("meta"):
        expected = make().state_dict()
    check_shapes(weights, {name: tuple(tensor.shape) for name, tensor in expected.items()})
    network = make()
    network.load_state_dict(weights)
    return network
