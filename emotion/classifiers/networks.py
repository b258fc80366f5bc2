"""The three networks of Krishna & Reddy (2019) as classifiers: `acoustic`, `embedding` and `dual`.

Their settings are `emotion.settings.ModelSettings` and `TrainingSettings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from emotion.classifiers.base import Classifier, Context
from emotion.data.examples import FRAMES, VECTORS, Examples
from emotion.models import trainer
from emotion.models.networks import build
from emotion.settings import EmotionSettings
from speech2vec.runtime.files import append_json_line

WEIGHTS_FILE, METRICS_FILE = "model.safetensors", "metrics.jsonl"


@dataclass(frozen=True)
class FittedNetwork:
    """A trained network.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    settings : EmotionSettings
    device : torch.device
    training : trainer.Trained or None
        How it was trained; None once it has been loaded.
    """

    network: nn.Module
    settings: EmotionSettings
    device: torch.device | str
    training: trainer.Trained | None = None

    def predict_proba(self, examples: Examples) -> np.ndarray:
        return trainer.predict_proba(self.network, examples, self.settings, self.device)

    def save(self, folder: Path) -> None:
        tensors = {name: value.contiguous().cpu() for name, value in self.network.state_dict().items()}
        save_file(tensors, folder / WEIGHTS_FILE)
        for row in self.training.history if self.training else ():
            append_json_line(folder / METRICS_FILE, row)

    @property
    def facts(self) -> dict[str, Any]:
        n = sum(weight.numel() for weight in self.network.parameters() if weight.requires_grad)
        return {"parameters": n, **({"best_epoch": self.training.epoch} if self.training else {})}


class Network(Classifier):
    """A network by name."""

    name: str

    def fit(self, train: Examples, development: Examples, context: Context) -> FittedNetwork:
        network = self.untrained(context)
        selecting = development if len(development) else None
        done = trainer.fit(
            network,
            train,
            selecting,
            context.settings,
            seed=context.seed,
            device=context.device,
            on_epoch=context.on_epoch,
        )
        return FittedNetwork(network, context.settings, context.device, done)

    def load(self, folder: Path, context: Context) -> FittedNetwork:
        tensors = load_file(folder / WEIGHTS_FILE)
        # Runs made before have the scaling of the frames in the same file.
        tensors = {name: value for name, value in tensors.items() if not name.startswith("scaler.")}
        network = self.untrained(context)
        network.load_state_dict(tensors)
        return FittedNetwork(network.eval().to(context.device), context.settings, context.device)

    def longest(self, settings: EmotionSettings) -> int | None:
        return settings.model.max_windows * settings.model.stack if FRAMES in self.inputs else None

    def untrained(self, context: Context) -> nn.Module:
        """The network before training; the seed draws its weights and the vectors of words without one."""
        torch.manual_seed(context.seed)
        vectors = None
        if VECTORS in self.inputs and context.pretrained is not None:
            scale = context.settings.model.embedding_scale
            vectors = torch.from_numpy(context.pretrained.table(context.seed, scale))
        return self.build(context, vectors)

    def build(self, context: Context, vectors: Tensor | None) -> nn.Module:
        """The network with weights drawn from torch's seed; `vectors` are the rows of the table of words."""
        return build(
            self.name,
            context.settings.model,
            n_classes=len(context.labels),
            n_features=context.n_features,
            vector_size=context.vector_size,
            vectors=vectors,
        )


class Acoustic(Network):
    """Frames -> Bi-LSTM -> dense -> softmax."""

    name, title = "acoustic", "acoustic only"
    inputs = frozenset({FRAMES})


class Embedding(Network):
    """Word vectors -> Bi-LSTM -> two dense layers -> softmax."""

    name, title = "embedding", "embedding only"
    inputs = frozenset({VECTORS})


class Dual(Network):
    """Both encoders -> concatenation -> dense -> softmax."""

    name, title = "dual", "dual encoder"
    inputs = frozenset({FRAMES, VECTORS})
