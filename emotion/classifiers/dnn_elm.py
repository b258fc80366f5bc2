"""`dnn_elm`: a network that judges stretches of frames, and an extreme learning machine that judges its judgements.

Han, Yu & Tashev, "Speech emotion recognition using deep neural network and extreme learning machine" (Interspeech
2014): a network gives each stretch of 25 frames a distribution over the emotions; for each emotion the largest,
smallest and mean probability over an utterance and the share of stretches above a threshold are the utterance's
features; a layer of random sigmoid units with a ridge regression on top (Huang, Zhu & Siew 2006) classifies them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from safetensors.numpy import load_file, save_file
from scipy.special import expit, softmax
from torch import nn

from emotion.classifiers.base import Classifier, Context, with_weights
from emotion.data.examples import FRAMES, Examples
from emotion.metrics import balancing_weights
from speech2vec.runtime.config import Settings
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.guarded import check_arrays

_FILE = "dnn_elm.safetensors"
Positive = Annotated[int, Field(gt=0)]


class DnnElmSettings(Settings):
    """Settings of both parts; batch size and learning rate of the network are those of `training`.

    Parameters
    ----------
    context_frames : int
        Frames of a stretch.
    hidden_sizes : tuple of int
        Units of the network's hidden layers.
    epochs : int
    dropout : float
    threshold : float
        Of a stretch's probability, for the share of stretches above it.
    units : int
        Random units of the extreme learning machine.
    ridge : float
        Penalty of its output weights.
    """

    context_frames: Positive = 25
    hidden_sizes: Annotated[tuple[Positive, ...], Field(min_length=1)] = (256, 256, 256)
    epochs: Positive = 10
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.2
    units: Positive = 120
    ridge: Annotated[float, Field(gt=0)] = 1.0


def stretches(frames: np.ndarray, n: int) -> np.ndarray:
    """Every `n` frames with half as many between their beginnings [shape=(n_stretches, n * n_features)].

    The last frame of a shorter utterance is repeated; an utterance without frames has no stretch.
    """
    if not len(frames):
        return np.zeros((0, n * frames.shape[1]), dtype=np.float32)
    padded = np.pad(frames, ((0, max(0, n - len(frames))), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, n, axis=0)[:: max(1, n // 2)]
    return windows.transpose(0, 2, 1).reshape(len(windows), -1).copy()  # never a view of what it was given


@dataclass(frozen=True)
class FittedDnnElm:
    """A network and a machine.

    Parameters
    ----------
    network : nn.Module
    machine : dict of str to ndarray
        ``mean``, ``deviation`` of the utterances' features; ``random`` [shape=(1 + 4 * n_classes, units)], ``output``
        [shape=(units, n_classes)].
    settings : DnnElmSettings
    """

    network: nn.Sequential
    machine: dict[str, np.ndarray]
    settings: DnnElmSettings

    def predict_proba(self, examples: Examples) -> np.ndarray:
        x = utterance_features(self.network, examples, self.settings)
        found: np.ndarray = softmax(_hidden(x, self.machine) @ self.machine["output"], axis=1)
        return found

    def save(self, folder: Path) -> None:
        network = {f"network.{name}": value.cpu().numpy() for name, value in self.network.state_dict().items()}
        save_file({**network, **self.machine}, folder / _FILE)

    @property
    def facts(self) -> dict[str, Any]:
        n = sum(weight.numel() for weight in self.network.parameters())
        return {"parameters": n + self.machine["random"].size + self.machine["output"].size}


class DnnElm(Classifier):
    """Stretches of frames -> network -> statistics of its probabilities -> extreme learning machine."""

    name, title = "dnn_elm", "DNN + ELM"
    inputs = frozenset({FRAMES})
    settings = DnnElmSettings

    def fit(self, train: Examples, development: Examples, context: Context) -> FittedDnnElm:
        own = context.settings.of(self.name, DnnElmSettings)
        network = _trained_network(train, context, own)
        x = utterance_features(network, train, own)
        deviation = x.std(axis=0)
        random = np.random.default_rng(context.seed).uniform(-1, 1, (1 + x.shape[1], own.units))
        machine = {"mean": x.mean(axis=0), "deviation": np.where(deviation > 1e-6, deviation, 1.0), "random": random}
        hidden = _hidden(x, machine)
        wanted = 2.0 * np.eye(len(context.labels))[train.labels] - 1.0
        weight = balancing_weights(train.labels)[train.labels][:, None]
        gram = hidden.T @ (weight * hidden) + own.ridge * np.eye(own.units)
        machine["output"] = np.linalg.solve(gram, hidden.T @ (weight * wanted))
        return FittedDnnElm(network, machine, own)

    def load(self, folder: Path, context: Context) -> FittedDnnElm:
        own = context.settings.of(self.name, DnnElmSettings)
        tensors = load_file(folder / _FILE)
        names = [name for name in tensors if name.startswith("network.")]
        weights = {name.removeprefix("network."): torch.from_numpy(tensors.pop(name)) for name in names}
        network = with_weights(lambda: _network(own, context), weights)
        n, units = 4 * len(context.labels), len(tensors["output"])
        shapes = {"mean": (n,), "deviation": (n,), "random": (1 + n, units), "output": (units, len(context.labels))}
        check_arrays(tensors, shapes)
        machine = {name: tensors[name] for name in shapes}
        return FittedDnnElm(network.eval().to(context.device), machine, own)


def _frames(examples: Examples) -> list[np.ndarray]:
    assert examples.frames is not None  # asked for
    return examples.frames


def _network(settings: DnnElmSettings, context: Context) -> nn.Sequential:
    sizes = [settings.context_frames * context.n_features, *settings.hidden_sizes]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(settings.dropout)]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], len(context.labels)))


def _trained_network(train: Examples, context: Context, settings: DnnElmSettings) -> nn.Sequential:
    """Each stretch has the label of its utterance; utterances and classes count the same, whatever their lengths."""
    parts = [stretches(frames, settings.context_frames) for frames in _frames(train)]
    x, lengths = torch.from_numpy(np.concatenate(parts)), np.array([len(part) for part in parts])
    if not len(x):
        raise UserError("dnn_elm: the training part has no frames: prepare a corpus with audio")
    y = torch.from_numpy(np.repeat(train.labels, lengths))
    share = np.repeat(1.0 / np.maximum(lengths, 1), lengths) / np.bincount(train.labels)[y.numpy()]
    weight = torch.from_numpy(share / share.mean()).float()
    torch.manual_seed(context.seed)
    network = _network(settings, context).to(context.device)
    training = context.settings.training
    optimiser = torch.optim.AdamW(network.parameters(), training.learning_rate, weight_decay=training.weight_decay)
    for epoch in range(1, settings.epochs + 1):
        network.train()
        total = 0.0
        for rows in torch.randperm(len(x)).split(8 * training.batch_size):
            logits = network(x[rows].to(context.device))
            losses = nn.functional.cross_entropy(logits, y[rows].to(context.device), reduction="none")
            loss = (losses * weight[rows].to(context.device)).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(rows)
        if not np.isfinite(total):
            raise UserError(f"the loss of epoch {epoch} is not finite: try a smaller training.learning_rate")
        if context.on_epoch:
            context.on_epoch({"epoch": epoch, "train_loss": total / len(x)})
    return network.eval()


@torch.inference_mode()
def utterance_features(network: nn.Sequential, examples: Examples, settings: DnnElmSettings) -> np.ndarray:
    """Largest, smallest and mean probability of each class over the stretches, and the share above the threshold.

    Returns
    -------
    ndarray [shape=(n_utterances, 4 * n_classes)]
        Equal probabilities where an utterance has no frames.
    """
    last = network[-1]
    assert isinstance(last, nn.Linear)
    n_classes, device = last.out_features, last.weight.device
    result = np.empty((len(examples), 4 * n_classes))
    for row, frames in enumerate(_frames(examples)):
        x = torch.from_numpy(stretches(frames, settings.context_frames))
        p = network(x.to(device)).softmax(dim=1).double().cpu().numpy()
        if not len(p):
            p = np.full((1, n_classes), 1.0 / n_classes)
        above = (p > settings.threshold).mean(axis=0)
        result[row] = np.concatenate((p.max(axis=0), p.min(axis=0), p.mean(axis=0), above))
    return result


def _hidden(x: np.ndarray, machine: dict[str, np.ndarray]) -> np.ndarray:
    """The random units [shape=(n, units)]."""
    standardised = (x - machine["mean"]) / machine["deviation"]
    found: np.ndarray = expit(np.hstack((np.ones((len(x), 1)), standardised)) @ machine["random"])
    return found
