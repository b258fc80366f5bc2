"""Speech2Vec: an encoder that turns a spoken word into z, and a decoder that generates its neighbours from z.

Chung & Glass, "Speech2Vec: A Sequence-to-Sequence Framework for Learning Word Embeddings from Speech", Interspeech
2018, section 2. In shape comments W is words, S packed rows (all frames of all decoded sequences), F coefficients, D
the dimension of z.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from speech2vec.model.decoder import AttentionDecoder, ConditionedDecoder
from speech2vec.model.encoder import Encoded, Encoder, Segments
from speech2vec.model.recurrence.packing import Packing
from speech2vec.model.settings import ModelSettings
from speech2vec.model.word_encoder import Words, check_shapes
from speech2vec.runtime.config import validate_settings

# Frames encoded at once: bounds the memory, and changes no number beyond rounding.
_FRAMES_AT_ONCE = 100_000

DECODERS: dict[str, type[ConditionedDecoder] | type[AttentionDecoder]] = {
    "conditioned": ConditionedDecoder,
    "attention": AttentionDecoder,
}


@dataclass(frozen=True)
class Decoded:
    """What the decoder made of a batch, row by row of the packed order.

    Parameters
    ----------
    predicted, target : Tensor [shape=(n_rows, n_mfcc)]
    sequence, time : Tensor [shape=(n_rows,)], int64
    n_sequences : int
    """

    predicted: Tensor
    target: Tensor
    sequence: Tensor
    time: Tensor
    n_sequences: int

    def squared_error(self) -> Tensor:
        """Squared error summed over all real frames and coefficients; there is no padding to leave out."""
        return nn.functional.mse_loss(self.predicted, self.target, reduction="sum")

    def divisor(self, reduction: str, longest: int) -> int:
        """What a reduction (`OptimiserSettings`) divides the squared error by to make it the loss.

        `padded` is the mean over targets that are padded with zeros to `longest` frames, where the prediction behind a
        target's end is zero too (it is so in the published code of the reality check): padding has no error and no
        gradient, but it counts.
        """
        if reduction == "mean":
            return self.target.numel()
        if reduction == "padded":
            return self.n_sequences * longest * self.target.shape[1]
        return self.n_sequences


class Speech2Vec(nn.Module):
    """Encoder and decoder, trained together by skip-gram or CBOW: the `WordEncoder` of the published method."""

    kind: ClassVar[str] = "published"
    by_speaker: ClassVar[bool] = False

    def __init__(self, n_mfcc: int, settings: ModelSettings) -> None:
        super().__init__()
        self.n_mfcc, self.settings = n_mfcc, settings
        self.encoder = Encoder(n_mfcc, settings)
        self.decoder = DECODERS[settings.decoder](n_mfcc, settings)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.parameters()).device

    @property
    def n_features(self) -> int:
        return self.n_mfcc

    @property
    def vector_size(self) -> int:
        return self.settings.vector_size

    @torch.inference_mode()
    def encode(self, words: Words) -> np.ndarray:
        """The words' vectors z [shape=(n, vector_size)], float32."""
        vectors = np.empty((len(words), self.vector_size), dtype=np.float32)
        for part in words.parts():
            for group in _by_length(words.n_frames[part]):
                taken = part[group]
                segments = Segments.of_words(words.gather(taken), words.n_frames[taken], self.device)
                vectors[taken] = self.encoder(segments).z.float().cpu().numpy()
        return vectors

    def tensors(self) -> dict[str, Tensor]:
        """All weights, by name."""
        return self.state_dict()

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Speech2Vec:
        """The network with these weights."""
        n_mfcc = len(tensors["decoder.output.bias"])
        checked = validate_settings(ModelSettings, settings)
        check_shapes(tensors, shapes_of(n_mfcc, checked))
        model = cls(n_mfcc, checked)
        model.load_state_dict(dict(tensors))
        return model

    def forward(
        self,
        words: Segments,
        centre: Tensor,
        context: Tensor,
        n_rows: int | None = None,
        running: list[int] | None = None,
    ) -> Decoded:
        """Encode every word once, and generate from one side of each pair the other side.

        Parameters
        ----------
        words : Segments
        centre, context : Tensor [shape=(n_pairs,)], int64
            Positions in `words`.
        n_rows : int or None
            The frames of all contexts, where their number is known; CBOW has no use for it.
        running : list of int or None
            Contexts longer than 0 frames, than 1, and so on, where that is known; CBOW has no use for it.
        """
        return self.decode(self.encoder(words), words, centre, context, n_rows, running)

    def decode(
        self,
        encoded: Encoded,
        words: Segments,
        centre: Tensor,
        context: Tensor,
        n_rows: int | None = None,
        running: list[int] | None = None,
    ) -> Decoded:
        """As `forward`, from what the encoder made of each word."""
        if self.settings.objective == "cbow":
            z = encoded.z
            encoded = Encoded(torch.zeros_like(z).index_add(0, centre, z[context]))  # (W, D) sums over neighbours
            source = target = torch.unique(centre)
            n_rows = running = None
        else:
            source, target = centre, context
        packing = Packing.of(words.lengths[target], words.longest, n_rows, running)
        sequences = words[target[packing.order]]
        predicted = self.decoder(encoded, source[packing.order], sequences, packing)  # (S, F)
        rows = sequences.first[packing.sequence] + packing.time
        return Decoded(predicted, words.frames[rows], packing.sequence, packing.time, len(target))


def _by_length(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Positions, the longest first, in groups of at most `_FRAMES_AT_ONCE` frames."""
    order = np.argsort(-lengths, kind="stable")
    group = (np.cumsum(lengths[order]) - 1) // _FRAMES_AT_ONCE
    yield from np.split(order, np.flatnonzero(np.diff(group)) + 1)


def seeded_model(n_mfcc: int, settings: ModelSettings, seed: int) -> Speech2Vec:
    """A model at its initial weights: the same for the same seed, whatever random numbers were drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Speech2Vec(n_mfcc, settings)


def shapes_of(n_mfcc: int, settings: ModelSettings) -> dict[str, tuple[int, ...]]:
    """The shape of each weight of a model, which is not made: a file is compared with them before memory is claimed."""
    with torch.device("meta"):
        model = Speech2Vec(n_mfcc, settings)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
