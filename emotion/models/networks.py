"""The three networks of Krishna & Reddy (2019): acoustic, embedding, and the dual encoder that combines them.

All take the same four inputs, so that one loop trains and evaluates each; a model ignores what it does not use, which
may then be None. B utterances, T windows, F features, N words, d word-vector size, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emotion.models.encoder import Dense, Encoder, InputStatistics
from emotion.settings import ModelSettings


class Acoustic(nn.Module):
    """Features -> Bi-LSTM -> dense -> softmax (its logits)."""

    def __init__(self, settings: ModelSettings, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.encoder = acoustic_encoder(settings, n_features)
        self.output = nn.Linear(settings.dense_size, n_classes)

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
        self.output = nn.Linear(settings.dense_size, n_classes)

    def forward(self, features: object, n_windows: object, words: Tensor, n_words: Tensor) -> Tensor:
        """Unused, unused, [shape=(B, N)] or [shape=(B, N, d)], [shape=(B,)] -> logits [shape=(B, C)]."""
        return self.output(self.dense(self.encoder(self.words(words), n_words)))


class Dual(nn.Module):
    """Both encoders, concatenated (2 * dense_size) -> dense -> softmax (its logits)."""

    def __init__(
        self, settings: ModelSettings, n_features: int, vectors: Tensor | None, vector_size: int, n_classes: int
    ) -> None:
        super().__init__()
        self.acoustic = acoustic_encoder(settings, n_features)
        self.words = WordTable(vectors, settings.train_embeddings)
        self.embedding = word_encoder(settings, vector_size)
        self.fusion = Dense(2 * settings.dense_size, settings.dense_size, settings.dropout)
        self.output = nn.Linear(settings.dense_size, n_classes)

    def forward(self, features: Tensor, n_windows: Tensor, words: Tensor, n_words: Tensor) -> Tensor:
        """[shape=(B, T, F)], [shape=(B,)], [shape=(B, N)] or [shape=(B, N, d)], [shape=(B,)] -> [shape=(B, C)]."""
        sound = self.acoustic(features, n_windows)  # B dense
        text = self.embedding(self.words(words), n_words)  # B dense
        return self.output(self.fusion(torch.cat((sound, text), dim=1)))


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
