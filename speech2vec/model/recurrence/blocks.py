"""What the compiled recurrences on a CPU share (`lstm_cpu`, `gru_cpu`): a block of sequences, one loop over its steps.

A step of a small recurrent layer is little work, so whoever calls an operator for each part of each step pays for the
calls and for passes over memory. Here a block of sequences goes through all of its steps while its states and the
recurrent weights stay in the cache. Sequences do not depend on each other: blocks are shared out to threads, and what
comes out does not depend on how many there are.

The loops are written so that LLVM makes vector code of them: rows of a constant length (a kernel is compiled for each),
slices that begin at zero, one store a loop. In shape comments S is packed rows, B sequences, H the hidden size.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from speech2vec.model.recurrence.gates import GateInputs
from speech2vec.model.recurrence.packing import Packing

# Sequences that go through the steps together: their states and the weights fit into a core's second-level cache.
BLOCK = 32


LANES = 16  # float32 numbers in the widest vector register


# A kernel that was kept is compiled anew when its own file has changed; one that reads this number, when this file has.
SOURCE = zlib.crc32(Path(__file__).read_bytes())


Kernel = Callable[..., None]


# Without reassociation: rounding by adding and subtracting a large number must stay as it is written. With numpy's
# error model: a test for division by zero would keep the loop from being vectorised.
FAST_MATH = {"contract", "nnan", "ninf", "nsz"}


compiled = njit(fastmath=FAST_MATH, error_model="numpy", nogil=True, cache=True)


@compiled
def sigmoid(x: Any, n: int, slope: Any, fraction: Any, power: Any, power_bits: Any) -> None:
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
def multiply_add(a: Any, a_pitch: int, w: Any, acc: Any, pitch: int, n: int, K: int) -> None:
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


@compiled
def rounded_up(n: int, to: int) -> int:
    return (n + to - 1) // to * to


@compiled
def fill_gates(g: Any, n: int, first: int, sequence: int, table: Any, rows: Any, constant: Any, start: Any) -> None:
    """Put into ``g[:n]`` what the gates of n packed rows from `first` on get from outside (`GateInputs`).

    `sequence` is that of the first row; `start` has no rows but at the first step, and what is not there never has.
    """
    for r in range(n):
        if len(table):
            row = rows[first + r]
            if len(constant):
                for j in range(table.shape[1]):
                    g[r, j] = table[row, j] + constant[sequence + r, j]
            else:
                for j in range(table.shape[1]):
                    g[r, j] = table[row, j]
        else:
            for j in range(constant.shape[1]):
                g[r, j] = constant[sequence + r, j]
        if len(start):
            for j in range(start.shape[1]):
                g[r, j] += start[sequence + r, j]


@lru_cache(maxsize=1)
def _pool(process: int, n_threads: int) -> ThreadPoolExecutor:
    """A process's own threads: those of a parent do not live on in its forks."""
    return ThreadPoolExecutor(n_threads, "recurrence")


def run_blocks(kernel: Kernel, packing: Packing, *tensors: Tensor) -> None:
    """Share the blocks out to torch's number of threads: thread k takes blocks k, k + n, ..., long and short alike."""
    begin, *arrays = (tensor.numpy() for tensor in (packing.begin, *tensors))
    most = torch.get_num_threads()
    n_threads = min(most, -(-len(packing.lengths) // BLOCK))
    if n_threads == 1:
        kernel(0, 1, begin, *arrays)
        return
    pool = _pool(os.getpid(), most - 1)
    others = [pool.submit(kernel, first, n_threads, begin, *arrays) for first in range(1, n_threads)]
    kernel(0, n_threads, begin, *arrays)
    for other in others:
        other.result()


def empty_like_direction(tensor: Tensor | None, direction: int, like: Tensor) -> Tensor:
    """What a tensor has for a direction, or no rows."""
    return like.new_empty(0, 1) if tensor is None else tensor[direction].detach().contiguous()


def given_inputs(
    inputs: GateInputs, direction: int, packing: Packing, like: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Table, rows, constant and start of a direction, as `fill_gates` takes them."""
    table, constant, start = (
        empty_like_direction(x, direction, like) for x in (inputs.table, inputs.constant, inputs.start)
    )
    rows = packing.time[:0] if inputs.rows is None else inputs.rows[direction]
    return table, rows, constant, start


def padded_rows(weights: Tensor) -> Tensor:
    """Weights as `multiply_add` takes them: rows of whole vector registers, their number a multiple of 4; flat."""
    n, length = weights.shape
    rows = weights.new_zeros(rounded_up(n, 4), rounded_up(length, LANES))
    rows[:n, :length] = weights.detach()
    return rows.flatten()
