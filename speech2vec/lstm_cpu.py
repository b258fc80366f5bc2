"""The recurrence of `speech2vec.lstm` on a CPU: all steps of a block of sequences in one compiled loop.

A step of a small LSTM is little work, so whoever calls an operator for each part of each step pays for the calls and
for passes over memory. Here a block of sequences goes through all of its steps while its states and the recurrent
weights stay in the cache. Sequences do not depend on each other: blocks are shared out to threads, and what comes out
does not depend on how many there are.

The loops are written so that LLVM makes vector code of them: rows of a constant length (a kernel is compiled for each),
slices that begin at zero, one store a loop. In shape comments S is packed rows, B sequences, H the hidden size; gates
lie in the order input, forget, output, candidate.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from speech2vec.packing import GateInputs, Packing

# Sequences that go through the steps together: their states and the weights fit into a core's second-level cache.
BLOCK = 32
LANES = 16  # float32 numbers in the widest vector register

Kernel = Callable[..., None]

# Without reassociation: rounding by adding and subtracting a large number must stay as it is written. With numpy's
# error model: a test for division by zero would keep the loop from being vectorised.
FAST_MATH = {"contract", "nnan", "ninf", "nsz"}
_compiled = njit(fastmath=FAST_MATH, error_model="numpy", nogil=True, cache=True)


@_compiled
def _sigmoid(x: Any, n: int, slope: Any, fraction: Any, power: Any, power_bits: Any) -> None:
    """``x[:n] = 1 / (1 + exp(-slope * x[:n]))``; `fraction` and `power`, a view of `power_bits`, are scratch."""
    if x.itemsize == 8:
        for r in range(n):
            for j in range(len(slope)):
                x[r, j] = 1.0 / (1.0 + math.exp(-slope[j] * x[r, j]))
        return
    big = np.float32(12582912.0)  # 1.5 * 2 ** 23: adding and subtracting it rounds to the nearest integer
    for r in range(n):
        for j in range(len(slope)):
            y = x[r, j] * slope[j] * np.float32(-1.4426950408889634)  # exp(-z) = 2 ** (-z / ln 2)
            y = min(max(y, np.float32(-126.0)), np.float32(126.0))
            whole = (y + big) - big
            fraction[j] = y - whole
            power_bits[j] = (np.int32(whole) + np.int32(127)) << np.int32(23)  # the bits of 2 ** whole
        for j in range(len(slope)):
            f = fraction[j]
            # 2 ** f for |f| <= 1/2 by Taylor's series; the term left out is below 6e-9.
            p = np.float32(1.5252734e-5) * f + np.float32(1.5403530e-4)
            p = p * f + np.float32(1.3333558e-3)
            p = p * f + np.float32(9.6181291e-3)
            p = p * f + np.float32(5.5504109e-2)
            p = p * f + np.float32(2.4022651e-1)
            p = p * f + np.float32(6.9314718e-1)
            p = p * f + np.float32(1.0)
            x[r, j] = np.float32(1.0) / (np.float32(1.0) + p * power[j])


@njit(fastmath=FAST_MATH, error_model="numpy", nogil=True, forceinline=True)
def _multiply_add(a: Any, a_pitch: int, w: Any, acc: Any, pitch: int, n: int, K: int) -> None:
    """``acc[:n] += a[:n, :K] @ w``, rows of `acc` and `w` having `pitch` numbers; n and K are multiples of 4.

    Inlined where `pitch` is a constant, so that LLVM sees that the eight slices do not overlap.
    """
    p = a_pitch
    for k in range(0, K, 4):
        w0, w1 = w[k * pitch : (k + 1) * pitch], w[(k + 1) * pitch : (k + 2) * pitch]
        w2, w3 = w[(k + 2) * pitch : (k + 3) * pitch], w[(k + 3) * pitch : (k + 4) * pitch]
        for r in range(0, n, 4):
            x = a[r * p + k : (r + 3) * p + k + 4]
            a00, a01, a02, a03 = x[0], x[1], x[2], x[3]
            a10, a11, a12, a13 = x[p], x[p + 1], x[p + 2], x[p + 3]
            a20, a21, a22, a23 = x[2 * p], x[2 * p + 1], x[2 * p + 2], x[2 * p + 3]
            a30, a31, a32, a33 = x[3 * p], x[3 * p + 1], x[3 * p + 2], x[3 * p + 3]
            acc0, acc1 = acc[r * pitch : (r + 1) * pitch], acc[(r + 1) * pitch : (r + 2) * pitch]
            acc2, acc3 = acc[(r + 2) * pitch : (r + 3) * pitch], acc[(r + 3) * pitch : (r + 4) * pitch]
            for j in range(pitch):
                v0, v1, v2, v3 = w0[j], w1[j], w2[j], w3[j]
                acc0[j] += a00 * v0 + a01 * v1 + a02 * v2 + a03 * v3
                acc1[j] += a10 * v0 + a11 * v1 + a12 * v2 + a13 * v3
                acc2[j] += a20 * v0 + a21 * v1 + a22 * v2 + a23 * v3
                acc3[j] += a30 * v0 + a31 * v1 + a32 * v2 + a33 * v3


def _padded(n: int, to: int) -> int:
    return -(-n // to) * to


@_compiled
def _up4(n: int) -> int:
    return (n + 3) // 4 * 4


@cache
def _kernels(hidden_size: int, single: bool) -> tuple[Kernel, Kernel]:
    """The loops forwards and backwards, for float32 (`single`) or float64.

    Each goes over the blocks `first`, `first` + `step`, ...; `begin` holds the first row of each step and, at last, the
    number of rows. What is not there has no rows.
    """
    H, G = hidden_size, 4 * hidden_size
    P, Q = _padded(G, LANES), _padded(H, LANES)  # pitches of gates and of states
    real = np.float32 if single else np.float64
    bits = np.int32 if single else np.int64
    one, two = real(1), real(2)

    @_compiled
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
                for r in range(n):
                    if len(table) and len(constant):
                        row = rows[s + r]
                        for j in range(G):
                            g[r, j] = table[row, j] + constant[b + r, j]
                    elif len(table):
                        row = rows[s + r]
                        for j in range(G):
                            g[r, j] = table[row, j]
                    else:
                        for j in range(G):
                            g[r, j] = constant[b + r, j]
                    if t == 0 and len(start):
                        for j in range(G):
                            g[r, j] += start[b + r, j]
                _multiply_add(h.ravel(), Q, weights, g.ravel(), P, _up4(n), _up4(H))
                _sigmoid(g, n, slope, fraction, power, power_bits)
                for r in range(n):
                    for j in range(3 * H, G):
                        g[r, j] = two * g[r, j] - one
                    for j in range(H):
                        c[r, j] = g[r, H + j] * c[r, j] + g[r, j] * g[r, 3 * H + j]
                    for j in range(H):
                        squash[r, j] = c[r, j]
                _sigmoid(squash, n, twos, fraction, power, power_bits)
                for r in range(n):
                    for j in range(H):
                        squash[r, j] = two * squash[r, j] - one
                    for j in range(H):
                        h[r, j] = g[r, 2 * H + j] * squash[r, j]
                gates[s : s + n] = g[:n, :G]
                cells[s : s + n] = c[:n, :H]
                squashed[s : s + n] = squash[:n, :H]
                hidden[s : s + n] = h[:n, :H]

    @_compiled
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
                _multiply_add(d.ravel(), P, weights, dh.ravel(), Q, _up4(n), G)
            n = min(BLOCK, begin[1] - b)
            d_initial[b : b + n] = dh[:n, :H]

    return forwards, backwards


@lru_cache(maxsize=1)
def _pool(process: int, n_threads: int) -> ThreadPoolExecutor:
    """A process's own threads: those of a parent do not live on in its forks."""
    return ThreadPoolExecutor(n_threads, "lstm")


def _run(kernel: Kernel, packing: Packing, *tensors: Tensor) -> None:
    """Share the blocks out to torch's number of threads: thread k takes blocks k, k + n, ..., long and short alike."""
    begin, *arrays = (tensor.numpy() for tensor in (packing.begin, *tensors))
    n_threads = min(torch.get_num_threads(), -(-len(packing.lengths) // BLOCK))
    if n_threads == 1:
        kernel(0, 1, begin, *arrays)
        return
    pool = _pool(os.getpid(), n_threads - 1)
    others = [pool.submit(kernel, first, n_threads, begin, *arrays) for first in range(1, n_threads)]
    kernel(0, n_threads, begin, *arrays)
    for other in others:
        other.result()


def _or_empty(tensor: Tensor | None, like: Tensor) -> Tensor:
    return like.new_empty(0, 1) if tensor is None else tensor.detach().contiguous()


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
    initial, initial_cell : Tensor [shape=(n_sequences, hidden_size)] or None
    recurrent : Tensor [shape=(hidden_size, 4 * hidden_size)]
    packing : Packing

    Returns
    -------
    gates : Tensor [shape=(n_rows, 4 * hidden_size)]
    cells, squashed, hidden : Tensor [shape=(n_rows, hidden_size)]
        `squashed` is the hyperbolic tangent of the cells.
    """
    H, n_rows = len(recurrent), len(packing.time)
    weights = recurrent.new_zeros(_padded(H, 4), _padded(4 * H, LANES))
    weights[:H, : 4 * H] = recurrent
    states = recurrent.new_empty(n_rows, 4 * H), *recurrent.new_empty(3, n_rows, H).unbind(0)
    rows = packing.time[:0] if inputs.rows is None else inputs.rows
    table, *rest = (
        _or_empty(x, recurrent) for x in (inputs.table, inputs.constant, inputs.start, initial, initial_cell)
    )
    kernel, _ = _kernels(H, recurrent.dtype == torch.float32)
    _run(kernel, packing, table, rows, *rest, weights.flatten(), *states)
    gates, cells, squashed, hidden = states
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
    d_hidden : Tensor [shape=(n_rows, hidden_size)]
    d_last_cell : Tensor [shape=(n_sequences, hidden_size)] or None
        Gradient of the cell state of each sequence's last step.
    has_constant : bool
        Whether there was an input that stays over time.

    Returns
    -------
    d_gates : Tensor [shape=(n_rows, 4 * hidden_size)]
        Gradient of what the gates' functions were applied to.
    d_constant : Tensor [shape=(n_sequences, 4 * hidden_size)] or None
    d_initial, d_initial_cell : Tensor [shape=(n_sequences, hidden_size)]
    """
    gates, cells, squashed = states
    H, n = len(recurrent), len(packing.lengths)
    weights = gates.new_zeros(4 * H, _padded(H, LANES))
    weights[:, :H] = recurrent.t()
    d_gates, d_initial = torch.empty_like(gates), gates.new_empty(n, H)
    d_constant = gates.new_zeros(n if has_constant else 0, 4 * H)
    d_cell = gates.new_zeros(n, H) if d_last_cell is None else d_last_cell.clone()
    before = _or_empty(initial_cell, gates)
    _, kernel = _kernels(H, gates.dtype == torch.float32)
    gradients = d_gates, d_constant, d_initial, d_cell
    _run(kernel, packing, gates, cells, squashed, before, weights.flatten(), d_hidden.contiguous(), *gradients)
    return d_gates, d_constant if has_constant else None, d_initial, d_cell
