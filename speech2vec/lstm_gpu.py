"""The recurrence of `speech2vec.lstm` on a GPU: all steps of a block of sequences in one kernel (Triton).

As `speech2vec.lstm_cpu`, with the same two functions. Step by step in torch's operators, a small LSTM on a GPU is spent
on launching kernels: a hundred steps of ten operators each way, most of them on too few sequences to fill the machine.
Here each program takes a block of sequences through all of their steps and waits for no other; the states of the step
before come back from the first-level cache, the recurrent weights too. Hidden sizes beyond `TILE` are gone through in
tiles, so any fits.

Matrix products are of three tf32 products each, which is as good as float32, or of bfloat16; sums, cells and gates'
functions are in float32. With TRITON_INTERPRET=1 set, the kernels run on the CPU, slowly (tests/speech2vec/
test_lstm_gpu.py).
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from speech2vec.packing import GateInputs, Packing

BLOCK = 16  # sequences to a program
TILE = 64  # hidden units to a matrix product, at most
WARPS = 4


@triton.jit
def _sigmoid(x):  # type: ignore[no-untyped-def]
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def _tanh(x):  # type: ignore[no-untyped-def]
    return 2.0 / (1.0 + tl.exp(-2.0 * x)) - 1.0


@triton.jit
def _add_gates(i, f, o, candidate, at, real, H: tl.constexpr):  # type: ignore[no-untyped-def]
    """Add what lies at `at` for the input gate, and H, 2 H, 3 H further for the others."""
    i += tl.load(at, mask=real, other=0.0).to(tl.float32)
    f += tl.load(at + H, mask=real, other=0.0).to(tl.float32)
    o += tl.load(at + 2 * H, mask=real, other=0.0).to(tl.float32)
    candidate += tl.load(at + 3 * H, mask=real, other=0.0).to(tl.float32)
    return i, f, o, candidate


@triton.jit
def _store_gates(at, i, f, o, candidate, real, H: tl.constexpr):  # type: ignore[no-untyped-def]
    tl.store(at, i, mask=real)
    tl.store(at + H, f, mask=real)
    tl.store(at + 2 * H, o, mask=real)
    tl.store(at + 3 * H, candidate, mask=real)


@triton.jit(do_not_specialize=["n_sequences"])
def forwards_kernel(  # type: ignore[no-untyped-def]
    n_sequences,
    begin,  # (T + 1,)
    lengths,  # (B,)
    table,  # (N, 4H) or None
    rows,  # (S,) or None
    constant,  # (B, 4H) or None
    start,  # (B, 4H) or None
    initial,  # (B, H) or None
    initial_cell,  # (B, H) or None
    weights,  # (P, 4, P), zeros beyond H
    gates,  # (S, 4H), filled here, as are:
    cells,  # (S, H)
    squashed,  # (S, H)
    hidden,  # (S, H)
    H: tl.constexpr,
    P: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    first = tl.program_id(0).to(tl.int64) * BLOCK
    own, tile = tl.arange(0, BLOCK), tl.arange(0, TILE)
    length = tl.load(lengths + first + own, mask=first + own < n_sequences, other=0)
    for t in range(0, tl.max(length)):
        runs = length > t
        # A block's sequences lie on rows that follow each other, at every step.
        row = tl.load(begin + t) + first
        before = tl.load(begin + t - 1, mask=t > 0, other=0) + first
        for n in range(0, H, TILE):
            unit = n + tile
            real = runs[:, None] & (unit < H)[None, :]
            narrow = own[:, None] * H + unit[None, :]
            wide = own[:, None] * (4 * H) + unit[None, :]
            i = tl.zeros((BLOCK, TILE), tl.float32)
            f = tl.zeros((BLOCK, TILE), tl.float32)
            o = tl.zeros((BLOCK, TILE), tl.float32)
            candidate = tl.zeros((BLOCK, TILE), tl.float32)
            if table is not None:
                taken = tl.load(rows + row + own, mask=runs, other=0)[:, None] * (4 * H) + unit[None, :]
                i, f, o, candidate = _add_gates(i, f, o, candidate, table + taken, real, H)
            if constant is not None:
                i, f, o, candidate = _add_gates(i, f, o, candidate, constant + first * (4 * H) + wide, real, H)
            if start is not None:
                i, f, o, candidate = _add_gates(i, f, o, candidate, start + first * (4 * H) + wide, real & (t == 0), H)
            for k in range(0, H, TILE):
                key = k + tile
                known = runs[:, None] & (key < H)[None, :]
                state = own[:, None] * H + key[None, :]
                h = tl.load(hidden + before * H + state, mask=known & (t > 0), other=0.0)
                if initial is not None:
                    h += tl.load(initial + first * H + state, mask=known & (t == 0), other=0.0)
                w = weights + key[:, None] * (4 * P) + unit[None, :]
                i = tl.dot(h, tl.load(w), i, input_precision=PRECISION)
                f = tl.dot(h, tl.load(w + P), f, input_precision=PRECISION)
                o = tl.dot(h, tl.load(w + 2 * P), o, input_precision=PRECISION)
                candidate = tl.dot(h, tl.load(w + 3 * P), candidate, input_precision=PRECISION)
            i, f, o, candidate = _sigmoid(i), _sigmoid(f), _sigmoid(o), _tanh(candidate)
            _store_gates(gates + row * (4 * H) + wide, i, f, o, candidate, real, H)
            c = tl.load(cells + before * H + narrow, mask=real & (t > 0), other=0.0)
            if initial_cell is not None:
                c += tl.load(initial_cell + first * H + narrow, mask=real & (t == 0), other=0.0).to(tl.float32)
            c = f * c + i * candidate
            squash = _tanh(c)
            tl.store(cells + row * H + narrow, c, mask=real)
            tl.store(squashed + row * H + narrow, squash, mask=real)
            tl.store(hidden + row * H + narrow, o * squash, mask=real)
        tl.debug_barrier()  # the next step reads hidden states that other threads have written


@triton.jit
def _through_gates(  # type: ignore[no-untyped-def]
    dh, d_gates, runs, weights, unit, own, H: tl.constexpr, P: tl.constexpr, TILE: tl.constexpr, PRECISION: tl.constexpr
):
    """Add to the gradient of some units of a hidden state what comes through the gates of the step at `d_gates`."""
    for k in range(0, H, TILE):
        key = k + tl.arange(0, TILE)
        known = runs[:, None] & (key < H)[None, :]
        at = d_gates + own[:, None] * (4 * H) + key[None, :]
        w = weights + key[:, None] * P + unit[None, :]
        for gate in tl.static_range(4):
            d = tl.load(at + gate * H, mask=known, other=0.0)
            dh = tl.dot(d, tl.load(w + gate * P * P), dh, input_precision=PRECISION)
    return dh


@triton.jit(do_not_specialize=["n_sequences"])
def backwards_kernel(  # type: ignore[no-untyped-def]
    n_sequences,
    begin,  # (T + 1,)
    lengths,  # (B,)
    gates,  # (S, 4H)
    cells,  # (S, H)
    squashed,  # (S, H)
    initial_cell,  # (B, H) or None
    weights,  # (4, P, P), transposed, zeros beyond H
    d_hidden,  # (S, H)
    d_gates,  # (S, 4H), filled here, as are:
    d_constant,  # (B, 4H) or None, from zeros
    d_initial,  # (B, H)
    d_cell,  # (B, H), from the gradient of the last cell states
    H: tl.constexpr,
    P: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    first = tl.program_id(0).to(tl.int64) * BLOCK
    own, tile = tl.arange(0, BLOCK), tl.arange(0, TILE)
    length = tl.load(lengths + first + own, mask=first + own < n_sequences, other=0)
    n_steps = tl.max(length)
    for back in range(0, n_steps):
        t = n_steps - 1 - back
        runs, goes_on = length > t, length > t + 1
        row = tl.load(begin + t) + first
        before = tl.load(begin + t - 1, mask=t > 0, other=0) + first
        after = tl.load(begin + t + 1) + first
        for n in range(0, H, TILE):
            unit = n + tile
            real = runs[:, None] & (unit < H)[None, :]
            narrow = own[:, None] * H + unit[None, :]
            wide = own[:, None] * (4 * H) + unit[None, :]
            dh = tl.load(d_hidden + row * H + narrow, mask=real, other=0.0).to(tl.float32)
            dh = _through_gates(dh, d_gates + after * (4 * H), goes_on, weights, unit, own, H, P, TILE, PRECISION)
            zero = tl.zeros((BLOCK, TILE), tl.float32)
            i, f, o, candidate = _add_gates(zero, zero, zero, zero, gates + row * (4 * H) + wide, real, H)
            squash = tl.load(squashed + row * H + narrow, mask=real, other=0.0).to(tl.float32)
            flowing = d_cell + first * H + narrow
            dc = tl.load(flowing, mask=real, other=0.0) + dh * (o - o * squash * squash)
            tl.store(flowing, dc * f, mask=real)
            c = tl.load(cells + before * H + narrow, mask=real & (t > 0), other=0.0)
            if initial_cell is not None:
                c += tl.load(initial_cell + first * H + narrow, mask=real & (t == 0), other=0.0).to(tl.float32)
            d_i = dc * candidate * (i - i * i)
            d_f = dc * c * (f - f * f)
            d_o = dh * squash * (o - o * o)
            d_candidate = dc * i * (1.0 - candidate * candidate)
            _store_gates(d_gates + row * (4 * H) + wide, d_i, d_f, d_o, d_candidate, real, H)
            if d_constant is not None:
                total = d_constant + first * (4 * H) + wide
                d_i, d_f, d_o, d_candidate = _add_gates(d_i, d_f, d_o, d_candidate, total, real, H)
                _store_gates(total, d_i, d_f, d_o, d_candidate, real, H)
        tl.debug_barrier()  # the step before reads gradients of gates that other threads have written
    row = tl.load(begin) + first
    for n in range(0, H, TILE):
        unit = n + tile
        dh = tl.zeros((BLOCK, TILE), tl.float32)
        dh = _through_gates(dh, d_gates + row * (4 * H), length > 0, weights, unit, own, H, P, TILE, PRECISION)
        real = (length > 0)[:, None] & (unit < H)[None, :]
        tl.store(d_initial + first * H + own[:, None] * H + unit[None, :], dh, mask=real)


def _tile(H: int) -> int:
    return min(TILE, max(16, triton.next_power_of_2(H)))  # matrix units take no less than 16


def _padded(recurrent: Tensor) -> Tensor:
    """Recurrent weights with zeros up to whole tiles, so that the kernels load them unmasked [shape=(P, 4, P)]."""
    H = len(recurrent)
    more = -H % _tile(H)
    return torch.nn.functional.pad(recurrent.detach().view(H, 4, H), (0, more, 0, 0, 0, more))


def _launch(kernel: Any, packing: Packing, recurrent: Tensor, *tensors: Tensor | None) -> None:
    n, H, tile = len(packing.lengths), len(recurrent), _tile(len(recurrent))
    shape = {"H": H, "P": -(-H // tile) * tile, "TILE": tile, "BLOCK": BLOCK}
    precision = "tf32x3" if recurrent.dtype == torch.float32 else "tf32"  # bfloat16 does not ask
    with torch.cuda.device_of(recurrent):
        grid = (triton.cdiv(n, BLOCK),)
        given = (n, packing.begin, packing.lengths, *tensors)
        # One stage: loads of a later step must not be moved before what an earlier one stores.
        kernel[grid](*given, **shape, PRECISION=precision, num_warps=WARPS, num_stages=1)


def _whole(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().contiguous()


def forwards(
    inputs: GateInputs,
    initial: Tensor | None,
    initial_cell: Tensor | None,
    recurrent: Tensor,
    packing: Packing,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gates, cells (in float32), tanh of the cells, hidden states: see `speech2vec.lstm_cpu.forwards`."""
    H, n_rows = len(recurrent), len(packing.time)
    gates = recurrent.new_empty(n_rows, 4 * H)
    cells = recurrent.new_empty(n_rows, H, dtype=torch.float32)
    # Each in memory of its own: Triton compiles anew for pointers that are aligned otherwise.
    squashed, hidden = recurrent.new_empty(n_rows, H), recurrent.new_empty(n_rows, H)
    given = map(_whole, (*inputs, initial, initial_cell))
    _launch(forwards_kernel, packing, recurrent, *given, _padded(recurrent), gates, cells, squashed, hidden)
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
    """Gradients of the gates' inputs and of what stays over time: see `speech2vec.lstm_cpu.backwards`."""
    gates, H, n = states[0], len(recurrent), len(packing.lengths)
    d_gates, d_initial = torch.empty_like(gates), recurrent.new_empty(n, H)
    d_constant = gates.new_zeros(n, 4 * H, dtype=torch.float32) if has_constant else None
    d_cell = gates.new_zeros(n, H, dtype=torch.float32)
    if d_last_cell is not None:
        d_cell.copy_(d_last_cell)
    given = (*states, _whole(initial_cell), _padded(recurrent).permute(1, 2, 0).contiguous(), d_hidden.contiguous())
    _launch(backwards_kernel, packing, recurrent, *given, d_gates, d_constant, d_initial, d_cell)
    d_constant = None if d_constant is None else d_constant.to(gates.dtype)
    return d_gates, d_constant, d_initial, d_cell.to(gates.dtype)
