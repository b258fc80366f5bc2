"""Speech2Vec: an encoder that turns a spoken word into z, and a decoder that generates its neighbours from z.

Chung & Glass, "Speech2Vec: A Sequence-to-Sequence Framework for Learning Word Embeddings from Speech", Interspeech
2018, section 2. In shape comments N is frames, W words, P pairs (decoded sequences), S packed rows (all frames of all
decoded sequences), F coefficients, D the dimension of z, H a direction's share of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from speech2vec.lstm import Packing, packed_lstm
from speech2vec.presets import ModelSettings


@dataclass(frozen=True)
class Segments:
    """The frames of some words.

    Parameters
    ----------
    frames : Tensor [shape=(n_frames, n_mfcc)]
    first, lengths : Tensor [shape=(n_words,)], int64
        Where each word begins in `frames`, and how many frames it has (1 or more).
    """

    frames: Tensor
    first: Tensor
    lengths: Tensor


class LstmWeights(nn.Module):
    """The weights of one LSTM layer in one direction; gates in the order input, forget, output, candidate."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.empty(input_size, 4 * hidden_size))
        self.bias = nn.Parameter(torch.empty(4 * hidden_size))
        self.recurrent = nn.Parameter(torch.empty(hidden_size, 4 * hidden_size))
        bound = 1 / math.sqrt(hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)


class Encoder(nn.Module):
    """z: the last hidden state of a one-layer LSTM, of both directions joined if bidirectional."""

    def __init__(self, n_mfcc: int, settings: ModelSettings) -> None:
        super().__init__()
        directions = 2 if settings.bidirectional else 1
        self.directions = nn.ModuleList(
            LstmWeights(n_mfcc, settings.vector_size // directions) for _ in range(directions)
        )

    def forward(self, words: Segments) -> Tensor:
        packing = Packing.of(words.lengths)
        first = words.first[packing.order][packing.sequence]  # (S,)
        last = first + words.lengths[packing.order][packing.sequence] - 1  # (S,)
        rows = (first + packing.time, last - packing.time)  # forwards, backwards
        states = []
        for weights, taken in zip(self.directions, rows, strict=False):
            assert isinstance(weights, LstmWeights)
            projected = torch.addmm(weights.bias, words.frames, weights.input)  # (N, 4H)
            hidden = packed_lstm(projected, taken, weights.recurrent, packing)  # (S, H)
            states.append(hidden[packing.last_rows()])  # (W, H)
        z = torch.cat(states, dim=1)  # (W, D), longest word first
        return torch.empty_like(z).index_copy(0, packing.order, z)


class Decoder(nn.Module):
    """A one-layer LSTM started from z and given z at every step beside the previous frame."""

    def __init__(self, n_mfcc: int, settings: ModelSettings) -> None:
        super().__init__()
        self.teacher_forcing = settings.teacher_forcing
        self.lstm = LstmWeights(n_mfcc + settings.vector_size, settings.vector_size)
        self.output = nn.Linear(settings.vector_size, n_mfcc)

    def forward(self, z: Tensor, targets: Segments, packing: Packing) -> Tensor:
        """Predict the frames of `targets`.

        Parameters
        ----------
        z : Tensor [shape=(n_sequences, vector_size)]
            In the order of `packing`.
        targets : Segments
            A sequence each, in the same order; several sequences may share frames.
        packing : Packing

        Returns
        -------
        Tensor [shape=(n_rows, n_mfcc)]
            In packed order.
        """
        F = targets.frames.shape[1]
        from_frame, from_z = self.lstm.input[:F], self.lstm.input[F:]
        recurrent: Tensor = self.lstm.recurrent
        if self.teacher_forcing:
            # The input of step t is frame t - 1; that of step 0 is a frame of zeros, kept behind the others.
            table = torch.cat([torch.addmm(self.lstm.bias, targets.frames, from_frame), self.lstm.bias[None]])
            rows = targets.first[packing.sequence] + packing.time - 1
            rows = torch.where(packing.time > 0, rows, len(targets.frames))
        else:
            # The input of step t is output(h[t - 1]), a linear map of h, so it joins the recurrent weights.
            recurrent = recurrent + self.output.weight.t() @ from_frame
            fed_back = torch.addmv(self.lstm.bias, from_frame.t(), self.output.bias)
            table = torch.stack([self.lstm.bias, fed_back])
            rows = (packing.time > 0).long()
            # z as the state before step 0 was never an output: take back what the joined weights add for it.
            start = z @ (self.lstm.recurrent - recurrent)
            table, rows = (
                torch.cat([table, self.lstm.bias + start]),
                torch.where(packing.time > 0, rows, 2 + packing.sequence),
            )
        hidden = packed_lstm(table, rows, recurrent, packing, constant=z @ from_z, initial=z)
        return self.output(hidden)


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


class Speech2Vec(nn.Module):
    """Encoder and decoder, trained together by skip-gram or CBOW."""

    def __init__(self, n_mfcc: int, settings: ModelSettings) -> None:
        super().__init__()
        self.n_mfcc, self.settings = n_mfcc, settings
        self.encoder = Encoder(n_mfcc, settings)
        self.decoder = Decoder(n_mfcc, settings)

    def forward(self, words: Segments, centre: Tensor, context: Tensor) -> Decoded:
        """Encode every word once, and generate from the z of one side of each pair the other side.

        Parameters
        ----------
        words : Segments
        centre, context : Tensor [shape=(n_pairs,)], int64
            Positions in `words`.
        """
        return self.decode(self.encoder(words), words, centre, context)

    def decode(self, z: Tensor, words: Segments, centre: Tensor, context: Tensor) -> Decoded:
        """As `forward`, from given z [shape=(n_words, vector_size)]."""
        if self.settings.objective == "cbow":
            z = torch.zeros_like(z).index_add(0, centre, z[context])  # (W, D) sums over neighbours
            source = target = torch.unique(centre)
        else:
            source, target = centre, context
        packing = Packing.of(words.lengths[target])
        target = target[packing.order]
        sequences = Segments(words.frames, words.first[target], packing.lengths)
        predicted = self.decoder(z[source[packing.order]], sequences, packing)  # (S, F)
        rows = sequences.first[packing.sequence] + packing.time
        return Decoded(predicted, words.frames[rows], packing.sequence, packing.time, len(target))


def seeded_model(n_mfcc: int, settings: ModelSettings, seed: int) -> Speech2Vec:
    """A model at its initial weights: the same for the same seed, whatever random numbers were drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Speech2Vec(n_mfcc, settings)
