"""The recurrence of a GRU on a GPU: all steps of a block of sequences in one kernel (`fused`).

As `gru_cpu`, with the same two functions.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from speech2vec.model.recurrence.fused import (
    add_gates,
    block_of_sequences,
    from_outside,
    from_state,
    in_tiles,
    launch,
    load_gates,
    state_before,
    state_to_start_from,
    store_gates,
    tanh,
    through_gates,
    transposed_in_tiles,
    units_of_a_tile,
)
from speech2vec.model.recurrence.gates import GateInputs
from speech2vec.model.recurrence.packing import Packing


@triton.jit(do_not_specialize=["n_sequences", "n_rows", "n_inputs"])
def forwards_kernel(  # type: ignore[no-untyped-def]
    n_sequences,
    n_rows,
    n_inputs,
    begin,  # (T + 1,)
    lengths,  # (B,)
    table,  # (D, N, 4H) or None
    rows,  # (D, S) or None
    constant,  # (D, B, 4H) or None
    start,  # (D, B, 4H) or None
    initial,  # (D, B, H) or None
    weights,  # (D, P, 4, P)
    gates,  # (D, S, 4H), filled here, as is:
    hidden,  # (D, S, H)
    H: tl.constexpr,
    P: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    own, length, direction, first, first_row = block_of_sequences(lengths, n_sequences, n_rows, BLOCK)
    weights += direction * (4 * P * P)
    # It goes from step to step where all units fit one tile. A sequence that has ended is computed on, without effect:
    # its results are not stored. So do units beyond H, whose weights are zero.
    h = state_to_start_from(initial, first, length, own, hidden.dtype.element_ty, H, TILE)
    for t in range(0, tl.max(length)):
        runs = length > t
        # A block's sequences lie on rows that follow each other, at every step.
        row = tl.load(begin + t) + first_row
        before = tl.load(begin + t - 1, mask=t > 0, other=0) + first_row
        for n in range(0, H, TILE):
            unit = n + units_of_a_tile(H, TILE)
            real = runs[:, None] & (unit < H)[None, :]
            narrow = own[:, None] * H + unit[None, :]
            reset, update, candidate, scaled = from_outside(
                table, rows, constant, start, direction * n_inputs, first, row, t, runs, own, unit, H
            )
            reset, update, candidate, scaled = from_state(
                reset, update, candidate, scaled, h, hidden, initial, weights, first, before, t, runs, own, n,
                H, P, TILE, PRECISION,
            )  # fmt: skip
            reset, update = tl.sigmoid(reset), tl.sigmoid(update)
            candidate = tanh(candidate + reset * scaled)
            wide = own[:, None] * (4 * H) + unit[None, :]
            store_gates(gates + row * (4 * H) + wide, reset, update, candidate, scaled, real, H)
            if P > TILE:
                h = state_before(hidden, initial, before, first, narrow, t, real, H)
            h = (candidate + update * (h.to(tl.float32) - candidate)).to(h.dtype)  # rounded as if it were read back
            tl.store(hidden + row * H + narrow, h, mask=real)
        if P > TILE:
            tl.debug_barrier()  # the next step loads states that other threads have stored


@triton.jit(do_not_specialize=["n_sequences", "n_rows"])
def backwards_kernel(  # type: ignore[no-untyped-def]
    n_sequences,
    n_rows,
    begin,  # (T + 1,)
    lengths,  # (B,)
    gates,  # (D, S, 4H)
    hidden,  # (D, S, H)
    initial,  # (D, B, H) or None
    weights,  # (D, 4, P, P)
    d_hidden,  # (D, S, H)
    d_gates,  # (D, S, 4H), filled here, as are:
    d_constant,  # (D, B, 4H) or None, from zeros
    d_initial,  # (D, B, H), from zeros: at each step, of the state before it
    H: tl.constexpr,
    P: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    own, length, direction, first, first_row = block_of_sequences(lengths, n_sequences, n_rows, BLOCK)
    weights += direction * (4 * P * P)
    n_steps = tl.max(length)
    for back in range(0, n_steps):
        t = n_steps - 1 - back
        runs = length > t
        row = tl.load(begin + t) + first_row
        before = tl.load(begin + t - 1, mask=t > 0, other=0) + first_row
        for n in range(0, H, TILE):
            unit = n + units_of_a_tile(H, TILE)
            real = runs[:, None] & (unit < H)[None, :]
            narrow = own[:, None] * H + unit[None, :]
            wide = own[:, None] * (4 * H) + unit[None, :]
            # Loads that do not depend on the next step are issued before the barrier.
            reset, update, candidate, scaled = load_gates(gates + row * (4 * H) + wide, real, H)
            h = state_before(hidden, initial, before, first, narrow, t, real, H).to(tl.float32)
            dh = tl.load(d_hidden + row * H + narrow, mask=real, other=0.0).to(tl.float32)
            tl.debug_barrier()  # what the step after has handed back, other threads have stored
            handed = d_initial + first * H + narrow
            dh += tl.load(handed, mask=real, other=0.0)
            tl.store(handed, dh * update, mask=real)
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
        tl.debug_barrier()  # all threads have stored their parts of `d_gates` and `d_initial`
        through_gates(
            d_initial + first * H, d_gates + row * (4 * H), weights, runs, own, True, H, P, TILE, PRECISION
        )  # fmt: skip


def forwards(inputs: GateInputs, initial: Tensor | None, recurrent: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
    """Gates and states: see `gru_cpu.forwards`."""
    (D, H, _), n_rows = recurrent.shape, len(packing.time)
    gates, hidden = recurrent.new_empty(D, n_rows, 4 * H), recurrent.new_empty(D, n_rows, H)
    launch(
        forwards_kernel,
        packing,
        recurrent,
        **inputs._asdict(),
        n_inputs=0 if inputs.table is None else inputs.table.shape[1],
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
    (D, H, _), n = recurrent.shape, len(packing.lengths)
    d_gates, d_initial = torch.empty_like(gates), gates.new_zeros(D, n, H, dtype=torch.float32)
    d_constant = gates.new_zeros(D, n, 4 * H, dtype=torch.float32) if has_constant else None
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
