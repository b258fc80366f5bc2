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

from speech2vec.packing import GateInputs, Packing


class _PackedGru(torch.autograd.Function):
    """Blocks lie in the order reset, update, candidate, scaled; tanh(x) is 2 sigmoid(2x) - 1, as for the LSTM."""

    @staticmethod
    def forward(
        ctx: Any,
        table: Tensor | None,
        rows: Tensor | None,
        constant: Tensor | None,
        start: Tensor | None,
        initial: Tensor | None,  # (B, H) initial state, longest sequence first
        recurrent: Tensor,  # (H, 4H)
        packing: Packing,
    ) -> Tensor:
        H, sizes = recurrent.shape[0], packing.batch_sizes
        inputs = GateInputs(table, rows, constant, start)
        scale = recurrent.new_ones(4 * H)
        scale[2 * H :] = 2.0
        minus_one = recurrent.new_full((), -1.0)
        gates = inputs.gathered(packing, scale)  # (S, 4H), becomes the activations; `scaled` stays doubled
        doubled = recurrent * scale
        hidden = gates.new_empty(len(gates), H)
        before = initial if initial is not None else gates.new_zeros(sizes[0], H)
        steps = zip(gates.split(sizes), hidden.split(sizes), sizes, strict=True)
        for step, (g, h, size) in enumerate(steps):
            if step or initial is not None:
                g.addmm_(before[:size], doubled)
            reset, update, candidate, scaled = g.view(size, 4, H).unbind(1)
            g[:, : 2 * H].sigmoid_()
            candidate.addcmul_(reset, scaled).sigmoid_()
            torch.add(minus_one, candidate, alpha=2, out=candidate)
            torch.lerp(candidate, before[:size], update, out=h)
            before = h
        ctx.save_for_backward(gates, hidden, *inputs, initial, recurrent)
        ctx.packing = packing
        return hidden

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (d_hidden,) = gradients
        gates, hidden, *given, initial, recurrent = ctx.saved_tensors
        inputs, sizes, H = GateInputs(*given), ctx.packing.batch_sizes, recurrent.shape[0]
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
        d_constant = gates.new_zeros(sizes[0], 4 * H) if inputs.constant is not None else None
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
        d_table, _, _, d_start = inputs.gradients(d_gates)
        return d_table, None, d_constant, d_start, dh if initial is not None else None, d_recurrent, None


def packed_gru(inputs: GateInputs, recurrent: Tensor, packing: Packing, initial: Tensor | None = None) -> Tensor:
    """States of a GRU over packed sequences.

    Parameters
    ----------
    inputs : GateInputs
        Blocks in the order reset, update, candidate, scaled. The last holds the bias inside the reset gate's reach
        (inputs do not come there).
    recurrent : Tensor [shape=(hidden_size, 4 * hidden_size)]
        Recurrent weights, in the same blocks. That of the candidate is zero in a GRU, unless the state is fed back as
        input.
    packing : Packing
    initial : Tensor [shape=(n_sequences, hidden_size)] or None
        The state to start from; in the packing's order.

    Returns
    -------
    Tensor [shape=(n_rows, hidden_size)]
    """
    hidden: Tensor = _PackedGru.apply(*inputs, initial, recurrent, packing)
    return hidden
