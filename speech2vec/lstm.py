"""An LSTM over sequences of different lengths that computes no padding, with its gradient written out.

The sequences of a batch are packed time-major, longest first: step t holds the ``batch_sizes[t]`` sequences that are
longer than t, so each step is one small matrix product on rows that lie together. What does not depend on the
recurrence is taken out of the loop: inputs are projected once for each distinct frame (and gathered, however many
sequences share it), an input that stays the same over time is projected once for each sequence, and the weights'
gradients are single large products at the end. On a CPU this is several times as fast as `torch.nn.LSTM` on packed or
padded input; the numbers are the same (tests/speech2vec/test_lstm.py, in float64).
"""

from __future__ import annotations

import itertools
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
    """Gates lie in the order input, forget, output, candidate: one sigmoid for the first three."""

    @staticmethod
    def forward(
        ctx: Any,
        table: Tensor,  # (N, 4H) projected inputs
        rows: Tensor,  # (S,) which of them each packed row takes
        constant: Tensor | None,  # (B, 4H) projected input that stays over time, longest sequence first
        initial: Tensor | None,  # (B, H) initial hidden state
        recurrent: Tensor,  # (H, 4H)
        batch_sizes: list[int],
    ) -> Tensor:
        H = recurrent.shape[0]
        gates = table.index_select(0, rows)  # (S, 4H), becomes the activations
        cells = gates.new_empty(len(rows), H)
        squashed = torch.empty_like(cells)  # tanh of the cells
        hidden = torch.empty_like(cells)
        h, c, begin = initial, None, 0
        for size in batch_sizes:
            end = begin + size
            g = gates[begin:end]
            if constant is not None:
                g.add_(constant[:size])
            if h is not None:
                g.addmm_(h[:size], recurrent)
            g[:, : 3 * H].sigmoid_()
            g[:, 3 * H :].tanh_()
            cell = cells[begin:end]
            torch.mul(g[:, :H], g[:, 3 * H :], out=cell)
            if c is not None:
                cell.addcmul_(g[:, H : 2 * H], c[:size])
            torch.tanh(cell, out=squashed[begin:end])
            torch.mul(g[:, 2 * H : 3 * H], squashed[begin:end], out=hidden[begin:end])
            h, c, begin = hidden[begin:end], cell, end
        ctx.save_for_backward(gates, cells, squashed, hidden, rows, initial, recurrent)
        ctx.batch_sizes, ctx.n_inputs, ctx.has_constant = batch_sizes, len(table), constant is not None
        return hidden

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (d_hidden,) = gradients
        gates, cells, squashed, hidden, rows, initial, recurrent = ctx.saved_tensors
        H, sizes = recurrent.shape[0], ctx.batch_sizes
        n = sizes[0]
        d_gates = torch.empty_like(gates)
        d_constant = gates.new_zeros(n, 4 * H) if ctx.has_constant else None
        dh, dc = gates.new_zeros(n, H), gates.new_zeros(n, H)  # flowing back from the step after
        transposed = recurrent.t().contiguous()
        end = len(rows)
        for step in range(len(sizes) - 1, -1, -1):
            size, begin = sizes[step], end - sizes[step]
            g, d, squash = gates[begin:end], d_gates[begin:end], squashed[begin:end]
            i, f, o, candidate = g[:, :H], g[:, H : 2 * H], g[:, 2 * H : 3 * H], g[:, 3 * H :]
            h_now, c_now = dh[:size], dc[:size]
            h_now.add_(d_hidden[begin:end])
            # dL/dc through h = o tanh(c), added to what came from the next step's forget gate.
            c_now.add_(torch.ops.aten.tanh_backward(h_now * o, squash))
            torch.mul(h_now, squash, out=d[:, 2 * H : 3 * H])
            torch.mul(c_now, candidate, out=d[:, :H])
            if step:
                before = begin - sizes[step - 1]
                torch.mul(c_now, cells[before : before + size], out=d[:, H : 2 * H])
            else:
                d[:, H : 2 * H].zero_()
            d[:, : 3 * H].mul_(torch.ops.aten.sigmoid_backward(g.new_ones(()), g[:, : 3 * H]))
            torch.mul(c_now, i, out=d[:, 3 * H :])
            d[:, 3 * H :].mul_(torch.ops.aten.tanh_backward(g.new_ones(()), candidate))
            if d_constant is not None:
                d_constant[:size].add_(d)
            c_now.mul_(f)
            torch.mm(d, transposed, out=h_now)
            end = begin
        # Step t's hidden state meets the recurrent weights at step t + 1, for the sequences that go on.
        first = sizes[0]
        previous = hidden.new_empty(len(rows), H)
        if initial is not None:
            previous[:first] = initial
        else:
            previous[:first].zero_()
        carried, target = 0, first
        for size, following in itertools.pairwise(sizes):
            previous[target : target + following] = hidden[carried : carried + following]
            carried, target = carried + size, target + following
        d_recurrent = previous.t() @ d_gates
        d_table = gates.new_zeros(ctx.n_inputs, 4 * H).index_add_(0, rows, d_gates)
        return d_table, None, d_constant, dh if initial is not None else None, d_recurrent, None


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
    hidden: Tensor = _PackedLstm.apply(table, rows, constant, initial, recurrent, packing.batch_sizes)
    return hidden
