"""The encoder: from the frames of words to z, and to what a decoder that attends needs beside it.

In shape comments N is frames, W words, S packed rows, D the dimension of z, H a direction's share of it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from speech2vec.model.recurrence.inputs import StepInputs
from speech2vec.model.recurrence.layers import CELLS, Cell
from speech2vec.model.recurrence.packing import Packing
from speech2vec.model.settings import ModelSettings


@dataclass(frozen=True)
class Segments:
    """The frames of some words.

    Parameters
    ----------
    frames : Tensor [shape=(n_frames, n_mfcc)]
    first, lengths : Tensor [shape=(n_words,)], int64
        Where each word begins in `frames`, and how many frames it has (1 or more).
    longest, total : int or None
        Where they are known, a number of frames that no word is longer than, and the sum of all lengths: what is known
        need not be read off a GPU, which would have to finish first.
    running : list of int or None
        The same for the words that are longer than 0 frames, than 1, and so on.
    """

    frames: Tensor
    first: Tensor
    lengths: Tensor
    longest: int | None = None
    total: int | None = None
    running: list[int] | None = None

    @classmethod
    def of_words(cls, frames: np.ndarray, n_frames: np.ndarray, device: torch.device | str = "cpu") -> Segments:
        """Words on a device: their frames, word after word, and the number of each word's [shape=(n_words,)], int64."""
        return cls(
            torch.from_numpy(frames).to(device),
            torch.from_numpy(np.cumsum(n_frames) - n_frames).to(device),
            torch.from_numpy(n_frames).to(device),
            int(n_frames.max(initial=0)),
            int(n_frames.sum()),
        )

    def __getitem__(self, words: Tensor) -> Segments:
        """Some of the words [shape=(n,)], in that order; the frames stay where they are."""
        return Segments(self.frames, self.first[words], self.lengths[words], self.longest)


@dataclass(frozen=True)
class Encoded:
    """What the encoder made of some words.

    Parameters
    ----------
    z : Tensor [shape=(n_words, vector_size)]
        The last hidden state: all that a conditioned decoder gets, and a word's vector.
    cell : Tensor [shape=(n_words, vector_size)] or None
        The last cell state of an LSTM, for a decoder that attends.
    states : Segments or None
        Every hidden state, in place of the frames [shape=(n_frames, vector_size)], for a decoder that attends.
    """

    z: Tensor
    cell: Tensor | None = None
    states: Segments | None = None

    def __getitem__(self, words: Tensor) -> Encoded:
        """What was made of some of the words [shape=(n,)], in that order."""
        return Encoded(
            self.z[words],
            None if self.cell is None else self.cell[words],
            None if self.states is None else self.states[words],
        )


class Encoder(nn.Module):
    """z: the last hidden state of a one-layer LSTM or GRU, of both directions joined if bidirectional."""

    def __init__(self, n_mfcc: int, settings: ModelSettings) -> None:
        super().__init__()
        directions = 2 if settings.bidirectional else 1
        self.directions = nn.ModuleList(
            CELLS[settings.cell](n_mfcc, settings.vector_size // directions, settings.engine) for _ in range(directions)
        )
        self.keeps_states = settings.decoder == "attention"

    def forward(self, words: Segments) -> Encoded:
        """Encode words, each once."""
        packing = Packing.of(words.lengths, words.longest, words.total, words.running)
        first = words.first[packing.order][packing.sequence]  # (S,)
        last = first + words.lengths[packing.order][packing.sequence] - 1  # (S,)
        layers = cast(list[Cell], list(self.directions))
        rows = [first + packing.time, last - packing.time][: len(layers)]  # forwards, backwards
        weights = torch.stack([layer.input for layer in layers])
        bias = torch.stack([layer.bias for layer in layers])
        recurrent = torch.stack([layer.recurrent for layer in layers])
        inputs = StepInputs(weights, bias, words.frames, torch.stack(rows))
        if not self.keeps_states:
            hidden = layers[0].states(inputs, recurrent, packing)  # (2, S, H)
            return Encoded(_in_order(hidden[:, packing.last_rows], packing))
        hidden, cell = layers[0].states_and_cell(inputs, recurrent, packing)
        # As the frames lie.
        states = [torch.empty_like(h).index_copy(0, taken, h) for h, taken in zip(hidden, rows, strict=True)]
        return Encoded(
            _in_order(hidden[:, packing.last_rows], packing),
            None if cell is None else _in_order(cell, packing),
            dataclasses.replace(words, frames=torch.cat(states, dim=1)),
        )


def _in_order(directions: Tensor, packing: Packing) -> Tensor:
    """All directions' states (2, W, H) joined, from packed order (longest word first) into the words' own (W, D)."""
    joined = directions.transpose(0, 1).flatten(1)
    return torch.empty_like(joined).index_copy(0, packing.order, joined)
