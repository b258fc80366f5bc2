"""An LSTM over sequences of different lengths that computes no padding, with its gradient written out.

The sequences of a batch are packed time-major, longest first: step t holds the ``batch_sizes[t]`` sequences that are
longer than t, so each step is one small matrix product on rows that lie together. What does not depend on the
recurrence is taken out of the loop: inputs are projected once for each distinct frame (and gathered, however many
sequences share it), an input that stays the same over time is projected once for each sequence, and the weights'
gradients are single large products at the end. On a CPU this is several times as fast as `torch.nn.LSTM` on packed or
padded input; the numbers are the same (tests/speech2vec/test_lstm.py, in float64).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


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


class _PackedLstm(torch.autograd.Function):
    """Gates lie in the order input, forget, output, candidate.

    tanh(x) is taken as 2 sigmoid(2x) - 1: torch's sigmoid is many times as fast as its tanh on a CPU, and so one call
    does for all gates. The loops touch what depends on the step before; all else is done for all rows at once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        table: Tensor,  # (N, 4H) projected inputs
        rows: Tensor,  # (S,) which of them each packed row takes
        constant: Tensor | None,  # (B, 4H) projected input that stays over time, longest sequence first
        initial: Tensor | None,  # (B, H) initial hidden state
        initial_cell: Tensor | None,  # (B, H)
        recurrent: Tensor,  # (H, 4H)
        batch_sizes: list[int],
        ends: Tensor | None,  # (B,) the row of each sequence's last step, if its cell state is asked for
    ) -> tuple[Tensor, Tensor | None]:
        H = recurrent.shape[0]
        scale = recurrent.new_ones(4 * H)
        scale[3 * H :] = 2.0
        minus_one = recurrent.new_full((), -1.0)
        gates = (table * scale).index_select(0, rows)  # (S, 4H), becomes the activations
        doubled = recurrent * scale
        constant = constant * scale if constant is not None else None
        cells, squashed, hidden = gates.new_empty(3, len(rows), H).unbind(0)  # squashed is tanh of the cells
        steps = zip(
            gates.split(batch_sizes),
            *(part.split(batch_sizes) for part in gates.view(-1, 4, H).unbind(1)),
            *(part.split(batch_sizes) for part in (cells, squashed, hidden)),
            batch_sizes,
            strict=True,
        )
        h_before, c_before = initial, initial_cell
        for g, i, f, o, candidate, c, squash, h, size in steps:
            if constant is not None:
                g.add_(constant[:size])
            if h_before is not None:
                g.addmm_(h_before[:size], doubled)
            g.sigmoid_()
            torch.add(minus_one, candidate, alpha=2, out=candidate)
            torch.mul(i, candidate, out=c)
            if c_before is not None:
                c.addcmul_(f, c_before[:size])
            torch.mul(c, 2.0, out=squash)
            torch.add(minus_one, squash.sigmoid_(), alpha=2, out=squash)
            torch.mul(o, squash, out=h)
            h_before, c_before = h, c
        ctx.save_for_backward(gates, cells, squashed, hidden, rows, initial, initial_cell, recurrent)
        ctx.batch_sizes, ctx.n_inputs, ctx.has_constant = batch_sizes, len(table), constant is not None
        return hidden, None if ends is None else cells[ends]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        d_hidden, d_last_cell = gradients
        gates, cells, squashed, hidden, rows, initial, initial_cell, recurrent = ctx.saved_tensors
        H, sizes = recurrent.shape[0], ctx.batch_sizes
        i, f, o, candidate = gates.view(-1, 4, H).unbind(1)
        # How each gate's input moves the cell (input, forget, candidate) or the output (output gate).
        d_gates = torch.empty_like(gates)
        by_gate = d_gates.view(-1, 4, H)
        torch.mul(i - i * i, candidate, out=by_gate[:, 0])
        torch.mul(f - f * f, _before(cells, sizes, initial_cell), out=by_gate[:, 1])
        torch.mul(o - o * o, squashed, out=by_gate[:, 2])
        torch.mul(i, 1 - candidate * candidate, out=by_gate[:, 3])
        through_output = o - o * squashed * squashed  # dh/dc
        n = sizes[0]
        d_constant = gates.new_zeros(n, 4 * H) if ctx.has_constant else None
        dh, dc = gates.new_zeros(2, n, H).unbind(0)  # flowing back from the step after
        if d_last_cell is not None:
            dc.copy_(d_last_cell)
        transposed = recurrent.t().contiguous()
        steps = zip(
            *(part.split(sizes) for part in (d_gates, *by_gate.unbind(1), f, through_output, d_hidden)),
            sizes,
            strict=True,
        )
        for d, d_i, d_f, d_o, d_candidate, forget, through, d_out, size in reversed(list(steps)):
            h_now, c_now = dh[:size], dc[:size]
            h_now.add_(d_out)
            c_now.addcmul_(h_now, through)
            d_o.mul_(h_now)
            d_i.mul_(c_now)
            d_f.mul_(c_now)
            d_candidate.mul_(c_now)
            if d_constant is not None:
                d_constant[:size].add_(d)
            c_now.mul_(forget)
            torch.mm(d, transposed, out=h_now)
        d_recurrent = _before(hidden, sizes, initial).t() @ d_gates
        d_table = gates.new_zeros(ctx.n_inputs, 4 * H).index_add_(0, rows, d_gates)
        d_initial, d_initial_cell = dh if initial is not None else None, dc if initial_cell is not None else None
        return d_table, None, d_constant, d_initial, d_initial_cell, d_recurrent, None, None


def _before(states: Tensor, sizes: list[int], initial: Tensor | None) -> Tensor:
    """The state that each packed row started from: that of its sequence one step before."""
    shifted = torch.empty_like(states)
    parts = shifted.split(sizes)
    parts[0].zero_() if initial is None else parts[0].copy_(initial)
    for part, before in zip(parts[1:], states.split(sizes)[:-1], strict=True):
        part.copy_(before[: len(part)])
    return shifted


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
    hidden: Tensor = _PackedLstm.apply(table, rows, constant, initial, None, recurrent, packing.batch_sizes, None)[0]
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
    sizes, ends = packing.batch_sizes, packing.last_rows()
    hidden, last_cell = _PackedLstm.apply(table, rows, constant, initial, initial_cell, recurrent, sizes, ends)
    return hidden, last_cell
