"""Words as two views of their resampled frames side by side: a linear map, and a convolutional network.

What each has learned of which words are the same is in part its own, so that their cosines averaged (vectors of length
1, joined) say more than either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from speech2vec.model.adaptation import AdaptationSettings, SpeakerAdaptation
from speech2vec.model.resampled import features_of, remove_speaker_means, resample
from speech2vec.model.word_encoder import Words, check_shapes
from speech2vec.runtime.config import Settings, validate_settings


class ConvolutionalSettings(Settings):
    """The sizes of the encoder, and how speakers are made alike.

    Parameters
    ----------
    points : int
        Frames that a word is resampled to.
    channels, hidden, network_size : int
        Of the convolutions, of the layer behind them, and of the network's vectors.
    network_weight : float
        Length of the network's vectors beside those of the linear map, of length 1.
    dropout : float
        While it is trained.
    speaker_prior : float
        See `speech2vec.model.resampled.ResampledSettings`.
    adaptation : AdaptationSettings
        How a speaker's frames are adapted before.
    """

    points: int = Field(24, ge=1, le=1000)
    channels: int = Field(64, ge=1)
    hidden: int = Field(256, ge=1)
    network_size: int = Field(64, ge=1)
    network_weight: float = Field(1.0, ge=0)
    dropout: float = Field(0.3, ge=0, lt=1)
    speaker_prior: float = Field(1.0, gt=0)
    adaptation: AdaptationSettings = AdaptationSettings(rounds=0)


class Convolutional(nn.Module):
    """The encoder: adapt, resample, remove the speaker's mean; then both views.

    Parameters
    ----------
    settings : ConvolutionalSettings
    n_features : int
        Numbers a frame.
    linear_size : int
        Numbers of the linear view; 0 leaves it out.
    adaptation : SpeakerAdaptation or None
    """

    kind: ClassVar[str] = "convolutional"
    by_speaker: ClassVar[bool] = True

    scale: Tensor
    linear: Tensor

    def __init__(
        self,
        settings: ConvolutionalSettings,
        n_features: int,
        linear_size: int,
        adaptation: SpeakerAdaptation | None = None,
    ) -> None:
        super().__init__()
        self.settings, self.n_features, self.adaptation = settings, n_features, adaptation
        channels, size = settings.channels, settings.points * n_features + 1
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("linear", torch.zeros(size, linear_size))
        layers: list[nn.Module] = []
        for before, width, stride in ((n_features, 5, 1), (channels, 5, 2), (channels, 3, 2)):
            convolution = nn.Conv1d(before, channels, width, stride=stride, padding=width // 2)
            layers += [convolution, nn.BatchNorm1d(channels), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        length = (settings.points + 3) // 4
        self.head = nn.Sequential(
            nn.Dropout(settings.dropout),
            nn.Linear(channels * length + 1, settings.hidden),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.hidden, settings.network_size),
        )

    @property
    def vector_size(self) -> int:
        return self.linear.shape[1] + self.settings.network_size

    def forward(self, points: Tensor) -> Tensor:
        """The network's vectors [shape=(n, network_size)] of what `resample` gives."""
        scaled = points * self.scale
        frames = scaled[:, :-1].unflatten(1, (self.settings.points, self.n_features)).transpose(1, 2)
        found: Tensor = self.head(torch.cat([self.convolutions(frames).flatten(1), scaled[:, -1:]], dim=1))
        return found

    @torch.inference_mode()
    def encode(self, words: Words) -> np.ndarray:
        """The words' vectors [shape=(n, vector_size)], float32."""
        speakers, speaker = np.unique(words.speaker, return_inverse=True)
        words = replace(self.adaptation.adapted(words) if self.adaptation else words, speaker=speaker)
        means = self._speaker_means(words, len(speakers))
        vectors = np.empty((len(words), self.vector_size), dtype=np.float32)
        linear_size = self.linear.shape[1]
        for positions, frames in words.chunks():
            points = resample(frames, words.n_frames[positions], self.settings.points) - means[speaker[positions]]
            given = torch.from_numpy(points).to(self.linear.device)
            vectors[positions, :linear_size] = (given @ self.linear).cpu().numpy()
            vectors[positions, linear_size:] = self(given).cpu().numpy()
        remove_speaker_means(vectors, speaker, self.settings.speaker_prior)
        for view, length in ((vectors[:, :linear_size], 1.0), (vectors[:, linear_size:], self.settings.network_weight)):
            view *= length / np.maximum(np.linalg.norm(view, axis=1, keepdims=True), 1e-9)
        return vectors

    def _speaker_means(self, words: Words, n_speakers: int) -> np.ndarray:
        """Mean points of each speaker's words [shape=(n_speakers, points * n_features + 1)], float32."""
        total = np.zeros((n_speakers, len(self.scale)))
        for positions, frames in words.chunks():
            np.add.at(
                total, words.speaker[positions], resample(frames, words.n_frames[positions], self.settings.points)
            )
        count = np.bincount(words.speaker, minlength=n_speakers)[:, None]
        return (total / np.maximum(count, 1)).astype(np.float32)

    def tensors(self) -> dict[str, Tensor]:
        """The weights, the linear map, and the adaptation."""
        return {**self.state_dict(), **(self.adaptation.tensors() if self.adaptation else {})}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Convolutional:
        """The encoder of these tensors."""
        validated = validate_settings(ConvolutionalSettings, settings)
        size, linear_size = tensors["linear"].shape
        n_features = features_of(size, validated.points)
        own = {name: tensor for name, tensor in tensors.items() if not name.startswith("adaptation.")}
        with torch.device("meta"):  # before memory is claimed
            expected = cls(validated, n_features, linear_size).state_dict()
        check_shapes(own, {name: tuple(tensor.shape) for name, tensor in expected.items()})
        adaptation = SpeakerAdaptation.of_file(tensors, validated.adaptation, n_features)
        encoder = cls(validated, n_features, linear_size, adaptation)
        encoder.load_state_dict(own)
        return encoder
