"""What the gates of a recurrent layer are made of, and the gradients that do not depend on the recurrence.

A layer may run in several directions at once, as a bidirectional encoder does: each has inputs, weights and states of
its own, on a leading dimension (D in shape comments), and all share the packing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from speech2vec.model.recurrence.packing import Packing
from speech2vec.model.recurrence.products import over_rows


class GateInputs(NamedTuple):
    """What the gates of a recurrent layer get beside its own state, already multiplied with the input weights.

    At least `table` or `constant` is there; what is there is added up.

    Parameters
    ----------
    table : Tensor [shape=(n_directions, n_inputs, 4 * hidden_size)] or None
        Inputs, each projected once, however many rows take it.
    rows : Tensor [shape=(n_directions, n_rows)], int64, or None
        Which of them each packed row takes; there if `table` is.
    constant : Tensor [shape=(n_directions, n_sequences, 4 * hidden_size)] or None
        Added at every step of a sequence; in the packing's order.
    start : Tensor [shape=(n_directions, n_sequences, 4 * hidden_size)] or None
        Added at a sequence's first step alone; in the packing's order.
    """

    table: Tensor | None = None
    rows: Tensor | None = None
    constant: Tensor | None = None
    start: Tensor | None = None

    def of(self, direction: int) -> GateInputs:
        """Those of one direction, without the leading dimension."""
        return GateInputs(*(of_direction(tensor, direction) for tensor in self))

    def gathered(self, packing: Packing, scale: Tensor) -> Tensor:
        """The sum of one direction's for each packed row, times `scale` [shape=(n_rows, 4 * hidden_size)]; a copy."""
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
    """Inputs of a recurrent layer: frames that it projects itself, and what is projected already.

    At least frames or `constant` is there; what is there is added up. The frames are data: they get no gradient.
    A layer with one direction may leave the leading dimension out, of all its tensors.

    Parameters
    ----------
    frames : Tensor [shape=(n_inputs, input_size)] or None
        The same for all directions.
    rows : Tensor [shape=(n_directions, n_rows)], int64, or None
        Which of the frames each packed row takes.
    weights : Tensor [shape=(n_directions, input_size, 4 * hidden_size)] or None
    bias : Tensor [shape=(n_directions, 4 * hidden_size)] or None
        `rows`, `weights` and `bias` are there if `frames` are.
    constant, start : Tensor [shape=(n_directions, n_sequences, 4 * hidden_size)] or None
        As in `GateInputs`.
    """

    frames: Tensor | None = None
    rows: Tensor | None = None
    weights: Tensor | None = None
    bias: Tensor | None = None
    constant: Tensor | None = None
    start: Tensor | None = None

    def as_directions(self) -> LayerInputs:
        """Those of a layer with one direction, with the leading dimension."""
        return LayerInputs(self.frames, *(as_direction(tensor) for tensor in self[1:]))

    def projected(self) -> GateInputs:
        """With the weights applied to each distinct frame, however many rows take it."""
        table = None
        if self.frames is not None:
            assert self.weights is not None and self.bias is not None and not self.frames.requires_grad
            table = self.frames.new_empty(len(self.weights), len(self.frames), self.weights.shape[2])
            for bias, weights, out in zip(self.bias, self.weights, table, strict=True):
                torch.addmm(bias, self.frames, weights, out=out)
        return GateInputs(table, self.rows, self.constant, self.start)


def of_direction(tensor: Tensor | None, direction: int) -> Tensor | None:
    return None if tensor is None else tensor[direction]


def stacked(directions: Iterable[tuple[Tensor | None, ...]]) -> tuple[Any, ...]:
    """Tensors (or None) of each direction, as tensors (or None) with the leading dimension."""
    return tuple(None if some[0] is None else torch.stack(some) for some in zip(*directions, strict=True))


def as_direction(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor[None]


def input_gradients(frames: Tensor, rows: Tensor, d_gates: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of input weights and bias, from that of all gates [shape=(D, input_size, 4 * H), (D, 4 * H)].

    A product over all rows, with a one beside each frame for the bias: adding the rows' gradients up frame by frame
    would take longer, and on a GPU their order would be left to chance.
    """
    with_one = torch.nn.functional.pad(frames, (0, 1), value=1.0)
    both = [over_rows(with_one.index_select(0, taken), d) for taken, d in zip(rows, d_gates, strict=True)]
    return torch.stack([d[:-1] for d in both]), torch.stack([d[-1] for d in both])


def recurrent_gradient(hidden: Tensor, initial: Tensor | None, d_gates: Tensor, packing: Packing) -> Tensor:
    """Gradient of recurrent weights, from all states and the gradients of all gates [shape=(D, H, 4 * H)]."""
    n = len(packing.lengths)
    d_recurrent = torch.stack(
        [over_rows(h.index_select(0, packing.previous_rows), d[n:]) for h, d in zip(hidden, d_gates, strict=True)]
    )
    return d_recurrent if initial is None else d_recurrent.baddbmm_(initial.transpose(1, 2), d_gates[:, :n])
