"""The recurrence of an LSTM on a GPU: all steps of a block of sequences in one kernel (`fused`).

As `lstm_cpu`, with the same two functions; cells are kept in float32.
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
    initial_cell,  # (D, B, H) or None
    weights,  # (D, P, 4, P)
    gates,  # (D, S, 4H), filled here, as are:
    cells,  # (D, S, H)
    squashed,  # (D, S, H)
    hidden,  # (D, S, H)
    H: tl.constexpr,
    P: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    own, length, direction, first, first_row = block_of_sequences(lengths, n_sequences, n_rows, BLOCK)
    weights += direction * (4 * P * P)
    # These go from step to step where all units fit one tile. A sequence that has ended is computed on, without effect:
    # its results are not stored. So do units beyond H, whose weights are zero.
    h = state_to_start_from(initial, first, length, own, hidden.dtype.element_ty, H, TILE)
    c = state_to_start_from(initial_cell, first, length, own, tl.float32, H, TILE)
    for t in range(0, tl.max(length)):
        runs = length > t
        # A block's sequences lie on rows that follow each other, at every step.
        row = tl.load(begin + t) + first_row
        before = tl.load(begin + t - 1, mask=t > 0, other=0) + first_row
        for n in range(0, H, TILE):
            unit = n + units_of_a_tile(H, TILE)
            real = runs[:, None] & (unit < H)[None, :]
            narrow = own[:, None] * H + unit[None, :]
            i, f, o, candidate = from_outside(
                table, rows, constant, start, direction * n_inputs, first, row, t, runs, own, unit, H
            )
            i, f, o, candidate = from_state(
                i, f, o, candidate, h, hidden, initial, weights, first, before, t, runs, own, n,
                H, P, TILE, PRECISION,
            )  # fmt: skip
            i, f, o, candidate = tl.sigmoid(i), tl.sigmoid(f), tl.sigmoid(o), tanh(candidate)
            store_gates(gates + row * (4 * H) + own[:, None] * (4 * H) + unit[None, :], i, f, o, candidate, real, H)
            if P > TILE:
                c = state_before(cells, initial_cell, before, first, narrow, t, real, H)
            c = f * c + i * candidate
            squash = tanh(c)
            h = (o * squash).to(h.dtype)  # rounded as if it were read back
            tl.store(cells + row * H + narrow, c, mask=real)
            tl.store(squashed + row * H + narrow, squash, mask=real)
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
    cells,  # (D, S, H)
    squashed,  # (D, S, H)
    initial_cell,  # (D, B, H) or None
    weights,  # (D, 4, P, P)
    d_hidden,  # (D, S, H)
    d_gates,  # (D, S, 4H), filled here, as are:
    d_constant,  # (D, B, 4H) or None, from zeros
    d_initial,  # (D, B, H), from zeros: at each step, of the state before it
    d_cell,  # (D, B, H), from the gradient of the last cell states
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
            i, f, o, candidate = load_gates(gates + row * (4 * H) + wide, real, H)
            squash = tl.load(squashed + row * H + narrow, mask=real, other=0.0).to(tl.float32)
            c = state_before(cells, initial_cell, before, first, narrow, t, real, H)
            dh = tl.load(d_hidden + row * H + narrow, mask=real, other=0.0).to(tl.float32)
            flowing = d_cell + first * H + narrow
            dc = tl.load(flowing, mask=real, other=0.0)
            tl.debug_barrier()  # what comes through the gates of the step after, other threads have stored
            dh += tl.load(d_initial + first * H + narrow, mask=real, other=0.0)
            dc += dh * (o - o * squash * squash)
            tl.store(flowing, dc * f, mask=real)
            d_i = dc * candidate * (i - i * i)
            d_f = dc * c * (f - f * f)
            d_o = dh * squash * (o - o * o)
            d_candidate = dc * i * (1.0 - candidate * candidate)
            store_gates(d_gates + row * (4 * H) + wide, d_i, d_f, d_o, d_candidate, real, H)
            if d_constant is not None:
                total = d_constant + first * (4 * H) + wide
                d_i, d_f, d_o, d_candidate = add_gates(d_i, d_f, d_o, d_candidate, total, real, H)
                store_gates(total, d_i, d_f, d_o, d_candidate, real, H)
        tl.debug_barrier()  # all threads have stored their part of `d_gates` and loaded theirs of `d_initial`
        through_gates(
            d_initial + first * H, d_gates + row * (4 * H), weights, runs, own, False, H, P, TILE, PRECISION
        )  # fmt: skip


def forwards(
    inputs: GateInputs,
    initial: Tensor | None,
    initial_cell: Tensor | None,
    recurrent: Tensor,
    packing: Packing,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gates, cells (in float32), tanh of the cells, hidden states: see `lstm_cpu.forwards`."""
    (D, H, _), n_rows = recurrent.shape, len(packing.time)
    gates = recurrent.new_empty(D, n_rows, 4 * H)
    cells = recurrent.new_empty(D, n_rows, H, dtype=torch.float32)
    # Each in memory of its own: Triton compiles anew for pointers that are aligned otherwise.
    squashed, hidden = recurrent.new_empty(D, n_rows, H), recurrent.new_empty(D, n_rows, H)
    launch(
        forwards_kernel,
        packing,
        recurrent,
        **inputs._asdict(),
        n_inputs=0 if inputs.table is None else inputs.table.shape[1],
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
    (D, H, _), n = recurrent.shape, len(packing.lengths)
    d_gates, d_initial = torch.empty_like(gates), gates.new_zeros(D, n, H, dtype=torch.float32)
    d_constant = gates.new_zeros(D, n, 4 * H, dtype=torch.float32) if has_constant else None
    d_cell = gates.new_zeros(D, n, H, dtype=torch.float32)
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
    return d_gates, d_constant, d_initial.to(gates.dtype), d_cell.to(gates.dtype)
