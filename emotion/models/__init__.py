"""The networks: acoustic, embedding and dual encoder, and the layers they are made of."""

from emotion.models.classifiers import Acoustic, Dual, Embedding, build
from emotion.models.encoder import Encoder, Pool
from emotion.models.recurrent import BiLSTM

__all__ = ["Acoustic", "BiLSTM", "Dual", "Embedding", "Encoder", "Pool", "build"]
