"""`spectrogram_cnn`: a convolutional network on pieces of a log-mel spectrogram, or AlexNet's layers moved onto them.

Badshah, Ahmad, Rahim & Baik, "Speech emotion recognition from spectrograms with deep convolutional neural network"
(PlatCon 2017): three convolutions and dense layers on pieces of a spectrogram, and transfer from AlexNet (Krizhevsky,
Sutskever & Hinton 2012); an utterance has the mean of its pieces' probabilities. Bertero & Fung, "A first look into a
convolutional neural network for speech emotion detection" (ICASSP 2017), need one convolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from emotion.classifiers.base import Classifier, Context, with_weights
from emotion.data.examples import SPECTROGRAM, Examples
from emotion.metrics import balancing_weights
from speech2vec.runtime.config import Settings
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import require_file

_FILE = "spectrogram_cnn.safetensors"
Positive = Annotated[int, Field(gt=0)]
# AlexNet's convolutions: channels, width, stride, padding, and whether a maximum over 3 x 3, stride 2, follows; with
# the places that they have in the published weights.
_ALEXNET = {0: (64, 11, 4, 2, True), 3: (192, 5, 1, 2, True), 6: (384, 3, 1, 1, False), 8: (256, 3, 1, 1, False)}
_ALEXNET |= {10: (256, 3, 1, 1, True)}
_PIXELS = 224  # width and height of the pictures that AlexNet has learned from


class SpectrogramCnnSettings(Settings):
    """Settings of the network; batch size and weight decay are those of `training`.

    Parameters
    ----------
    frames : int
        Of a piece; pieces begin every half of it, and a shorter utterance is repeated until it fills one.
    channels : tuple of int
        Of the convolutions; each halves time and frequency.
    dense_size : int
    dropout : float
    epochs : int
    learning_rate : float
        At the beginning; it falls to zero along half a cosine.
    alexnet : str
        Path of AlexNet's weights, as a state dictionary in a ``.safetensors`` or ``.pth`` file: its five convolutions
        are kept as they are in place of the ones above. Empty is a network from scratch.
    """

    frames: Positive = 200
    channels: Annotated[tuple[Positive, ...], Field(min_length=1)] = (16, 32, 64, 64, 64)
    dense_size: Positive = 128
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    epochs: Positive = 16
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    alexnet: str = ""


class Cnn(nn.Module):
    """Pieces of a spectrogram -> convolutions -> mean and maximum over time and frequency -> dense -> logits."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, settings: SpectrogramCnnSettings, n_mels: int, n_classes: int) -> None:
        super().__init__()
        self.is_alexnet, self.n_classes = bool(settings.alexnet), n_classes
        self.register_buffer("mean", torch.zeros(n_mels))
        self.register_buffer("deviation", torch.ones(n_mels))
        self.features = _alexnet() if self.is_alexnet else _convolutions(settings.channels)
        width = 256 if self.is_alexnet else settings.channels[-1]
        self.dense = nn.Sequential(
            nn.Dropout(settings.dropout),
            nn.Linear(2 * width, settings.dense_size),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.dense_size, n_classes),
        )

    def forward(self, pieces: Tensor) -> Tensor:
        """[shape=(B, T, n_mels)] -> logits [shape=(B, C)]."""
        x = ((pieces - self.mean) / self.deviation)[:, None]  # B 1 T M
        if self.is_alexnet:
            x = nn.functional.interpolate(x, (_PIXELS, _PIXELS), mode="bilinear").expand(-1, 3, -1, -1)
        y = self.features(x).flatten(2)  # B channels places
        return self.dense(torch.cat((y.mean(dim=2), y.amax(dim=2)), dim=1))


def _convolutions(channels: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in zip((1, *channels), channels, strict=False):
        first = before == 1  # strided, as in Badshah et al.; the others halve by a maximum
        layers += [nn.Conv2d(before, after, 5, 2, 2) if first else nn.Conv2d(before, after, 3, padding=1)]
        layers += [nn.BatchNorm2d(after)]
        layers += [] if first else [nn.MaxPool2d(2, ceil_mode=True)]
        layers += [nn.ReLU()]
    return nn.Sequential(*layers)


def _alexnet() -> nn.Sequential:
    layers: list[nn.Module] = []
    before = 3
    for channels, width, stride, padding, pooled in _ALEXNET.values():
        layers += [nn.Conv2d(before, channels, width, stride, padding), nn.ReLU()]
        layers += [nn.MaxPool2d(3, 2)] if pooled else []
        before = channels
    return nn.Sequential(*layers).requires_grad_(False)


def load_alexnet(features: nn.Sequential, path: Path) -> None:
    """Copy the convolutions of AlexNet's published weights.

    Raises
    ------
    UserError
        The file does not exist, or holds no such weights.
    """
    try:
        require_file(path)
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)  # tensors only: no code is run
        convolutions = [layer for layer in features if isinstance(layer, nn.Conv2d)]
        for place, layer in zip(_ALEXNET, convolutions, strict=True):
            layer.load_state_dict({name: tensors[f"features.{place}.{name}"] for name in ("weight", "bias")})
    except FileNotFoundError as error:
        raise UserError(
            f"spectrogram_cnn.alexnet: there is no file {path}: save the state dictionary of torchvision's AlexNet"
        ) from error
    except UserError:
        raise
    except Exception as error:  # whatever a reader of untrusted weights raises
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"spectrogram_cnn.alexnet: {path} has no weights of AlexNet: {reason[:120]}") from error


@dataclass(frozen=True)
class FittedSpectrogramCnn:
    """A trained network."""

    network: Cnn
    settings: SpectrogramCnnSettings
    device: torch.device | str

    @torch.inference_mode()
    def predict_proba(self, examples: Examples) -> np.ndarray:
        """The mean over an utterance's pieces."""
        n_classes = self.network.n_classes
        result = np.full((len(examples), n_classes), 1.0 / n_classes)
        for row, own in enumerate(_spectrogram(examples)):
            if len(own):
                x = torch.from_numpy(np.stack(list(pieces(own, self.settings.frames)))).to(self.device)
                result[row] = self.network(x).softmax(dim=1).mean(dim=0).cpu().numpy()
        return result

    def save(self, folder: Path) -> None:
        tensors = {name: value.contiguous().cpu() for name, value in self.network.state_dict().items()}
        save_file(tensors, folder / _FILE)

    @property
    def facts(self) -> dict[str, Any]:
        return {"parameters": sum(weight.numel() for weight in self.network.parameters() if weight.requires_grad)}


class SpectrogramCnn(Classifier):
    """Pieces of a log-mel spectrogram -> convolutions -> dense -> softmax; the mean over an utterance's pieces."""

    name, title = "spectrogram_cnn", "CNN on spectrograms"
    inputs = frozenset({SPECTROGRAM})
    settings = SpectrogramCnnSettings

    def fit(self, train: Examples, development: Examples, context: Context) -> FittedSpectrogramCnn:
        own, training = context.settings.of(self.name, SpectrogramCnnSettings), context.settings.training
        most = max(own.frames, context.settings.spectrogram.n_mels)
        if not own.alexnet and 2 ** (len(own.channels) - 1) >= most:  # the last normalises before it halves
            raise UserError(
                f"spectrogram_cnn.channels: {len(own.channels)} convolutions halve {own.frames} frames and "
                f"{context.settings.spectrogram.n_mels} bands to one number: take fewer, or more frames"
            )
        network = self._network(own, context)
        if own.alexnet:
            load_alexnet(network.features, Path(own.alexnet))
        cut = [list(pieces(one, own.frames)) if len(one) else [] for one in _spectrogram(train)]
        x = [piece for of_one in cut for piece in of_one]
        if not x:
            raise UserError("spectrogram_cnn: the training part has no audio")
        y = torch.from_numpy(np.repeat(train.labels, [len(of_one) for of_one in cut]))
        balanced = torch.from_numpy(balancing_weights(y.numpy(), len(context.labels))).float()
        loss_function = nn.CrossEntropyLoss(weight=balanced.to(context.device))
        network.mean[:], network.deviation[:] = _moments(x)
        network.to(context.device)
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        optimiser = torch.optim.AdamW(weights, own.learning_rate, weight_decay=training.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, own.epochs)
        for epoch in range(1, own.epochs + 1):
            network.train()
            total = 0.0
            for rows in torch.randperm(len(x)).split(training.batch_size):
                batch = torch.from_numpy(np.stack([x[row] for row in rows.tolist()])).to(context.device)
                loss = loss_function(network(batch), y[rows].to(context.device))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += loss.item() * len(rows)
            schedule.step()
            if not np.isfinite(total):
                raise UserError(f"the loss of epoch {epoch} is not finite: try a smaller spectrogram_cnn.learning_rate")
            if context.on_epoch:
                context.on_epoch({"epoch": epoch, "train_loss": total / len(x)})
        return FittedSpectrogramCnn(network.eval(), own, context.device)

    def load(self, folder: Path, context: Context) -> FittedSpectrogramCnn:
        own = context.settings.of(self.name, SpectrogramCnnSettings)
        network = with_weights(lambda: self._network(own, context), load_file(folder / _FILE))
        return FittedSpectrogramCnn(network.eval().to(context.device), own, context.device)

    def _network(self, settings: SpectrogramCnnSettings, context: Context) -> Cnn:
        torch.manual_seed(context.seed)
        return Cnn(settings, context.settings.spectrogram.n_mels, len(context.labels))


def _spectrogram(examples: Examples) -> list[np.ndarray]:
    assert examples.spectrogram is not None  # asked for
    return examples.spectrogram


def pieces(spectrogram: np.ndarray, n: int) -> Iterator[np.ndarray]:
    """Pieces of `n` frames, beginning every n / 2; a shorter spectrogram, not empty, is repeated until it fills one."""
    if len(spectrogram) < n:
        repeats = -(-n // len(spectrogram))
        yield np.tile(spectrogram, (repeats, 1))[:n]
        return
    for first in range(0, len(spectrogram) - n + 1, max(1, n // 2)):
        yield spectrogram[first : first + n]


def _moments(x: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each band over all pieces."""
    everything = np.concatenate(x)
    deviation = everything.std(axis=0, dtype=np.float64)
    return torch.from_numpy(everything.mean(axis=0)), torch.from_numpy(np.maximum(deviation, 1e-3)).float()
