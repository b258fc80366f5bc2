"""What the gates of a recurrent layer are made of, and the gradients that do not depend on the recurrence."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from speech2vec.recurrence.packing import Packing


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


class LayerInputs(NamedTuple):
    """What a recurrent layer hears: frames that it projects itself, and what is projected already.

    At least frames or `constant` is there; what is there is added up. The frames are data: they get no gradient.

    Parameters
    ----------
    frames : Tensor [shape=(n_inputs, input_size)] or None
    rows : Tensor [shape=(n_rows,)], int64, or None
        Which of the frames each packed row takes.
    weights : Tensor [shape=(input_size, 4 * hidden_size)] or None
    bias : Tensor [shape=(4 * hidden_size,)] or None
        `rows`, `weights` and `bias` are there if `frames` are.
    constant, start : Tensor [shape=(n_sequences, 4 * hidden_size)] or None
        As in `GateInputs`.
    """

    frames: Tensor | None = None
    rows: Tensor | None = None
    weights: Tensor | None = None
    bias: Tensor | None = None
    constant: Tensor | None = None
    start: Tensor | None = None

    def projected(self) -> GateInputs:
        """With the weights applied to each distinct frame, however many rows take it."""
        table = None
        if self.frames is not None:
            assert self.weights is not None and self.bias is not None and not self.frames.requires_grad
            table = torch.addmm(self.bias, self.frames, self.weights)
        return GateInputs(table, self.rows, self.constant, self.start)


def input_gradients(frames: Tensor, rows: Tensor, d_gates: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of input weights and bias, from that of all gates [shape=(input_size, 4 * H), (4 * H,)].

    A product over all rows, with a one beside each frame for the bias: adding the rows' gradients up frame by frame
    would take longer, and on a GPU their order would be left to chance.
    """
    heard = torch.nn.functional.pad(frames, (0, 1), value=1.0).index_select(0, rows)
    both = heard.t() @ d_gates
    return both[:-1], both[-1]


def recurrent_gradient(hidden: Tensor, initial: Tensor | None, d_gates: Tensor, packing: Packing) -> Tensor:
    """Gradient of recurrent weights, from all states and the gradients of all gates [shape=(H, 4 * H)]."""
    n = len(packing.lengths)
    d_recurrent = hidden[packing.previous_rows()].t() @ d_gates[n:]
    return d_recurrent if initial is None else d_recurrent.addmm_(initial.t(), d_gates[:n])
