"""The recurrence of `gru` on a GPU: all steps of a block of sequences in one kernel (`fused`).

As `gru_cpu`, with the same two functions.
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
    weights,  # (P, 4, P)
    gates,  # (S, 4H), filled here, as is:
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
            reset, update, candidate, scaled = from_outside(
                table, rows, constant, start, first, row, t, runs, own, unit, H
            )
            reset, update, candidate, scaled = from_state(
                reset, update, candidate, scaled, hidden, initial, weights, first, before, t, runs, own, unit, tile,
                H, P, TILE, PRECISION,
            )  # fmt: skip
            reset, update = tl.sigmoid(reset), tl.sigmoid(update)
            candidate = tanh(candidate + reset * scaled)
            wide = own[:, None] * (4 * H) + unit[None, :]
            store_gates(gates + row * (4 * H) + wide, reset, update, candidate, scaled, real, H)
            h = state_before(hidden, initial, before, first, narrow, t, real, H).to(tl.float32)
            tl.store(hidden + row * H + narrow, candidate + update * (h - candidate), mask=real)
        tl.debug_barrier()  # the next step reads states that other threads have written


@triton.jit(do_not_specialize=["n_sequences"])
def backwards_kernel(  # type: ignore[no-untyped-def]
    n_sequences,
    begin,  # (T + 1,)
    lengths,  # (B,)
    gates,  # (S, 4H)
    hidden,  # (S, H)
    initial,  # (B, H) or None
    weights,  # (4, P, P)
    d_hidden,  # (S, H)
    d_gates,  # (S, 4H), filled here, as are:
    d_constant,  # (B, 4H) or None, from zeros
    d_initial,  # (B, H), from zeros: holds what a state hands to the one before it
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
            handed = d_initial + first * H + narrow
            dh = tl.load(handed, mask=real, other=0.0)
            dh += tl.load(d_hidden + row * H + narrow, mask=real, other=0.0).to(tl.float32)
            dh = through_gates(dh, after, weights, goes_on, own, unit, tile, H, P, TILE, PRECISION)
            zero = tl.zeros((BLOCK, TILE), tl.float32)
            reset, update, candidate, scaled = add_gates(zero, zero, zero, zero, gates + row * (4 * H) + wide, real, H)
            tl.store(handed, dh * update, mask=real)
            h = state_before(hidden, initial, before, first, narrow, t, real, H).to(tl.float32)
            d_candidate = dh * (1.0 - update) * (1.0 - candidate * candidate)
            d_reset = d_candidate * scaled * (reset - reset * reset)
            d_update = dh * (h - candidate) * (update - update * update)
            d_scaled = d_candidate * reset
            store_gates(d_gates + row * (4 * H) + wide, d_reset, d_update, d_candidate, d_scaled, real, H)
            if d_constant is not None:
                total = d_constant + first * (4 * H) + wide
                d_reset, d_update, d_candidate, d_scaled = add_gates(
                    d_reset, d_update, d_candidate, d_scaled, total, real, H
                )
                store_gates(total, d_reset, d_update, d_candidate, d_scaled, real, H)
        tl.debug_barrier()  # the step before reads gradients of gates that other threads have written
    at_first = d_gates + (tl.load(begin) + first) * (4 * H)
    for n in range(0, H, TILE):
        unit = n + tile
        real = (length > 0)[:, None] & (unit < H)[None, :]
        handed = d_initial + first * H + own[:, None] * H + unit[None, :]
        dh = tl.load(handed, mask=real, other=0.0)
        dh = through_gates(dh, at_first, weights, length > 0, own, unit, tile, H, P, TILE, PRECISION)
        tl.store(handed, dh, mask=real)


def forwards(inputs: GateInputs, initial: Tensor | None, recurrent: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
    """Gates and states: see `gru_cpu.forwards`."""
    gates, hidden = stacked(
        _forwards(inputs.of(d), of_direction(initial, d), weights, packing) for d, weights in enumerate(recurrent)
    )
    return gates, hidden


def _forwards(inputs: GateInputs, initial: Tensor | None, recurrent: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
    H, n_rows = len(recurrent), len(packing.time)
    gates, hidden = recurrent.new_empty(n_rows, 4 * H), recurrent.new_empty(n_rows, H)
    launch(
        forwards_kernel,
        packing,
        recurrent,
        **inputs._asdict(),
        initial=initial,
        weights=in_tiles(recurrent),
        gates=gates,
        hidden=hidden,
    )
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
    d_gates, d_constant, d_initial = stacked(
        _backwards(gates[d], hidden[d], of_direction(initial, d), weights, packing, d_hidden[d], has_constant)
        for d, weights in enumerate(recurrent)
    )
    return d_gates, d_constant, d_initial


def _backwards(
    gates: Tensor,
    hidden: Tensor,
    initial: Tensor | None,
    recurrent: Tensor,
    packing: Packing,
    d_hidden: Tensor,
    has_constant: bool,
) -> tuple[Tensor, Tensor | None, Tensor]:
    H, n = len(recurrent), len(packing.lengths)
    d_gates, d_initial = torch.empty_like(gates), gates.new_zeros(n, H, dtype=torch.float32)
    d_constant = gates.new_zeros(n, 4 * H, dtype=torch.float32) if has_constant else None
    launch(
        backwards_kernel,
        packing,
        recurrent,
        gates=gates,
        hidden=hidden,
        initial=initial,
        weights=transposed_in_tiles(recurrent),
        d_hidden=d_hidden,
        d_gates=d_gates,
        d_constant=d_constant,
        d_initial=d_initial,
    )
    d_constant = None if d_constant is None else d_constant.to(gates.dtype)
    return d_gates, d_constant, d_initial.to(gates.dtype)
