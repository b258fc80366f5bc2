"""What the gates of a recurrent layer are made of, and the gradients that do not depend on the recurrence."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from speech2vec.packing import Packing


class GateInputs(NamedTuple):
    """What the gates of a recurrent layer get beside its own state, already multiplied with the input weights.

    At least `table` or `constant` is there; what is there is added up.

    Parameters
    ----------
    table : Tensor [shape=(n_inputs, 4 * hidden_size)] or None
        Inputs, each projected once, however many rows take it.
    rows : Tensor [shape=(n_rows,)], int64, or None
        Which of them each packed row takes; there if `table` is.
    constant : Tensor [shape=(n_sequences, 4 * hidden_size)] or None
        Added at every step of a sequence; in the packing's order.
    start : Tensor [shape=(n_sequences, 4 * hidden_size)] or None
        Added at a sequence's first step alone; in the packing's order.
    """

    table: Tensor | None = None
    rows: Tensor | None = None
    constant: Tensor | None = None
    start: Tensor | None = None

    def gathered(self, packing: Packing, scale: Tensor) -> Tensor:
        """Their sum for each packed row, times `scale` [shape=(n_rows, 4 * hidden_size)], in memory of its own."""
        if self.table is None:
            assert self.constant is not None
            gates = (self.constant * scale).index_select(0, packing.sequence)
        else:
            assert self.rows is not None
            gates = (self.table * scale).index_select(0, self.rows)
            if self.constant is not None:
                gates.add_((self.constant * scale).index_select(0, packing.sequence))
        if self.start is not None:
            gates[: len(self.start)].addcmul_(self.start, scale)
        return gates

    def gradients(self, d_gates: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Gradients of `table` and `start`, where they are there, from that of the sum [shape=(n_rows, 4 * H)].

        That of `constant` is not among them: the engines add it up as they go.
        """
        d_table = None
        if self.table is not None:
            assert self.rows is not None
            # Thousands of rows may meet in one input, so they are added up in float32 at least.
            sums = torch.float32 if self.table.dtype == torch.bfloat16 else self.table.dtype
            d_table = torch.zeros_like(self.table, dtype=sums).index_add_(0, self.rows, d_gates.to(sums))
            d_table = d_table.to(self.table.dtype)
        return d_table, None if self.start is None else d_gates[: len(self.start)]


def recurrent_gradient(hidden: Tensor, initial: Tensor | None, d_gates: Tensor, packing: Packing) -> Tensor:
    """Gradient of recurrent weights, from all states and the gradients of all gates [shape=(H, 4 * H)]."""
    n = len(packing.lengths)
    d_recurrent = hidden[packing.previous_rows()].t() @ d_gates[n:]
    return d_recurrent if initial is None else d_recurrent.addmm_(initial.t(), d_gates[:n])
