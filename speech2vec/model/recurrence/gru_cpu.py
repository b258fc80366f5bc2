"""The recurrence of a GRU on a CPU: all steps of a block of sequences in one compiled loop (`blocks`).

In shape comments S is packed rows, B sequences, H the hidden size, and a kernel's arrays are of one direction; blocks
lie in the order reset, update, candidate, scaled.
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
    """The loops forwards and backwards, for float32 (`single`) or float64, as `lstm_cpu` has them."""
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
        weights: Any,  # recurrent weights, rows of P numbers
        gates: Any,  # (S, 4H), filled here, as is:
        hidden: Any,  # (S, H)
    ) -> None:
        g, h, candidate = np.zeros((BLOCK, P), real), np.zeros((BLOCK, Q), real), np.zeros((BLOCK, Q), real)
        ones, twos = np.ones(2 * H, real), np.full(Q, two)
        fraction, power_bits = np.zeros(P, real), np.zeros(P, bits)
        power = power_bits.view(real)
        nothing = start[:0]
        _ = source
        for b in range(first * BLOCK, begin[1], step * BLOCK):
            h[:] = 0
            n = min(BLOCK, begin[1] - b)
            if len(initial):
                h[:n, :H] = initial[b : b + n]
            for t in range(len(begin) - 1):
                n = min(BLOCK, begin[t + 1] - begin[t] - b)
                if n <= 0:
                    break
                s = begin[t] + b
                fill_gates(g, n, s, b, table, rows, constant, start if t == 0 else nothing)
                multiply_add(h.ravel(), Q, weights, g.ravel(), P, rounded_up(n, 4), rounded_up(H, 4))
                sigmoid(g, n, ones, fraction, power, power_bits)  # reset and update
                for r in range(n):
                    for j in range(H):
                        candidate[r, j] = g[r, 2 * H + j] + g[r, j] * g[r, 3 * H + j]
                sigmoid(candidate, n, twos, fraction, power, power_bits)
                for r in range(n):
                    for j in range(H):
                        candidate[r, j] = two * candidate[r, j] - one  # tanh(x) = 2 sigmoid(2 x) - 1
                    for j in range(H):
                        h[r, j] = candidate[r, j] + g[r, H + j] * (h[r, j] - candidate[r, j])
                    for j in range(H):
                        g[r, 2 * H + j] = candidate[r, j]
                gates[s : s + n] = g[:n, :G]
                hidden[s : s + n] = h[:n, :H]

    @compiled
    def backwards(
        first: int,
        step: int,
        begin: Any,  # (T + 1,)
        gates: Any,  # (S, 4H)
        hidden: Any,  # (S, H)
        initial: Any,  # (B, H)
        weights: Any,  # transposed recurrent weights, rows of Q numbers
        d_hidden: Any,  # (S, H)
        d_gates: Any,  # (S, 4H), filled here, as are:
        d_constant: Any,  # (B, 4H), from zeros
        d_initial: Any,  # (B, H)
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
                    before[:n] = hidden[begin[t - 1] + b : begin[t - 1] + b + n]
                elif len(initial):
                    before[:n] = initial[b : b + n]
                else:
                    before[:] = 0
                for r in range(n):
                    for j in range(H):
                        dh[r, j] += d_hidden[s + r, j]
                    for j in range(H):
                        reset, update = gates[s + r, j], gates[s + r, H + j]
                        candidate, scaled = gates[s + r, 2 * H + j], gates[s + r, 3 * H + j]
                        through = dh[r, j] * (one - update) * (one - candidate * candidate)
                        d[r, j] = through * scaled * (reset - reset * reset)
                        d[r, H + j] = dh[r, j] * (before[r, j] - candidate) * (update - update * update)
                        d[r, 2 * H + j] = through
                        d[r, 3 * H + j] = through * reset
                    for j in range(H):
                        dh[r, j] *= gates[s + r, H + j]
                    if len(d_constant):
                        for j in range(G):
                            d_constant[b + r, j] += d[r, j]
                d_gates[s : s + n] = d[:n, :G]
                multiply_add(d.ravel(), P, weights, dh.ravel(), Q, rounded_up(n, 4), G)
            n = min(BLOCK, begin[1] - b)
            d_initial[b : b + n] = dh[:n, :H]

    return forwards, backwards


def forwards(inputs: GateInputs, initial: Tensor | None, recurrent: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
    """Run the GRU over packed sequences.

    Parameters
    ----------
    inputs : GateInputs
    initial : Tensor [shape=(n_directions, n_sequences, hidden_size)] or None
    recurrent : Tensor [shape=(n_directions, hidden_size, 4 * hidden_size)]
    packing : Packing

    Returns
    -------
    gates : Tensor [shape=(n_directions, n_rows, 4 * hidden_size)]
        Reset gate, update gate, the candidate behind its tanh, and what the reset gate scaled.
    hidden : Tensor [shape=(n_directions, n_rows, hidden_size)]
    """
    (D, H, _), n_rows = recurrent.shape, len(packing.time)
    gates, hidden = recurrent.new_empty(D, n_rows, 4 * H), recurrent.new_empty(D, n_rows, H)
    kernel, _ = _kernels(H, recurrent.dtype == torch.float32)
    for d in range(D):
        given = (
            *given_inputs(inputs, d, packing, recurrent),
            empty_like_direction(initial, d, recurrent),
            padded_rows(recurrent[d]),
        )
        run_blocks(kernel, packing, *given, gates[d], hidden[d])
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
    """Take the gradient of the states back through the GRU.

    Parameters
    ----------
    gates, hidden : Tensor
        As `forwards` returned them.
    initial, recurrent, packing
        As for `forwards`.
    d_hidden : Tensor [shape=(n_directions, n_rows, hidden_size)]
    has_constant : bool
        Whether there was an input that stays over time.

    Returns
    -------
    d_gates : Tensor [shape=(n_directions, n_rows, 4 * hidden_size)]
        Gradient of the blocks before their functions.
    d_constant : Tensor [shape=(n_directions, n_sequences, 4 * hidden_size)] or None
    d_initial : Tensor [shape=(n_directions, n_sequences, hidden_size)]
    """
    (D, H, _), n = recurrent.shape, len(packing.lengths)
    d_gates, d_initial = torch.empty_like(gates), gates.new_empty(D, n, H)
    d_constant = gates.new_zeros(D, n if has_constant else 0, 4 * H)
    _, kernel = _kernels(H, gates.dtype == torch.float32)
    for d in range(D):
        given = empty_like_direction(initial, d, gates), padded_rows(recurrent[d].t()), d_hidden[d].contiguous()
        run_blocks(kernel, packing, gates[d], hidden[d], *given, d_gates[d], d_constant[d], d_initial[d])
    return d_gates, d_constant if has_constant else None, d_initial
