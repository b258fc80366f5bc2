"""What the fused recurrences on a GPU share (`lstm_gpu`, `gru_gpu`): all steps of a block of sequences in one kernel.

Step by step in torch's operators, a small recurrent layer on a GPU is spent on launching kernels: a hundred steps of
ten operators each way, most of them on too few sequences to fill the machine. Here (in Triton) each program takes a
block of sequences through all of their steps and waits for no other; the states of the step before come back from the
first-level cache, and so do the recurrent weights of a small layer (100 units have 160 kB of them). Hidden sizes beyond
`TILE` are gone through in tiles, so any fits.

Matrix products are of three tf32 products each, which is as good as float32, or of bfloat16; sums and functions are in
float32. With TRITON_INTERPRET=1 set before Triton is imported, the kernels run on the CPU, slowly, for tests.

In shape comments S is packed rows, B sequences, H the hidden size, P the hidden size up to whole tiles.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from speech2vec.recurrence.packing import Packing

BLOCK = 16  # sequences to a program
TILE = 64  # hidden units to a matrix product, at most
# One stage: loads of a later step must not be moved before what an earlier one stores.
OPTIONS = {"num_warps": 4, "num_stages": 1}


@triton.jit
def tanh(x):  # type: ignore[no-untyped-def]
    return 2.0 / (1.0 + tl.exp(-2.0 * x)) - 1.0


@triton.jit
def add_gates(a, b, c, d, at, real, H: tl.constexpr):  # type: ignore[no-untyped-def]
    """Add what lies at `at` for the first of the four gates, and H, 2 H, 3 H further for the others."""
    a += tl.load(at, mask=real, other=0.0).to(tl.float32)
    b += tl.load(at + H, mask=real, other=0.0).to(tl.float32)
    c += tl.load(at + 2 * H, mask=real, other=0.0).to(tl.float32)
    d += tl.load(at + 3 * H, mask=real, other=0.0).to(tl.float32)
    return a, b, c, d


@triton.jit
def store_gates(at, a, b, c, d, real, H: tl.constexpr):  # type: ignore[no-untyped-def]
    tl.store(at, a, mask=real)
    tl.store(at + H, b, mask=real)
    tl.store(at + 2 * H, c, mask=real)
    tl.store(at + 3 * H, d, mask=real)


@triton.jit
def state_before(  # type: ignore[no-untyped-def]
    states, initial, before, first, at, t, real, H: tl.constexpr
):
    """A state one step before: of `states` at the row `before`, at step 0 of `initial` (or zero) at `first`."""
    state = tl.load(states + before * H + at, mask=real & (t > 0), other=0.0)
    if initial is not None:
        state += tl.load(initial + first * H + at, mask=real & (t == 0), other=0.0).to(state.dtype)
    return state


@triton.jit
def from_outside(  # type: ignore[no-untyped-def]
    table, rows, constant, start, first, row, t, runs, own, unit, H: tl.constexpr
):
    """What some units' gates get from outside (`GateInputs`), for the block that begins with the sequence `first`."""
    real = runs[:, None] & (unit < H)[None, :]
    wide = first * (4 * H) + own[:, None] * (4 * H) + unit[None, :]
    a = tl.zeros((own.shape[0], unit.shape[0]), tl.float32)
    b, c, d = a, a, a
    if table is not None:
        taken = tl.load(rows + row + own, mask=runs, other=0)[:, None] * (4 * H) + unit[None, :]
        a, b, c, d = add_gates(a, b, c, d, table + taken, real, H)
    if constant is not None:
        a, b, c, d = add_gates(a, b, c, d, constant + wide, real, H)
    if start is not None:
        a, b, c, d = add_gates(a, b, c, d, start + wide, real & (t == 0), H)
    return a, b, c, d


@triton.jit
def from_state(  # type: ignore[no-untyped-def]
    a, b, c, d, hidden, initial, weights, first, before, t, runs, own, unit, tile,
    H: tl.constexpr, P: tl.constexpr, TILE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Add to some units' gates what the recurrent weights (P, 4, P) make of the state one step before."""
    for k in range(0, H, TILE):
        key = k + tile
        known = runs[:, None] & (key < H)[None, :]
        h = state_before(hidden, initial, before, first, own[:, None] * H + key[None, :], t, known, H)
        w = weights + key[:, None] * (4 * P) + unit[None, :]
        a = tl.dot(h, tl.load(w), a, input_precision=PRECISION)
        b = tl.dot(h, tl.load(w + P), b, input_precision=PRECISION)
        c = tl.dot(h, tl.load(w + 2 * P), c, input_precision=PRECISION)
        d = tl.dot(h, tl.load(w + 3 * P), d, input_precision=PRECISION)
    return a, b, c, d


@triton.jit
def through_gates(  # type: ignore[no-untyped-def]
    dh, d_gates, weights, runs, own, unit, tile,
    H: tl.constexpr, P: tl.constexpr, TILE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Add to the gradient of some units of a state what comes through the gates at `d_gates`; weights (4, P, P)."""
    for k in range(0, H, TILE):
        key = k + tile
        known = runs[:, None] & (key < H)[None, :]
        at = d_gates + own[:, None] * (4 * H) + key[None, :]
        w = weights + key[:, None] * P + unit[None, :]
        for gate in tl.static_range(4):
            d = tl.load(at + gate * H, mask=known, other=0.0)
            dh = tl.dot(d, tl.load(w + gate * P * P), dh, input_precision=PRECISION)
    return dh


def tile_of(H: int) -> int:
    """Hidden units to a matrix product: matrix units take no less than 16."""
    return min(TILE, max(16, triton.next_power_of_2(H)))


def in_tiles(recurrent: Tensor) -> Tensor:
    """Recurrent weights with zeros up to whole tiles, so that the kernels load them unmasked [shape=(P, 4, P)]."""
    H = len(recurrent)
    more = -H % tile_of(H)
    return torch.nn.functional.pad(recurrent.detach().contiguous().view(H, 4, H), (0, more, 0, 0, 0, more))


def transposed_in_tiles(recurrent: Tensor) -> Tensor:
    """As `in_tiles`, for gradients [shape=(4, P, P)]."""
    return in_tiles(recurrent).permute(1, 2, 0).contiguous()


def launch(kernel: Any, packing: Packing, recurrent: Tensor, **tensors: Tensor | None) -> None:
    """Run a kernel on all blocks of sequences; what is not contiguous is copied, so it must be read only."""
    n, H, tile = len(packing.lengths), len(recurrent), tile_of(len(recurrent))
    shape = {"H": H, "P": -(-H // tile) * tile, "TILE": tile, "BLOCK": BLOCK}
    precision = "tf32x3" if recurrent.dtype == torch.float32 else "tf32"  # bfloat16 does not ask
    given = {name: None if tensor is None else tensor.detach().contiguous() for name, tensor in tensors.items()}
    given |= {"begin": packing.begin, "lengths": packing.lengths}
    with torch.cuda.device_of(recurrent):
        kernel[(triton.cdiv(n, BLOCK),)](n_sequences=n, **given, **shape, PRECISION=precision, **OPTIONS)


@triton.jit
def _write_one(at):  # type: ignore[no-untyped-def]
    tl.store(at, 1)


def try_out(device: torch.device) -> None:
    """Compile and run the least of kernels; fails where Triton does not find what it needs."""
    with torch.cuda.device(device):
        _write_one[(1,)](torch.zeros(1, dtype=torch.int32, device=device))
