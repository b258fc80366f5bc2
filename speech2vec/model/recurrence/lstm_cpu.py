"""The recurrence of an LSTM on a CPU: all steps of a block of sequences in one compiled loop (`blocks`).

In shape comments S is packed rows, B sequences, H the hidden size, and a kernel's arrays are of one direction; gates
lie in the order input, forget, output, candidate.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speech2vec.model.recurrence.blocks import (
    BLOCK,
    LANES,
    SOURCE,
    Kernel,
    compiled,
    empty_like_direction,
    fill_gates,
    given_inputs,
    multiply_add,
    padded_rows,
    rounded_up,
    run_blocks,
    sigmoid,
)
from speech2vec.model.recurrence.gates import GateInputs
from speech2vec.model.recurrence.packing import Packing


@cache
def _kernels(hidden_size: int, single: bool) -> tuple[Kernel, Kernel]:
    """The loops forwards and backwards, for float32 (`single`) or float64.

    Each goes over the blocks `first`, `first` + `step`, ...; `begin` holds the first row of each step and, at last, the
    number of rows. What is not there has no rows.
    """
    H, G = hidden_size, 4 * hidden_size
    P, Q = rounded_up(G, LANES), rounded_up(H, LANES)  # pitches of gates and of states
    real = np.float32 if single else np.float64
    bits = np.int32 if single else np.int64
    one, two = real(1), real(2)
    source = SOURCE  # what the kernels name is part of what their kept code is known by

    @compiled
    def forwards(
        first: int,
        step: int,
        begin: Any,  # (T + 1,)
        table: Any,  # (N, 4H)
        rows: Any,  # (S,)
        constant: Any,  # (B, 4H)
        start: Any,  # (B, 4H)
        initial: Any,  # (B, H)
        initial_cell: Any,  # (B, H)
        weights: Any,  # recurrent weights, rows of P numbers
        gates: Any,  # (S, 4H), filled here, as are:
        cells: Any,  # (S, H)
        squashed: Any,  # (S, H)
        hidden: Any,  # (S, H)
    ) -> None:
        g, h = np.zeros((BLOCK, P), real), np.zeros((BLOCK, Q), real)
        c, squash = np.zeros((BLOCK, Q), real), np.zeros((BLOCK, Q), real)
        slope, twos = np.ones(P, real), np.full(Q, two)
        slope[3 * H :] = two  # tanh(x) = 2 sigmoid(2 x) - 1
        fraction, power_bits = np.zeros(P, real), np.zeros(P, bits)
        power = power_bits.view(real)
        nothing = start[:0]
        _ = source
        for b in range(first * BLOCK, begin[1], step * BLOCK):
            h[:], c[:] = 0, 0
            n = min(BLOCK, begin[1] - b)
            if len(initial):
                h[:n, :H] = initial[b : b + n]
            if len(initial_cell):
                c[:n, :H] = initial_cell[b : b + n]
            for t in range(len(begin) - 1):
                n = min(BLOCK, begin[t + 1] - begin[t] - b)
                if n <= 0:
                    break
                s = begin[t] + b
                fill_gates(g, n, s, b, table, rows, constant, start if t == 0 else nothing)
                multiply_add(h.ravel(), Q, weights, g.ravel(), P, rounded_up(n, 4), rounded_up(H, 4))
                sigmoid(g, n, slope, fraction, power, power_bits)
                for r in range(n):
                    for j in range(3 * H, G):
                        g[r, j] = two * g[r, j] - one
                    for j in range(H):
                        c[r, j] = g[r, H + j] * c[r, j] + g[r, j] * g[r, 3 * H + j]
                    for j in range(H):
                        squash[r, j] = c[r, j]
                sigmoid(squash, n, twos, fraction, power, power_bits)
                for r in range(n):
                    for j in range(H):
                        squash[r, j] = two * squash[r, j] - one
                    for j in range(H):
                        h[r, j] = g[r, 2 * H + j] * squash[r, j]
                gates[s : s + n] = g[:n, :G]
                cells[s : s + n] = c[:n, :H]
                squashed[s : s + n] = squash[:n, :H]
                hidden[s : s + n] = h[:n, :H]

    @compiled
    def backwards(
        first: int,
        step: int,
        begin: Any,  # (T + 1,)
        gates: Any,  # (S, 4H)
        cells: Any,  # (S, H)
        squashed: Any,  # (S, H)
        initial_cell: Any,  # (B, H)
        weights: Any,  # transposed recurrent weights, rows of Q numbers
        d_hidden: Any,  # (S, H)
        d_gates: Any,  # (S, 4H), filled here, as are:
        d_constant: Any,  # (B, 4H), from zeros
        d_initial: Any,  # (B, H)
        d_cell: Any,  # (B, H), from the gradient of the last cell states
    ) -> None:
        d, dh, before = np.zeros((BLOCK, P), real), np.zeros((BLOCK, Q), real), np.zeros((BLOCK, H), real)
        _ = source
        for b in range(first * BLOCK, begin[1], step * BLOCK):
            d[:], dh[:] = 0, 0
            for t in range(len(begin) - 2, -1, -1):
                n = min(BLOCK, begin[t + 1] - begin[t] - b)
                if n <= 0:
                    continue
                s = begin[t] + b
                if t > 0:
                    before[:n] = cells[begin[t - 1] + b : begin[t - 1] + b + n]
                elif len(initial_cell):
                    before[:n] = initial_cell[b : b + n]
                else:
                    before[:] = 0
                for r in range(n):
                    for j in range(H):
                        dh[r, j] += d_hidden[s + r, j]
                    for j in range(H):
                        o, squash = gates[s + r, 2 * H + j], squashed[s + r, j]
                        d_cell[b + r, j] += dh[r, j] * (o - o * squash * squash)
                    for j in range(H):
                        i, f, o = gates[s + r, j], gates[s + r, H + j], gates[s + r, 2 * H + j]
                        candidate, dc = gates[s + r, 3 * H + j], d_cell[b + r, j]
                        d[r, j] = dc * candidate * (i - i * i)
                        d[r, H + j] = dc * before[r, j] * (f - f * f)
                        d[r, 2 * H + j] = dh[r, j] * squashed[s + r, j] * (o - o * o)
                        d[r, 3 * H + j] = dc * i * (one - candidate * candidate)
                    for j in range(H):
                        d_cell[b + r, j] *= gates[s + r, H + j]
                    if len(d_constant):
                        for j in range(G):
                            d_constant[b + r, j] += d[r, j]
                d_gates[s : s + n] = d[:n, :G]
                dh[:n] = 0
                multiply_add(d.ravel(), P, weights, dh.ravel(), Q, rounded_up(n, 4), G)
            n = min(BLOCK, begin[1] - b)
            d_initial[b : b + n] = dh[:n, :H]

    return forwards, backwards


def forwards(
    inputs: GateInputs,
    initial: Tensor | None,
    initial_cell: Tensor | None,
    recurrent: Tensor,
    packing: Packing,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Run the LSTM over packed sequences.

    Parameters
    ----------
    inputs : GateInputs
    initial, initial_cell : Tensor [shape=(n_directions, n_sequences, hidden_size)] or None
    recurrent : Tensor [shape=(n_directions, hidden_size, 4 * hidden_size)]
    packing : Packing

    Returns
    -------
    gates : Tensor [shape=(n_directions, n_rows, 4 * hidden_size)]
    cells, squashed, hidden : Tensor [shape=(n_directions, n_rows, hidden_size)]
        `squashed` is the hyperbolic tangent of the cells.
    """
    (D, H, _), n_rows = recurrent.shape, len(packing.time)
    gates = recurrent.new_empty(D, n_rows, 4 * H)
    cells, squashed, hidden = recurrent.new_empty(3, D, n_rows, H).unbind(0)
    kernel, _ = _kernels(H, recurrent.dtype == torch.float32)
    for d in range(D):
        start = empty_like_direction(initial, d, recurrent), empty_like_direction(initial_cell, d, recurrent)
        given = *given_inputs(inputs, d, packing, recurrent), *start, padded_rows(recurrent[d])
        run_blocks(kernel, packing, *given, gates[d], cells[d], squashed[d], hidden[d])
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
    """Take the gradient of the hidden states back through the LSTM.

    Parameters
    ----------
    states : tuple of Tensor
        Gates, cells and their tanh, as `forwards` returned them.
    initial_cell, recurrent, packing
        As for `forwards`.
    d_hidden : Tensor [shape=(n_directions, n_rows, hidden_size)]
    d_last_cell : Tensor [shape=(n_directions, n_sequences, hidden_size)] or None
        Gradient of the cell state of each sequence's last step.
    has_constant : bool
        Whether there was an input that stays over time.

    Returns
    -------
    d_gates : Tensor [shape=(n_directions, n_rows, 4 * hidden_size)]
        Gradient of what the gates' functions were applied to.
    d_constant : Tensor [shape=(n_directions, n_sequences, 4 * hidden_size)] or None
    d_initial, d_initial_cell : Tensor [shape=(n_directions, n_sequences, hidden_size)]
    """
    (D, H, _), n = recurrent.shape, len(packing.lengths)
    gates, _, _ = states
    d_gates, d_initial = torch.empty_like(gates), gates.new_empty(D, n, H)
    d_constant = gates.new_zeros(D, n if has_constant else 0, 4 * H)
    d_cell = gates.new_zeros(D, n, H) if d_last_cell is None else d_last_cell.clone()
    _, kernel = _kernels(H, gates.dtype == torch.float32)
    for d in range(D):
        given = empty_like_direction(initial_cell, d, gates), padded_rows(recurrent[d].t()), d_hidden[d].contiguous()
        gradients = d_gates[d], d_constant[d], d_initial[d], d_cell[d]
        run_blocks(kernel, packing, *(state[d] for state in states), *given, *gradients)
    return d_gates, d_constant if has_constant else None, d_initial, d_cell
