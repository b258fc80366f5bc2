"""A GRU over sequences of different lengths that computes no padding, with its gradient written out.

As `speech2vec.lstm`, and with the same interface. The candidate is ``tanh(from input + reset * from state)``, the form
of cuDNN and of `torch.nn.GRU`: the reset gate scales what the recurrent weights make of the state, not the state. So a
step has four blocks, as many as an LSTM's: reset gate, update gate, the candidate's part that the reset gate leaves
alone, and the part that it scales.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from speech2vec.lstm import Packing


class _PackedGru(torch.autograd.Function):
    """Blocks lie in the order reset, update, candidate, scaled; tanh(x) is 2 sigmoid(2x) - 1, as for the LSTM."""

    @staticmethod
    def forward(
        ctx: Any,
        table: Tensor,  # (N, 4H) projected inputs
        rows: Tensor,  # (S,) which of them each packed row takes
        constant: Tensor | None,  # (B, 4H) projected input that stays over time, longest sequence first
        initial: Tensor | None,  # (B, H) initial state
        recurrent: Tensor,  # (H, 4H)
        batch_sizes: list[int],
    ) -> Tensor:
        H = recurrent.shape[0]
        scale = recurrent.new_ones(4 * H)
        scale[2 * H :] = 2.0
        minus_one = recurrent.new_full((), -1.0)
        gates = (table * scale).index_select(0, rows)  # (S, 4H), becomes the activations; `scaled` stays doubled
        doubled = recurrent * scale
        constant = constant * scale if constant is not None else None
        hidden = gates.new_empty(len(rows), H)
        before = initial if initial is not None else gates.new_zeros(batch_sizes[0], H)
        steps = zip(gates.split(batch_sizes), hidden.split(batch_sizes), batch_sizes, strict=True)
        for step, (g, h, size) in enumerate(steps):
            if constant is not None:
                g.add_(constant[:size])
            if step or initial is not None:
                g.addmm_(before[:size], doubled)
            reset, update, candidate, scaled = g.view(size, 4, H).unbind(1)
            g[:, : 2 * H].sigmoid_()
            candidate.addcmul_(reset, scaled).sigmoid_()
            torch.add(minus_one, candidate, alpha=2, out=candidate)
            torch.lerp(candidate, before[:size], update, out=h)
            before = h
        ctx.save_for_backward(gates, hidden, rows, initial, recurrent)
        ctx.batch_sizes, ctx.n_inputs, ctx.has_constant = batch_sizes, len(table), constant is not None
        return hidden

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (d_hidden,) = gradients
        gates, hidden, rows, initial, recurrent = ctx.saved_tensors
        H, sizes = recurrent.shape[0], ctx.batch_sizes
        reset, update, candidate, scaled = gates.view(-1, 4, H).unbind(1)
        start = initial if initial is not None else hidden.new_zeros(sizes[0], H)
        states = (start, *hidden.split(sizes)[:-1])
        before = torch.cat([state[:size] for state, size in zip(states, sizes, strict=True)])  # (S, H)
        # How each block moves the state.
        d_gates = torch.empty_like(gates)
        d_reset, d_update, d_candidate, d_scaled = d_gates.view(-1, 4, H).unbind(1)
        torch.mul(1 - update, 1 - candidate * candidate, out=d_candidate)
        torch.mul(d_candidate, reset, out=d_scaled)
        torch.mul(d_candidate, (reset - reset * reset) * scaled / 2, out=d_reset)
        torch.mul(update - update * update, before - candidate, out=d_update)
        d_constant = gates.new_zeros(sizes[0], 4 * H) if ctx.has_constant else None
        dh = gates.new_zeros(sizes[0], H)  # flowing back from the step after
        transposed = recurrent.t().contiguous()
        steps = zip(*(part.split(sizes) for part in (d_gates, update, d_hidden)), sizes, strict=True)
        for d, kept, d_out, size in reversed(list(steps)):
            h_now = dh[:size]
            h_now.add_(d_out)
            d.view(size, 4, H).mul_(h_now[:, None])
            if d_constant is not None:
                d_constant[:size].add_(d)
            h_now.mul_(kept).addmm_(d, transposed)
        d_recurrent = before.t() @ d_gates
        d_table = gates.new_zeros(ctx.n_inputs, 4 * H).index_add_(0, rows, d_gates)
        return d_table, None, d_constant, dh if initial is not None else None, d_recurrent, None


def packed_gru(
    table: Tensor,
    rows: Tensor,
    recurrent: Tensor,
    packing: Packing,
    constant: Tensor | None = None,
    initial: Tensor | None = None,
) -> Tensor:
    """States of a GRU over packed sequences.

    Parameters
    ----------
    table : Tensor [shape=(n_inputs, 4 * hidden_size)]
        Inputs already multiplied with the input weights, bias added; blocks in the order reset, update, candidate,
        scaled. The last holds the bias inside the reset gate's reach (inputs do not come there).
    rows : Tensor [shape=(n_rows,)], int64
        The input of each packed row.
    recurrent : Tensor [shape=(hidden_size, 4 * hidden_size)]
        Recurrent weights, in the same blocks. That of the candidate is zero in a GRU, unless the state is fed back as
        input.
    packing : Packing
    constant : Tensor [shape=(n_sequences, 4 * hidden_size)] or None
        Added to every step of a sequence; in the packing's order.
    initial : Tensor [shape=(n_sequences, hidden_size)] or None
        The state to start from; in the packing's order.

    Returns
    -------
    Tensor [shape=(n_rows, hidden_size)]
    """
    hidden: Tensor = _PackedGru.apply(table, rows, constant, initial, recurrent, packing.batch_sizes)
    return hidden
