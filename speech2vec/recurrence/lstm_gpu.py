"""The recurrence of `lstm` on a GPU: all steps of a block of sequences in one kernel (`fused`).

As `lstm_cpu`, with the same two functions; cells are kept in float32.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from speech2vec.recurrence.fused import (
    add_gates,
    from_outside,
    from_state,
    in_tiles,
    launch,
    state_before,
    store_gates,
    tanh,
    through_gates,
    transposed_in_tiles,
)
from speech2vec.recurrence.gates import GateInputs, of_direction, stacked
from speech2vec.recurrence.packing import Packing


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
    weights,  # (P, 4, P)
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
            i, f, o, candidate = from_outside(table, rows, constant, start, first, row, t, runs, own, unit, H)
            i, f, o, candidate = from_state(
                i, f, o, candidate, hidden, initial, weights, first, before, t, runs, own, unit, tile,
                H, P, TILE, PRECISION,
            )  # fmt: skip
            i, f, o, candidate = tl.sigmoid(i), tl.sigmoid(f), tl.sigmoid(o), tanh(candidate)
            store_gates(gates + row * (4 * H) + own[:, None] * (4 * H) + unit[None, :], i, f, o, candidate, real, H)
            c = state_before(cells, initial_cell, before, first, narrow, t, real, H)
            c = f * c + i * candidate
            squash = tanh(c)
            tl.store(cells + row * H + narrow, c, mask=real)
            tl.store(squashed + row * H + narrow, squash, mask=real)
            tl.store(hidden + row * H + narrow, o * squash, mask=real)
        tl.debug_barrier()  # the next step reads states that other threads have written


@triton.jit(do_not_specialize=["n_sequences"])
def backwards_kernel(  # type: ignore[no-untyped-def]
    n_sequences,
    begin,  # (T + 1,)
    lengths,  # (B,)
    gates,  # (S, 4H)
    cells,  # (S, H)
    squashed,  # (S, H)
    initial_cell,  # (B, H) or None
    weights,  # (4, P, P)
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
        after = d_gates + (tl.load(begin + t + 1) + first) * (4 * H)
        for n in range(0, H, TILE):
            unit = n + tile
            real = runs[:, None] & (unit < H)[None, :]
            narrow = own[:, None] * H + unit[None, :]
            wide = own[:, None] * (4 * H) + unit[None, :]
            dh = tl.load(d_hidden + row * H + narrow, mask=real, other=0.0).to(tl.float32)
            dh = through_gates(dh, after, weights, goes_on, own, unit, tile, H, P, TILE, PRECISION)
            zero = tl.zeros((BLOCK, TILE), tl.float32)
            i, f, o, candidate = add_gates(zero, zero, zero, zero, gates + row * (4 * H) + wide, real, H)
            squash = tl.load(squashed + row * H + narrow, mask=real, other=0.0).to(tl.float32)
            flowing = d_cell + first * H + narrow
            dc = tl.load(flowing, mask=real, other=0.0) + dh * (o - o * squash * squash)
            tl.store(flowing, dc * f, mask=real)
            c = state_before(cells, initial_cell, before, first, narrow, t, real, H)
            d_i = dc * candidate * (i - i * i)
            d_f = dc * c * (f - f * f)
            d_o = dh * squash * (o - o * o)
            d_candidate = dc * i * (1.0 - candidate * candidate)
            store_gates(d_gates + row * (4 * H) + wide, d_i, d_f, d_o, d_candidate, real, H)
            if d_constant is not None:
                total = d_constant + first * (4 * H) + wide
                d_i, d_f, d_o, d_candidate = add_gates(d_i, d_f, d_o, d_candidate, total, real, H)
                store_gates(total, d_i, d_f, d_o, d_candidate, real, H)
        tl.debug_barrier()  # the step before reads gradients of gates that other threads have written
    at_first = d_gates + (tl.load(begin) + first) * (4 * H)
    for n in range(0, H, TILE):
        unit = n + tile
        dh = tl.zeros((BLOCK, TILE), tl.float32)
        dh = through_gates(dh, at_first, weights, length > 0, own, unit, tile, H, P, TILE, PRECISION)
        real = (length > 0)[:, None] & (unit < H)[None, :]
        tl.store(d_initial + first * H + own[:, None] * H + unit[None, :], dh, mask=real)


def forwards(
    inputs: GateInputs,
    initial: Tensor | None,
    initial_cell: Tensor | None,
    recurrent: Tensor,
    packing: Packing,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gates, cells (in float32), tanh of the cells, hidden states: see `lstm_cpu.forwards`."""
    gates, cells, squashed, hidden = stacked(
        _forwards(inputs.of(d), of_direction(initial, d), of_direction(initial_cell, d), weights, packing)
        for d, weights in enumerate(recurrent)
    )
    return gates, cells, squashed, hidden


def _forwards(
    inputs: GateInputs, initial: Tensor | None, initial_cell: Tensor | None, recurrent: Tensor, packing: Packing
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    H, n_rows = len(recurrent), len(packing.time)
    gates = recurrent.new_empty(n_rows, 4 * H)
    cells = recurrent.new_empty(n_rows, H, dtype=torch.float32)
    # Each in memory of its own: Triton compiles anew for pointers that are aligned otherwise.
    squashed, hidden = recurrent.new_empty(n_rows, H), recurrent.new_empty(n_rows, H)
    launch(
        forwards_kernel,
        packing,
        recurrent,
        **inputs._asdict(),
        initial=initial,
        initial_cell=initial_cell,
        weights=in_tiles(recurrent),
        gates=gates,
        cells=cells,
        squashed=squashed,
        hidden=hidden,
    )
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
    d_gates, d_constant, d_initial, d_initial_cell = stacked(
        _backwards(
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


def _backwards(
    states: tuple[Tensor, Tensor, Tensor],
    initial_cell: Tensor | None,
    recurrent: Tensor,
    packing: Packing,
    d_hidden: Tensor,
    d_last_cell: Tensor | None,
    has_constant: bool,
) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    (gates, cells, squashed), H, n = states, len(recurrent), len(packing.lengths)
    d_gates, d_initial = torch.empty_like(gates), recurrent.new_empty(n, H)
    d_constant = gates.new_zeros(n, 4 * H, dtype=torch.float32) if has_constant else None
    d_cell = gates.new_zeros(n, H, dtype=torch.float32)
    if d_last_cell is not None:
        d_cell.copy_(d_last_cell)
    launch(
        backwards_kernel,
        packing,
        recurrent,
        gates=gates,
        cells=cells,
        squashed=squashed,
        initial_cell=initial_cell,
        weights=transposed_in_tiles(recurrent),
        d_hidden=d_hidden,
        d_gates=d_gates,
        d_constant=d_constant,
        d_initial=d_initial,
        d_cell=d_cell,
    )
    d_constant = None if d_constant is None else d_constant.to(gates.dtype)
    return d_gates, d_constant, d_initial, d_cell.to(gates.dtype)
