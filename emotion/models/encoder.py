"""Encode a sequence as one vector: Bi-LSTM, pooling, dense layer (ENC1 and ENC2 of Krishna & Reddy, 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emotion.models.recurrent import BiLSTM
from emotion.settings import ModelSettings, Pooling


class Pool(nn.Module):
    """Pool a Bi-LSTM's outputs into one vector, ignoring steps after the end of a sequence.

    Parameters
    ----------
    size : int
        Width of the outputs (both directions).
    kind : {"last", "mean", "attention", "statistics"}
        "attention" weights each step with a softmax over ``v . tanh(W h)``.
    """

    def __init__(self, size: int, kind: Pooling) -> None:
        super().__init__()
        self.kind = kind
        self.output_size = 2 * size if kind == "statistics" else size
        self.score: nn.Module = nn.Identity()
        if kind == "attention":
            self.score = nn.Sequential(nn.Linear(size, size // 2), nn.Tanh(), nn.Linear(size // 2, 1, bias=False))

    def forward(self, outputs: Tensor, last: Tensor, lengths: Tensor) -> Tensor:
        """[shape=(B, T, S)], [shape=(B, S)], [shape=(B,)] -> [shape=(B, output_size)]; zero for empty sequences."""
        if self.kind == "last":
            return last
        if self.kind == "attention":
            ended = torch.arange(outputs.shape[1])[None] >= lengths[:, None]  # B T
            scores = self.score(outputs).squeeze(2).masked_fill(ended.to(outputs.device), -1e9)  # B T
            weights = scores.softmax(dim=1)[:, None]  # B 1 T
            return torch.bmm(weights, outputs).squeeze(1)  # B S
        mean, deviation = mean_and_deviation(outputs, lengths)  # each B S
        return mean if self.kind == "mean" else torch.cat((mean, deviation), dim=1)


def mean_and_deviation(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Over the real steps: [shape=(B, T, S)], [shape=(B,)] -> two of [shape=(B, S)]; zero for empty sequences."""
    lengths = lengths.to(x.device)[:, None]  # B 1
    real = torch.arange(x.shape[1], device=x.device)[None] < lengths  # B T
    weights = (real / lengths.clamp(min=1)).to(x.dtype)[:, None]  # B 1 T
    mean = torch.bmm(weights, x).squeeze(1)
    variance = (torch.bmm(weights, x.square()).squeeze(1) - mean.square()).clamp(min=0)
    return mean, (variance + 1e-6).sqrt() - 1e-3  # the gradient of the root alone is infinite at 0


class Standardise(nn.Module):
    """Standardise to zero mean and unit variance over everything seen in training.

    Unlike batch normalisation this uses the moments of all batches so far, so that an utterance's output does not
    depend on the others in its batch, and a batch may consist of a single utterance.
    """

    count: Tensor
    mean: Tensor
    square: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("square", torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        """[shape=(B, S)] -> [shape=(B, S)]."""
        if self.training:
            with torch.no_grad():
                self.count += x.shape[0]
                share = x.shape[0] / self.count
                self.mean.lerp_(x.mean(dim=0), share)
                self.square.lerp_(x.square().mean(dim=0), share)
        variance = (self.square - self.mean.square()).clamp(min=1e-4)
        return (x - self.mean) / variance.sqrt()


class InputStatistics(nn.Module):
    """Mean and standard deviation of a Bi-LSTM's input, and the deviation of its window-to-window differences.

    Simple emotion classifiers rely on them, and a small corpus does not suffice for an LSTM to learn them. Each is
    standardised over the training utterances.

    They are computed over the windows that the Bi-LSTM processes: at most `max_windows` steps; including the last
    window repeated up to `stack` - 1 times to complete the last step (`emotion.models.batches.stack_windows`); and,
    with padding "zeros", including those zeros.

    Parameters
    ----------
    input_size : int
        Size of a step.
    stack : int
        Windows per step.
    """

    def __init__(self, input_size: int, stack: int) -> None:
        super().__init__()
        self.stack = stack
        self.output_size = 3 * (input_size // stack)
        self.standardise = Standardise(self.output_size)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """[shape=(B, T, F)], [shape=(B,)] -> [shape=(B, output_size)]."""
        windows = x.reshape(x.shape[0], x.shape[1] * self.stack, -1)
        n_windows = lengths * self.stack
        mean, deviation = mean_and_deviation(windows, n_windows)
        _, change = mean_and_deviation(windows[:, 1:] - windows[:, :-1], (n_windows - 1).clamp(min=0))
        return self.standardise(torch.cat((mean, deviation, change), dim=1))


class Encoder(nn.Module):
    """Bi-LSTM -> pooling -> dense layer with ReLU -> dropout.

    Parameters
    ----------
    input_size : int
        F; H (per direction) and D are the settings' `hidden_size` and `dense_size`.
    settings : ModelSettings
        Sizes, dropout and pooling, shared by both encoders; noise and statistics are for the acoustic one only.
    noise : float
        Standard deviation of the noise added to the Bi-LSTM's input in training.
    statistics : InputStatistics or None
        Concatenated with the pooled outputs.
    """

    def __init__(
        self,
        input_size: int,
        settings: ModelSettings,
        noise: float = 0.0,
        statistics: InputStatistics | None = None,
    ) -> None:
        super().__init__()
        self.noise = noise
        self.statistics = statistics
        self.recurrent = BiLSTM(input_size, settings.hidden_size, settings.recurrent_dropout, settings.keras)
        self.pool = Pool(2 * settings.hidden_size, settings.pooling)
        n_statistics = 0 if statistics is None else statistics.output_size
        self.dense = Dense(self.pool.output_size + n_statistics, settings.dense_size, settings.dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """[shape=(B, T, F)], [shape=(B,)] -> [shape=(B, D)]."""
        return self.encode(x, lengths)[1]

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs of the Bi-LSTM [shape=(B, T, 2H)], zero after a sequence's end, and of `forward`."""
        noisy = x + self.noise * torch.randn_like(x) if self.training and self.noise > 0 else x
        outputs, last = self.recurrent(noisy, lengths)  # B T 2H, B 2H
        pooled = self.pool(outputs, last, lengths)
        if self.statistics is not None:
            pooled = torch.cat((pooled, self.statistics(x, lengths)), dim=1)
        return outputs, self.dense(pooled)


class Dense(nn.Sequential):
    """Dense layer, ReLU and dropout."""

    def __init__(self, input_size: int, output_size: int, dropout: float) -> None:
        linear = nn.Linear(input_size, output_size)
        nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(linear.bias)
        super().__init__(linear, nn.ReLU(), nn.Dropout(dropout))
