"""The networks: acoustic, embedding and dual encoder, and their layers."""

from emotion.models.encoder import Encoder, Pool
from emotion.models.networks import Acoustic, Dual, Embedding, build
from emotion.models.recurrent import BiLSTM

__all__ = ["Acoustic", "BiLSTM", "Dual", "Embedding", "Encoder", "Pool", "build"]
