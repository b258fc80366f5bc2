"""`mcnn_lstm`: convolutions of several widths over word vectors, and an LSTM over frames.

Cho, Pappagari, Kulkarni, Villalba, Carmiel & Dehak, "Deep neural networks for emotion recognition combining audio and
transcripts" (Interspeech 2018). There the two are trained one by one and joined by a support vector machine; here they
are trained together, as the dual encoder is. With `evector` fused (``--model evector+mcnn_lstm``) it is their last row.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from emotion.classifiers.base import Context
from emotion.classifiers.networks import Network
from emotion.data.examples import FRAMES, VECTORS
from emotion.models.encoder import Dense, mean_and_deviation
from emotion.models.networks import WordTable
from speech2vec.runtime.config import Settings

Positive = Annotated[int, Field(gt=0)]


class McnnLstmSettings(Settings):
    """Settings of the network; `model` and `training` have those it shares with the others.

    Parameters
    ----------
    kernel_sizes : tuple of int
        Widths of the convolutions, in words.
    filters : int
        Of each width.
    hidden_size : int
        Units of the LSTM.
    """

    kernel_sizes: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 2, 3, 4)
    filters: Positive = 64
    hidden_size: Positive = 128


class MultiscaleConvolutions(nn.Module):
    """Convolutions of several widths over word vectors, each with its largest output over the words."""

    def __init__(self, vector_size: int, settings: McnnLstmSettings) -> None:
        super().__init__()
        self.kernel_sizes = settings.kernel_sizes
        self.convolutions = nn.ModuleList(
            nn.Conv1d(vector_size, settings.filters, width, padding=width - 1) for width in settings.kernel_sizes
        )
        self.output_size = settings.filters * len(settings.kernel_sizes)

    def forward(self, words: Tensor, n_words: Tensor) -> Tensor:
        """[shape=(B, N, d)], [shape=(B,)] -> [shape=(B, output_size)], zero without words."""
        place = torch.arange(words.shape[1], device=words.device)[None]
        real = place < n_words.to(words.device)[:, None]  # B N
        x = (words * real[..., None]).transpose(1, 2)  # B d N; zeros after the end, as the padding is
        found = []
        for width, convolution in zip(self.kernel_sizes, self.convolutions, strict=True):
            y = convolution(x).relu()  # B f N+w-1
            place = torch.arange(y.shape[2], device=y.device)[None]
            last = n_words.to(y.device)[:, None] + width - 1
            found.append((y * ((place < last) & (n_words.to(y.device)[:, None] > 0))[:, None]).amax(dim=2))
        return torch.cat(found, dim=1)


class McnnLstmNetwork(nn.Module):
    """Both, concatenated -> dense -> softmax (its logits)."""

    def __init__(self, context: Context, settings: McnnLstmSettings, vectors: Tensor | None) -> None:
        super().__init__()
        model = context.settings.model
        self.lstm = nn.LSTM(model.stack * context.n_features, settings.hidden_size, batch_first=True)
        self.words = WordTable(vectors, model.train_embeddings)
        self.convolutions = MultiscaleConvolutions(context.vector_size, settings)
        self.dropout = nn.Dropout(model.dropout)
        self.dense = Dense(settings.hidden_size + self.convolutions.output_size, model.dense_size, model.dropout)
        self.output = nn.Linear(model.dense_size, len(context.labels))

    def forward(self, features: Tensor, n_windows: Tensor, words: Tensor, n_words: Tensor) -> Tensor:
        """[shape=(B, T, F)], [shape=(B,)], [shape=(B, N)] or [shape=(B, N, d)], [shape=(B,)] -> [shape=(B, C)]."""
        packed = pack_padded_sequence(features, n_windows.clamp(min=1), batch_first=True, enforce_sorted=False)
        outputs, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=features.shape[1])
        sound, _ = mean_and_deviation(outputs, n_windows)  # B H
        text = self.convolutions(self.words(words), n_words)
        return self.output(self.dense(self.dropout(torch.cat((sound, text), dim=1))))


class McnnLstm(Network):
    """Frames -> LSTM -> mean; word vectors -> convolutions -> maximum; both -> dense -> softmax."""

    name, title = "mcnn_lstm", "MCNN + LSTM"
    inputs = frozenset({FRAMES, VECTORS})
    settings = McnnLstmSettings

    def build(self, context: Context, vectors: Tensor | None) -> nn.Module:
        return McnnLstmNetwork(context, context.settings.of(self.name, McnnLstmSettings), vectors)
