"""The two decoders: conditioned on z, as published, and with attention, as in the reality check (arXiv 2209.10791).

The conditioned decoder starts from z and gets z at every step; nothing else of the encoder reaches it. The attention
decoder looks up the centre's frames at every step. What it generates need not pass through z, so it bypasses the
bottleneck that a word's vector is. It is here to reproduce that study, not to learn vectors with. Its attention is that
of Luong et al. 2015 (dot product, no input feeding): the states of the decoder do not depend on it, so they are
computed first, for all sequences at once, and attend together afterwards.

In shape comments F is coefficients, D the dimension of z.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from speech2vec.model.encoder import Encoded, Segments
from speech2vec.model.recurrence.inputs import StepInputs
from speech2vec.model.recurrence.layers import CELLS, Cell
from speech2vec.model.recurrence.packing import Packing
from speech2vec.model.recurrence.products import linear_over_rows
from speech2vec.model.settings import ModelSettings


class ConditionedDecoder(nn.Module):
    """A one-layer LSTM or GRU with z as its initial state, and z beside the previous frame as its input."""

    def __init__(self, n_mfcc: int, settings: ModelSettings) -> None:
        super().__init__()
        self.teacher_forcing, self.kind = settings.teacher_forcing, settings.cell
        size = settings.vector_size
        self.add_module(self.kind, CELLS[self.kind](n_mfcc + size, size, settings.engine))
        self.output = nn.Linear(size, n_mfcc)

    def forward(self, encoded: Encoded, source: Tensor, targets: Segments, packing: Packing) -> Tensor:
        """Predict the frames of `targets`.

        Parameters
        ----------
        encoded : Encoded
        source : Tensor [shape=(n_sequences,)], int64
            Which of the encoded words each sequence is generated from; in the order of `packing`.
        targets : Segments
            A sequence each, in the same order; several sequences may share frames.
        packing : Packing

        Returns
        -------
        Tensor [shape=(n_rows, n_mfcc)]
            In packed order.
        """
        F = targets.frames.shape[1]
        layer: Cell = getattr(self, self.kind)
        z, weights, recurrent = encoded.z[source], layer.input, layer.recurrent
        from_frame, from_z = weights[:F], weights[F:]
        inputs = StepInputs(from_frame, layer.bias, constant=z, from_constant=from_z)
        if self.teacher_forcing:
            frames, rows = previous_frames(targets, packing)
            inputs = inputs._replace(frames=frames, rows=rows)
        else:
            inputs = inputs._replace(feedback=self.output)
        hidden = layer.states(inputs, recurrent, packing, initial=z)
        return linear_over_rows(hidden, self.output)


def previous_frames(targets: Segments, packing: Packing) -> tuple[Tensor, Tensor]:
    """Inputs under teacher forcing: step t takes frame t - 1, step 0 a frame of zeros.

    Returns
    -------
    frames : Tensor [shape=(n_frames + 1, n_mfcc)]
    rows : Tensor [shape=(n_rows,)], int64
        The input of each packed row.
    """
    rows = targets.first[packing.sequence] + packing.time - 1
    frames = torch.nn.functional.pad(targets.frames, (0, 0, 0, 1))
    return frames, torch.where(packing.time > 0, rows, len(targets.frames))


# Scores computed at once: bounds the memory, and changes no number beyond rounding.
_SCORES_AT_ONCE = 4_000_000


class AttentionDecoder(nn.Module):
    """A one-layer LSTM or GRU over previous frames that starts from the encoder's last hidden (and cell) state.

    z is not an input of its steps. A tanh layer combines the hidden state and the attended states before the output.
    """

    def __init__(self, n_mfcc: int, settings: ModelSettings) -> None:
        super().__init__()
        size, self.kind = settings.vector_size, settings.cell
        self.add_module(self.kind, CELLS[self.kind](n_mfcc, size, settings.engine))
        self.combine = nn.Linear(2 * size, size)
        self.output = nn.Linear(size, n_mfcc)

    def forward(self, encoded: Encoded, source: Tensor, targets: Segments, packing: Packing) -> Tensor:
        """Predict the frames of `targets`; parameters as of `ConditionedDecoder`."""
        assert encoded.states is not None
        layer: Cell = getattr(self, self.kind)
        inputs = StepInputs(layer.input, layer.bias, *previous_frames(targets, packing))
        cell = None if encoded.cell is None else encoded.cell[source]
        hidden, _ = layer.states_and_cell(inputs, layer.recurrent, packing, encoded.z[source], cell)
        attended = attend(hidden, source[packing.sequence], encoded.states)
        combined = torch.tanh(linear_over_rows(torch.cat([hidden, attended], dim=1), self.combine))
        return linear_over_rows(combined, self.output)


def attend(queries: Tensor, word: Tensor, states: Segments, at_once: int = _SCORES_AT_ONCE) -> Tensor:
    """For each query the mean of a word's states, weighted by the softmax of their dot products with the query.

    Parameters
    ----------
    queries : Tensor [shape=(n_queries, size)]
    word : Tensor [shape=(n_queries,)], int64
        The word whose states each query attends to.
    states : Segments
        States [shape=(n_frames, size)] in place of frames.
    at_once : int
        Scores that may lie in memory at once (one word's all the same).

    Returns
    -------
    Tensor [shape=(n_queries, size)]
    """
    # The queries of a word lie together, whatever the number of sequences they come from: its states are taken once.
    by_word = torch.argsort(word, stable=True)
    asked, counts = torch.unique_consecutive(word[by_word], return_counts=True)
    begin = torch.cumsum(counts, 0) - counts
    order = torch.argsort(states.lengths[asked])  # words of like length together: little padding
    longest = int(counts.max()) * int(states.lengths[asked].max())
    answers, places = [], []
    for block in order.split(max(1, at_once // longest)):
        query, real_query = _padded(begin[block], counts[block])  # (B, Q)
        state, real_state = _padded(states.first[asked[block]], states.lengths[asked[block]])  # (B, T)
        memory = states.frames[state]  # (B, T, D)
        place = by_word[query]
        scores = torch.bmm(queries[place], memory.transpose(1, 2))  # (B, Q, T)
        scores = scores.masked_fill(~real_state[:, None], -torch.inf)
        answers.append(torch.bmm(torch.softmax(scores, dim=2), memory)[real_query])
        places.append(place[real_query])
    answer = torch.cat(answers)
    return torch.empty_like(answer).index_copy(0, torch.cat(places), answer)


def _padded(first: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of ranges, padded with each range's last to the longest, and which of them are real."""
    step = torch.arange(int(lengths.max()), device=lengths.device)
    return first[:, None] + torch.minimum(step, lengths[:, None] - 1), step < lengths[:, None]
