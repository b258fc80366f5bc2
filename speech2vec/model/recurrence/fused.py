"""What the fused recurrences on a GPU share (`lstm_gpu`, `gru_gpu`): all steps of a block of sequences in one kernel.

Step by step in torch's operators, a small recurrent layer on a GPU is spent on launching kernels: a hundred steps of
ten operators each way, most of them on too few sequences to fill the machine. Here (in Triton) each program takes a
block of sequences through all of their steps, in one direction, and waits for no other. Forwards, the states stay with
the threads that compute them; the recurrent weights of a small layer come back from the first-level cache (100 units
have 160 kB of them). Hidden sizes above `TILE` are computed in tiles, so any size fits; their states come back from
memory.

What one thread stores and another loads is separated by a barrier, and so is what one loads and another overwrites,
unless what is stored has been computed from what was loaded.

Matrix products are of three tf32 products each, which is as good as float32, or of bfloat16; sums and functions are in
float32. With TRITON_INTERPRET=1 set before Triton is imported, the kernels run on the CPU, slowly, for tests.

In shape comments D is directions, S packed rows, B sequences, N inputs, H the hidden size, P the hidden size up to
whole tiles. What has a direction is contiguous, so the rows (or sequences, or inputs) of one lie behind those of the
one before, and a kernel counts them through.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from speech2vec.model.recurrence.packing import Packing

BLOCK = 16  # sequences to a program


TILE = 64  # hidden units to a matrix product, at most


# One stage: loads of a later step must not be moved before what an earlier one stores.
OPTIONS = {"num_warps": 4, "num_stages": 1}


@triton.jit
def tanh(x):  # type: ignore[no-untyped-def]
    return 2.0 / (1.0 + tl.exp(-2.0 * x)) - 1.0


@triton.jit
def block_of_sequences(  # type: ignore[no-untyped-def]
    lengths, n_sequences, n_rows, BLOCK: tl.constexpr
):
    """What a program computes: some sequences (the grid's first axis) in one direction (its second).

    Returns numbers from 0 on for its sequences; their lengths, 0 past the last; the direction; the first of them among
    the sequences of all directions; and how far their rows lie behind where `begin` says. All that counts sequences or
    rows of all directions is in int64.
    """
    first, direction = tl.program_id(0).to(tl.int64) * BLOCK, tl.program_id(1).to(tl.int64)
    own = tl.arange(0, BLOCK)
    length = tl.load(lengths + first + own, mask=first + own < n_sequences, other=0)
    return own, length, direction, direction * n_sequences + first, direction * n_rows + first


@triton.jit
def units_of_a_tile(H: tl.constexpr, TILE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Numbers from 0 on, as contiguous groups that are aligned wherever a row of H numbers begins.

    With longer ones (or of more than 4: 16 bytes of float32), Triton would give each tensor the layout over the
    threads that is best for its own address, and move what is computed from several of them between layouts, through
    shared memory.
    """
    return tl.max_contiguous(tl.arange(0, TILE), min(H & -H, 4))


@triton.jit
def load_gates(at, real, H: tl.constexpr):  # type: ignore[no-untyped-def]
    """What lies at `at` for the first of the four gates, and H, 2 H, 3 H further for the others, in float32."""
    a = tl.load(at, mask=real, other=0.0).to(tl.float32)
    b = tl.load(at + H, mask=real, other=0.0).to(tl.float32)
    c = tl.load(at + 2 * H, mask=real, other=0.0).to(tl.float32)
    d = tl.load(at + 3 * H, mask=real, other=0.0).to(tl.float32)
    return a, b, c, d


@triton.jit
def add_gates(a, b, c, d, at, real, H: tl.constexpr):  # type: ignore[no-untyped-def]
    more_a, more_b, more_c, more_d = load_gates(at, real, H)
    return a + more_a, b + more_b, c + more_c, d + more_d


@triton.jit
def store_gates(at, a, b, c, d, real, H: tl.constexpr):  # type: ignore[no-untyped-def]
    tl.store(at, a, mask=real)
    tl.store(at + H, b, mask=real)
    tl.store(at + 2 * H, c, mask=real)
    tl.store(at + 3 * H, d, mask=real)


@triton.jit
def state_to_start_from(  # type: ignore[no-untyped-def]
    initial, first, length, own, dtype: tl.constexpr, H: tl.constexpr, TILE: tl.constexpr
):
    """The state before step 0 of the first tile's units: of `initial` (or zero) at `first`."""
    unit = units_of_a_tile(H, TILE)
    state = tl.zeros((own.shape[0], TILE), dtype)
    if initial is not None:
        real = (length > 0)[:, None] & (unit < H)[None, :]
        state = tl.load(initial + first * H + own[:, None] * H + unit[None, :], mask=real, other=0.0).to(dtype)
    return state


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
    table, rows, constant, start, first_input, first, row, t, runs, own, unit, H: tl.constexpr
):
    """What some units' gates get from outside (`GateInputs`), for the block that begins with the sequence `first`."""
    real = runs[:, None] & (unit < H)[None, :]
    wide = first * (4 * H) + own[:, None] * (4 * H) + unit[None, :]
    a = tl.zeros((own.shape[0], unit.shape[0]), tl.float32)
    b, c, d = a, a, a
    if table is not None:
        taken = first_input + tl.load(rows + row + own, mask=runs, other=0)
        a, b, c, d = add_gates(a, b, c, d, table + taken[:, None] * (4 * H) + unit[None, :], real, H)
    if constant is not None:
        a, b, c, d = add_gates(a, b, c, d, constant + wide, real, H)
    if start is not None:
        a, b, c, d = add_gates(a, b, c, d, start + wide, real & (t == 0), H)
    return a, b, c, d


@triton.jit
def from_state(  # type: ignore[no-untyped-def]
    a, b, c, d, h, hidden, initial, weights, first, before, t, runs, own, n,
    H: tl.constexpr, P: tl.constexpr, TILE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Add to the gates of the tile at unit `n` what the recurrent weights (P, 4, P) make of the state before.

    The state is `h` where all units fit one tile, else it is read tile by tile.
    """
    tile = tl.arange(0, TILE)
    for k in range(0, H, TILE):
        if P > TILE:
            key = k + units_of_a_tile(H, TILE)
            known = runs[:, None] & (key < H)[None, :]
            h = state_before(hidden, initial, before, first, own[:, None] * H + key[None, :], t, known, H)
        w = weights + (k + tile)[:, None] * (4 * P) + (n + tile)[None, :]
        a = tl.dot(h, tl.load(w), a, input_precision=PRECISION)
        b = tl.dot(h, tl.load(w + P), b, input_precision=PRECISION)
        c = tl.dot(h, tl.load(w + 2 * P), c, input_precision=PRECISION)
        d = tl.dot(h, tl.load(w + 3 * P), d, input_precision=PRECISION)
    return a, b, c, d


@triton.jit
def through_gates(  # type: ignore[no-untyped-def]
    handed, d_gates, weights, runs, own,
    ADD: tl.constexpr, H: tl.constexpr, P: tl.constexpr, TILE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Store at `handed` (or, if ADD, add there) what a state gets through the gates at `d_gates`; weights (4, P, P).

    It goes through memory because the products leave their result spread over the threads otherwise than loads do:
    this way it alone is moved, not all that it is put together with.
    """
    tile, units = tl.arange(0, TILE), units_of_a_tile(H, TILE)
    for n in range(0, H, TILE):
        unit = n + units
        real = runs[:, None] & (unit < H)[None, :]
        at = handed + own[:, None] * H + unit[None, :]
        dh = tl.zeros((own.shape[0], TILE), tl.float32)
        if ADD:
            dh = tl.load(at, mask=real, other=0.0)
        for k in range(0, H, TILE):
            key = k + units
            known = runs[:, None] & (key < H)[None, :]
            d_at = d_gates + own[:, None] * (4 * H) + key[None, :]
            w = weights + (k + tile)[:, None] * P + (n + tile)[None, :]
            for gate in tl.static_range(4):
                d = tl.load(d_at + gate * H, mask=known, other=0.0)
                dh = tl.dot(d, tl.load(w + gate * P * P), dh, input_precision=PRECISION)
        tl.store(at, dh, mask=real)


def tile_of(H: int) -> int:
    """Hidden units to a matrix product: matrix units take no less than 16."""
    return min(TILE, max(16, triton.next_power_of_2(H)))


def in_tiles(recurrent: Tensor) -> Tensor:
    """Recurrent weights with zeros up to whole tiles, so that the kernels load them unmasked [shape=(D, P, 4, P)]."""
    D, H, _ = recurrent.shape
    more = -H % tile_of(H)
    return torch.nn.functional.pad(recurrent.detach().contiguous().view(D, H, 4, H), (0, more, 0, 0, 0, more))


def transposed_in_tiles(recurrent: Tensor) -> Tensor:
    """As `in_tiles`, for gradients [shape=(D, 4, P, P)]."""
    return in_tiles(recurrent).permute(0, 2, 3, 1).contiguous()


def launch(kernel: Any, packing: Packing, recurrent: Tensor, **arguments: Tensor | int | None) -> None:
    """Run a kernel on all blocks of sequences in all directions, with these arguments beside its own.

    Tensors that are not contiguous are copied, so they must be read only.
    """
    D, H, _ = recurrent.shape
    n, tile = len(packing.lengths), tile_of(H)
    shape = {"H": H, "P": -(-H // tile) * tile, "TILE": tile, "BLOCK": BLOCK}
    precision = "tf32x3" if recurrent.dtype == torch.float32 else "tf32"  # bfloat16 does not ask
    given = {name: x.detach().contiguous() if isinstance(x, Tensor) else x for name, x in arguments.items()}
    given |= {"begin": packing.begin, "lengths": packing.lengths, "n_sequences": n, "n_rows": len(packing.time)}
    with torch.cuda.device_of(recurrent):
        kernel[(triton.cdiv(n, BLOCK), D)](**given, **shape, PRECISION=precision, **OPTIONS)


@triton.jit
def _write_one(at):  # type: ignore[no-untyped-def]
    tl.store(at, 1)


def try_out(device: torch.device) -> None:
    """Compile and run the least of kernels; fails where Triton does not find what it needs."""
    with torch.cuda.device(device):
        _write_one[(1,)](torch.zeros(1, dtype=torch.int32, device=device))
