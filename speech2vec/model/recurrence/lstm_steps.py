"""The recurrence of an LSTM step by step in torch's operators: for any device.

As `lstm_cpu`, with the same two functions; each direction is computed by itself. The loops touch what depends on
the step before; all else is done for all rows at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from speech2vec.model.recurrence.gates import GateInputs, of_direction, stacked
from speech2vec.model.recurrence.packing import Packing


def forwards(
    inputs: GateInputs,
    initial: Tensor | None,
    initial_cell: Tensor | None,
    recurrent: Tensor,
    packing: Packing,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gates, cells, tanh of the cells, hidden states: see `lstm_cpu.forwards`."""
    if recurrent.dim() == 3:
        gates, cells, squashed, hidden = stacked(
            forwards(inputs.of(d), of_direction(initial, d), of_direction(initial_cell, d), weights, packing)
            for d, weights in enumerate(recurrent)
        )
        return gates, cells, squashed, hidden
    H, batch_sizes = recurrent.shape[0], packing.batch_sizes
    # tanh(x) is taken as 2 sigmoid(2 x) - 1, so that one call does for all gates.
    scale = recurrent.new_ones(4 * H)
    scale[3 * H :] = 2.0
    minus_one = recurrent.new_full((), -1.0)
    gates = inputs.gathered(packing, scale)  # (S, 4H), becomes the activations
    doubled = recurrent * scale
    cells, squashed, hidden = gates.new_empty(3, len(gates), H).unbind(0)
    steps = zip(
        gates.split(batch_sizes),
        *(part.split(batch_sizes) for part in gates.view(-1, 4, H).unbind(1)),
        *(part.split(batch_sizes) for part in (cells, squashed, hidden)),
        batch_sizes,
        strict=True,
    )
    h_before, c_before = initial, initial_cell
    for g, i, f, o, candidate, c, squash, h, size in steps:
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
    return gates, cells, squashed, hidden


def backwards(
    states: tuple[Tensor, Tensor, Tensor],
    initial_cell: Tensor | None,
    recurrent: Tensor,
    packing: Packing,
    d_hidden: Tensor,
    d_last_cell: Tensor | None,
    has_constant: bool,
) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    """Gradients of the gates' inputs and of what stays over time: see `lstm_cpu.backwards`."""
    gates, cells, squashed = states
    if recurrent.dim() == 3:
        d_gates, d_constant, d_initial, d_initial_cell = stacked(
            backwards(
                (gates[d], cells[d], squashed[d]),
                of_direction(initial_cell, d),
                weights,
                packing,
                d_hidden[d],
                of_direction(d_last_cell, d),
                has_constant,
            )
            for d, weights in enumerate(recurrent)
        )
        return d_gates, d_constant, d_initial, d_initial_cell
    H, batch_sizes = recurrent.shape[0], packing.batch_sizes
    n = batch_sizes[0]
    i, f, o, candidate = gates.view(-1, 4, H).unbind(1)
    # How each gate's input moves the cell (input, forget, candidate) or the output (output gate).
    d_gates = torch.empty_like(gates)
    by_gate = d_gates.view(-1, 4, H)
    torch.mul(i - i * i, candidate, out=by_gate[:, 0])
    torch.mul(f - f * f, _before(cells, batch_sizes, initial_cell), out=by_gate[:, 1])
    torch.mul(o - o * o, squashed, out=by_gate[:, 2])
    torch.mul(i, 1 - candidate * candidate, out=by_gate[:, 3])
    through_output = o - o * squashed * squashed  # dh/dc
    d_constant = gates.new_zeros(n, 4 * H) if has_constant else None
    dh, dc = gates.new_zeros(2, n, H).unbind(0)  # flowing back from the step after
    if d_last_cell is not None:
        dc.copy_(d_last_cell)
    transposed = recurrent.t().contiguous()
    steps = zip(
        *(part.split(batch_sizes) for part in (d_gates, *by_gate.unbind(1), f, through_output, d_hidden)),
        batch_sizes,
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
    return d_gates, d_constant, dh, dc


def _before(states: Tensor, sizes: list[int], initial: Tensor | None) -> Tensor:
    """The state that each packed row started from: that of its sequence one step before."""
    shifted = torch.empty_like(states)
    parts = shifted.split(sizes)
    parts[0].zero_() if initial is None else parts[0].copy_(initial)
    for part, before in zip(parts[1:], states.split(sizes)[:-1], strict=True):
        part.copy_(before[: len(part)])
    return shifted
