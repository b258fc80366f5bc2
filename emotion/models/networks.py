"""The three networks of Krishna & Reddy (2019): acoustic, embedding, and the dual encoder that combines them.

All take the same four inputs, so that one loop trains and evaluates each; a model ignores what it does not use, which
may then be None. B utterances, T windows, F features, N words, d word-vector size, C classes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from emotion.models.encoder import Dense, Encoder, InputStatistics, mean_and_deviation
from emotion.settings import ModelSettings


class Acoustic(nn.Module):
    """Features -> Bi-LSTM -> dense -> softmax (its logits)."""

    def __init__(self, settings: ModelSettings, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.encoder = acoustic_encoder(settings, n_features)
        self.output = output_layer(settings, n_classes)

    def forward(self, features: Tensor, n_windows: Tensor, words: object = None, n_words: object = None) -> Tensor:
        """[shape=(B, T, F)], [shape=(B,)], unused, unused -> logits [shape=(B, C)]."""
        return self.output(self.encoder(features, n_windows))


class WordTable(nn.Module):
    """Word rows to vectors: a trainable embedding layer initialised with given vectors.

    Row 0 is the padding and stays zero. Without vectors the input already consists of vectors (each word encoded from
    its own audio segment) and is returned unchanged.
    """

    def __init__(self, vectors: Tensor | None, trainable: bool) -> None:
        super().__init__()
        self.table: nn.Embedding | None = None
        if vectors is not None:
            rows = vectors.clone()
            rows[0] = 0.0
            self.table = nn.Embedding.from_pretrained(rows, freeze=not trainable, padding_idx=0)

    def forward(self, words: Tensor) -> Tensor:
        """[shape=(B, N)] or [shape=(B, N, d)] -> [shape=(B, N, d)]."""
        return words if self.table is None else self.table(words)


class Embedding(nn.Module):
    """WordTable -> embedding layer -> Bi-LSTM -> two dense layers -> softmax (its logits)."""

    def __init__(self, settings: ModelSettings, vectors: Tensor | None, vector_size: int, n_classes: int) -> None:
        super().__init__()
        self.words = WordTable(vectors, settings.train_embeddings)
        self.encoder = word_encoder(settings, vector_size)
        self.dense = Dense(settings.dense_size, settings.dense_size, settings.dropout)
        self.output = output_layer(settings, n_classes)

    def forward(self, features: object, n_windows: object, words: Tensor, n_words: Tensor) -> Tensor:
        """Unused, unused, [shape=(B, N)] or [shape=(B, N, d)], [shape=(B,)] -> logits [shape=(B, C)]."""
        return self.output(self.dense(self.encoder(self.words(words), n_words)))


class CrossAttention(nn.Module):
    """What the steps of one sequence find in another: scaled dot-product attention, averaged over the steps.

    Of frames and words it aligns the two (Xu et al., "Learning alignment for multimodal emotion recognition from
    speech", Interspeech 2019; Tsai et al., "Multimodal transformer for unaligned multimodal language sequences", ACL
    2019). An empty sequence finds nothing, and nothing is found in one: the result is zero.

    Parameters
    ----------
    size : int
        S, of the steps of both.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(size, size, bias=False) for _ in range(3))

    def forward(self, asking: Tensor, n_asking: Tensor, asked: Tensor, n_asked: Tensor) -> Tensor:
        """[shape=(B, T, S)], [shape=(B,)], [shape=(B, N, S)], [shape=(B,)] -> [shape=(B, S)]."""
        scores = torch.bmm(self.query(asking), self.key(asked).transpose(1, 2)) / math.sqrt(asked.shape[2])  # B T N
        ended = torch.arange(asked.shape[1], device=asked.device)[None] >= n_asked.to(asked.device)[:, None]  # B N
        found = torch.bmm(scores.masked_fill(ended[:, None], -1e9).softmax(dim=2), self.value(asked))  # B T S
        return mean_and_deviation(found, n_asking)[0]


class Dual(nn.Module):
    """Both encoders, concatenated (2 * dense_size) -> dense -> softmax (its logits).

    With ``fusion="attention"``, what the words find in the frames, and the frames in the words, is concatenated too.
    """

    def __init__(
        self, settings: ModelSettings, n_features: int, vectors: Tensor | None, vector_size: int, n_classes: int
    ) -> None:
        super().__init__()
        self.acoustic = acoustic_encoder(settings, n_features)
        self.words = WordTable(vectors, settings.train_embeddings)
        self.embedding = word_encoder(settings, vector_size)
        size = 2 * settings.dense_size
        self.heard: CrossAttention | None = None
        self.read: CrossAttention | None = None
        if settings.fusion == "attention":
            self.heard, self.read = CrossAttention(2 * settings.hidden_size), CrossAttention(2 * settings.hidden_size)
            size += 4 * settings.hidden_size
        self.fusion = Dense(size, settings.dense_size, settings.dropout)
        self.output = output_layer(settings, n_classes)

    def forward(self, features: Tensor, n_windows: Tensor, words: Tensor, n_words: Tensor) -> Tensor:
        """[shape=(B, T, F)], [shape=(B,)], [shape=(B, N)] or [shape=(B, N, d)], [shape=(B,)] -> [shape=(B, C)]."""
        frames, sound = self.acoustic.encode(features, n_windows)  # B T 2H, B dense
        spoken, text = self.embedding.encode(self.words(words), n_words)  # B N 2H, B dense
        joined = [sound, text]
        if self.heard is not None and self.read is not None:
            joined += [
                self.heard(spoken, n_words, frames, n_windows),
                self.read(frames, n_windows, spoken, n_words),
            ]
        return self.output(self.fusion(torch.cat(joined, dim=1)))


def output_layer(settings: ModelSettings, n_classes: int) -> nn.Linear:
    """The layer before the softmax, with Keras' initial weights (Glorot, bias 0) if the settings ask for them."""
    layer = nn.Linear(settings.dense_size, n_classes)
    if settings.keras:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return layer


def acoustic_encoder(settings: ModelSettings, n_features: int) -> Encoder:
    """The encoder of windows (ENC1 of the paper)."""
    size = settings.stack * n_features
    statistics = InputStatistics(size, settings.stack) if settings.input_statistics else None
    return Encoder(size, settings, settings.noise, statistics)


def word_encoder(settings: ModelSettings, vector_size: int) -> Encoder:
    """The encoder of word vectors (ENC2)."""
    return Encoder(vector_size, settings)


def build(
    model: str,
    settings: ModelSettings,
    n_classes: int,
    n_features: int,
    *,
    vector_size: int = 0,
    vectors: Tensor | None = None,
) -> nn.Module:
    """Build a network by name.

    Parameters
    ----------
    model : {"acoustic", "embedding", "dual"}
    settings : ModelSettings
    n_classes, n_features : int
    vector_size : int
        Size of a word vector.
    vectors : Tensor [shape=(n_words, vector_size)] or None
        Rows of the embedding layer, row 0 the padding; None if the inputs are vectors.
    """
    if model == "acoustic":
        return Acoustic(settings, n_features, n_classes)
    if model == "embedding":
        return Embedding(settings, vectors, vector_size, n_classes)
    return Dual(settings, n_features, vectors, vector_size, n_classes)
