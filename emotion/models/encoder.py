"""A sequence becomes one vector: Bi-LSTM, pooling, dense layer (ENC1 and ENC2 of the paper)."""

from typing import Literal

import torch
from torch import Tensor, nn

from emotion.models.recurrent import BiLSTM

Pooling = Literal["last", "mean", "attention", "statistics"]


class Pool(nn.Module):
    """Outputs of a Bi-LSTM to one vector; steps after a sequence's end never count.

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
        """[shape=(B, T, S)], [shape=(B, S)], [shape=(B,)] -> [shape=(B, output_size)]; empty sequences give zero."""
        if self.kind == "last":
            return last
        lengths = lengths.to(outputs.device)[:, None]  # B 1
        real = torch.arange(outputs.shape[1], device=outputs.device)[None] < lengths  # B T
        if self.kind == "attention":
            scores = self.score(outputs).squeeze(2).masked_fill(~real, -1e9)  # B T
            weights = scores.softmax(dim=1)[:, None]  # B 1 T
            return torch.bmm(weights, outputs).squeeze(1)  # B S
        count = lengths.clamp(min=1)
        mean = outputs.sum(dim=1) / count  # B S
        if self.kind == "mean":
            return mean
        deviation = (((outputs - mean[:, None]) * real[..., None]) ** 2).sum(dim=1) / count
        return torch.cat((mean, (deviation + 1e-6).sqrt() - 1e-3), dim=1)  # B 2S


class Encoder(nn.Module):
    """Bi-LSTM -> pooling -> dense layer with ReLU -> dropout.

    Parameters
    ----------
    input_size, hidden_size, dense_size : int
        F, H (of one direction) and D.
    recurrent_dropout, dropout : float
    pooling : {"last", "mean", "attention", "statistics"}
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        dense_size: int,
        recurrent_dropout: float,
        dropout: float,
        pooling: Pooling = "last",
    ) -> None:
        super().__init__()
        self.recurrent = BiLSTM(input_size, hidden_size, recurrent_dropout)
        self.pool = Pool(2 * hidden_size, pooling)
        self.dense = Dense(self.pool.output_size, dense_size, dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """[shape=(B, T, F)], [shape=(B,)] -> [shape=(B, D)]."""
        outputs, last = self.recurrent(x, lengths)  # B T 2H, B 2H
        return self.dense(self.pool(outputs, last, lengths))


class Dense(nn.Sequential):
    """A dense layer with ReLU and the dropout that follows every dense layer of the paper."""

    def __init__(self, input_size: int, output_size: int, dropout: float) -> None:
        linear = nn.Linear(input_size, output_size)
        nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(linear.bias)
        super().__init__(linear, nn.ReLU(), nn.Dropout(dropout))
