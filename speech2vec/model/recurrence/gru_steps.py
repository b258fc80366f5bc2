"""The recurrence of a GRU step by step in torch's operators: for any device.

As `gru_cpu`, with the same two functions; each direction is computed by itself. tanh(x) is taken as
2 sigmoid(2 x) - 1, so what goes into it, the candidate and what the reset gate scales, is doubled.
"""

from __future__ import annotations

import torch
from torch import Tensor

from speech2vec.model.recurrence.gates import GateInputs, of_direction, stacked
from speech2vec.model.recurrence.packing import Packing


def forwards(inputs: GateInputs, initial: Tensor | None, recurrent: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
    """Gates and states: see `gru_cpu.forwards`."""
    if recurrent.dim() == 3:
        gates, hidden = stacked(
            forwards(inputs.of(d), of_direction(initial, d), weights, packing) for d, weights in enumerate(recurrent)
        )
        return gates, hidden
    H, sizes = recurrent.shape[0], packing.batch_sizes
    scale = recurrent.new_ones(4 * H)
    scale[2 * H :] = 2.0
    minus_one = recurrent.new_full((), -1.0)
    gates = inputs.gathered(packing, scale)  # (S, 4H), becomes the activations
    doubled = recurrent * scale
    hidden = gates.new_empty(len(gates), H)
    before = initial if initial is not None else gates.new_zeros(sizes[0], H)
    for step, (g, h, size) in enumerate(zip(gates.split(sizes), hidden.split(sizes), sizes, strict=True)):
        if step or initial is not None:
            g.addmm_(before[:size], doubled)
        reset, update, candidate, scaled = g.view(size, 4, H).unbind(1)
        g[:, : 2 * H].sigmoid_()
        candidate.addcmul_(reset, scaled).sigmoid_()
        torch.add(minus_one, candidate, alpha=2, out=candidate)
        torch.lerp(candidate, before[:size], update, out=h)
        before = h
    gates[:, 3 * H :].div_(2)
    return gates, hidden


def backwards(
    gates: Tensor,
    hidden: Tensor,
    initial: Tensor | None,
    recurrent: Tensor,
    packing: Packing,
    d_hidden: Tensor,
    has_constant: bool,
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Gradients of the blocks and of what stays over time: see `gru_cpu.backwards`."""
    if recurrent.dim() == 3:
        d_gates, d_constant, d_initial = stacked(
            backwards(gates[d], hidden[d], of_direction(initial, d), weights, packing, d_hidden[d], has_constant)
            for d, weights in enumerate(recurrent)
        )
        return d_gates, d_constant, d_initial
    H, sizes = recurrent.shape[0], packing.batch_sizes
    reset, update, candidate, scaled = gates.view(-1, 4, H).unbind(1)
    start = initial if initial is not None else hidden.new_zeros(sizes[0], H)
    states = (start, *hidden.split(sizes)[:-1])
    before = torch.cat([state[:size] for state, size in zip(states, sizes, strict=True)])  # (S, H)
    # How each block moves the state.
    d_gates = torch.empty_like(gates)
    d_reset, d_update, d_candidate, d_scaled = d_gates.view(-1, 4, H).unbind(1)
    torch.mul(1 - update, 1 - candidate * candidate, out=d_candidate)
    torch.mul(d_candidate, reset, out=d_scaled)
    torch.mul(d_candidate, (reset - reset * reset) * scaled, out=d_reset)
    torch.mul(update - update * update, before - candidate, out=d_update)
    d_constant = gates.new_zeros(sizes[0], 4 * H) if has_constant else None
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
    return d_gates, d_constant, dh
