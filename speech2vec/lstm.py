"""An LSTM over sequences of different lengths that computes no padding, with its gradient written out.

The sequences of a batch are packed time-major, longest first: step t holds the ``batch_sizes[t]`` sequences that are
longer than t, on rows that lie together. What does not depend on the recurrence is taken out of it: inputs are
projected once for each distinct frame (and gathered, however many sequences share it), an input that stays the same
over time is projected once for each sequence, and the weights' gradients are single large products at the end. The
recurrence itself is `lstm_kernel` on a CPU and `lstm_steps` elsewhere. The numbers are those of `torch.nn.LSTM`
(tests/speech2vec/test_lstm.py, in float64).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from speech2vec import lstm_kernel, lstm_steps


@dataclass(frozen=True)
class Packing:
    """How sequences lie in packed order.

    Parameters
    ----------
    order : Tensor [shape=(n_sequences,)], int64
        The sequences, longest first.
    batch_sizes : list of int
        Sequences longer than t, for each t.
    sequence, time : Tensor [shape=(n_rows,)], int64
        Of each packed row: its sequence (as a position in `order`) and its time step.
    lengths : Tensor [shape=(n_sequences,)], int64
        In the order of `order`.
    """

    order: Tensor
    batch_sizes: list[int]
    sequence: Tensor
    time: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, lengths: Tensor) -> Packing:
        """Pack sequences of these lengths (each 1 or more)."""
        sorted_lengths, order = torch.sort(lengths, descending=True, stable=True)
        longest = int(sorted_lengths[0])
        counts = torch.bincount(sorted_lengths, minlength=longest + 1)
        sizes = len(lengths) - torch.cumsum(counts, 0)[:-1]  # longer than 0, 1, ..., longest - 1
        time = torch.repeat_interleave(torch.arange(longest, device=lengths.device), sizes)
        begin = torch.cumsum(sizes, 0) - sizes
        sequence = torch.arange(len(time), device=lengths.device) - begin[time]
        return cls(order, sizes.tolist(), sequence, time, sorted_lengths)

    def last_rows(self) -> Tensor:
        """The packed row of each sequence's last step [shape=(n_sequences,)], in the order of `order`."""
        sizes = torch.tensor(self.batch_sizes, device=self.lengths.device)
        begin = torch.cumsum(sizes, 0) - sizes
        return begin[self.lengths - 1] + torch.arange(len(self.lengths), device=self.lengths.device)

    def previous_rows(self) -> Tensor:
        """The packed row one step before, for each row but those of step 0 [shape=(n_rows - n_sequences,)]."""
        sizes = torch.tensor(self.batch_sizes, device=self.lengths.device)
        begin = torch.cumsum(sizes, 0) - sizes
        n = self.batch_sizes[0]
        return begin[self.time[n:] - 1] + self.sequence[n:]


class _PackedLstm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        table: Tensor,  # (N, 4H) projected inputs
        rows: Tensor,  # (S,) which of them each packed row takes
        constant: Tensor | None,  # (B, 4H) projected input that stays over time, longest sequence first
        initial: Tensor | None,  # (B, H) initial hidden state
        initial_cell: Tensor | None,  # (B, H)
        recurrent: Tensor,  # (H, 4H)
        packing: Packing,
        ends: Tensor | None,  # (B,) the row of each sequence's last step, if its cell state is asked for
    ) -> tuple[Tensor, Tensor | None]:
        engine = _engine(recurrent)
        states = engine.forwards(table, rows, constant, initial, initial_cell, recurrent, packing.batch_sizes)
        ctx.save_for_backward(*states, rows, initial, initial_cell, recurrent)
        ctx.packing, ctx.n_inputs, ctx.has_constant = packing, len(table), constant is not None
        _, cells, _, hidden = states
        return hidden, None if ends is None else cells[ends]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        d_hidden, d_last_cell = gradients
        gates, cells, squashed, hidden, rows, initial, initial_cell, recurrent = ctx.saved_tensors
        packing: Packing = ctx.packing
        d_gates, d_constant, d_initial, d_initial_cell = _engine(recurrent).backwards(
            (gates, cells, squashed),
            initial_cell,
            recurrent,
            packing.batch_sizes,
            d_hidden,
            d_last_cell,
            ctx.has_constant,
        )
        n = packing.batch_sizes[0]
        d_recurrent = hidden[packing.previous_rows()].t() @ d_gates[n:]
        if initial is not None:
            d_recurrent.addmm_(initial.t(), d_gates[:n])
        d_table = gates.new_zeros(ctx.n_inputs, gates.shape[1]).index_add_(0, rows, d_gates)
        d_initial, d_initial_cell = (
            None if given is None else d for given, d in ((initial, d_initial), (initial_cell, d_initial_cell))
        )
        return d_table, None, d_constant, d_initial, d_initial_cell, d_recurrent, None, None


def _engine(tensor: Tensor) -> ModuleType:
    compiled = tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.float64)
    return lstm_kernel if compiled else lstm_steps


def packed_lstm(
    table: Tensor,
    rows: Tensor,
    recurrent: Tensor,
    packing: Packing,
    constant: Tensor | None = None,
    initial: Tensor | None = None,
) -> Tensor:
    """Hidden states of an LSTM over packed sequences.

    Parameters
    ----------
    table : Tensor [shape=(n_inputs, 4 * hidden_size)]
        Inputs already multiplied with the input weights, bias added.
    rows : Tensor [shape=(n_rows,)], int64
        The input of each packed row.
    recurrent : Tensor [shape=(hidden_size, 4 * hidden_size)]
        Recurrent weights; gates in the order input, forget, output, candidate.
    packing : Packing
    constant : Tensor [shape=(n_sequences, 4 * hidden_size)] or None
        Added to every step of a sequence; in the packing's order.
    initial : Tensor [shape=(n_sequences, hidden_size)] or None
        The hidden state to start from; in the packing's order. The cell state starts at zero.

    Returns
    -------
    Tensor [shape=(n_rows, hidden_size)]
    """
    hidden: Tensor = _PackedLstm.apply(table, rows, constant, initial, None, recurrent, packing, None)[0]
    return hidden


def packed_lstm_with_cell(
    table: Tensor,
    rows: Tensor,
    recurrent: Tensor,
    packing: Packing,
    constant: Tensor | None = None,
    initial: Tensor | None = None,
    initial_cell: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """As `packed_lstm`, from a given cell state and with the cell state of each sequence's last step.

    Parameters
    ----------
    table, rows, recurrent, packing, constant, initial
        As for `packed_lstm`.
    initial_cell : Tensor [shape=(n_sequences, hidden_size)] or None
        The cell state to start from, zero if None; in the packing's order.

    Returns
    -------
    hidden : Tensor [shape=(n_rows, hidden_size)]
    last_cell : Tensor [shape=(n_sequences, hidden_size)]
        In the packing's order.
    """
    hidden, last_cell = _PackedLstm.apply(
        table, rows, constant, initial, initial_cell, recurrent, packing, packing.last_rows()
    )
    return hidden, last_cell
