"""An LSTM over sequences of different lengths that computes no padding, with its gradient written out.

What does not depend on the recurrence is taken out of it: inputs are projected once for each distinct frame (and
gathered, however many sequences share it), an input that stays the same over time is projected once for each sequence,
and the weights' gradients are single large products at the end. The recurrence itself is `lstm_cpu` on a CPU,
`lstm_gpu` on a GPU, and `lstm_steps` for what those two do not take. The numbers are those of `torch.nn.LSTM`
(tests/speech2vec/recurrence/test_lstm.py, in float64).
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from speech2vec.recurrence import lstm_cpu, lstm_steps
from speech2vec.recurrence.engines import engine
from speech2vec.recurrence.gates import LayerInputs, as_direction, input_gradients, recurrent_gradient
from speech2vec.recurrence.packing import Packing


class _PackedLstm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        frames: Tensor | None,
        rows: Tensor | None,
        weights: Tensor | None,
        bias: Tensor | None,
        constant: Tensor | None,
        start: Tensor | None,
        initial: Tensor | None,  # (D, B, H) initial hidden state, longest sequence first
        initial_cell: Tensor | None,  # (D, B, H)
        recurrent: Tensor,  # (D, H, 4H)
        packing: Packing,
        ends: Tensor | None,  # (B,) the row of each sequence's last step, if its cell state is asked for
    ) -> tuple[Tensor, Tensor | None]:
        inputs = LayerInputs(frames, rows, weights, bias, constant, start)
        states = _engine(recurrent).forwards(inputs.projected(), initial, initial_cell, recurrent, packing)
        ctx.save_for_backward(*states, frames, rows, initial, initial_cell, recurrent)
        ctx.packing, ctx.has_constant, ctx.has_start = packing, constant is not None, start is not None
        _, cells, _, hidden = states
        return hidden, None if ends is None else cells[:, ends].to(hidden.dtype)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        d_hidden, d_last_cell = gradients
        gates, cells, squashed, hidden, frames, rows, initial, initial_cell, recurrent = ctx.saved_tensors
        packing = ctx.packing
        d_gates, d_constant, d_initial, d_initial_cell = _engine(recurrent).backwards(
            (gates, cells, squashed),
            initial_cell,
            recurrent,
            packing,
            d_hidden,
            d_last_cell,
            ctx.has_constant,
        )
        d_recurrent = recurrent_gradient(hidden, initial, d_gates, packing)
        d_weights, d_bias = (None, None) if frames is None else input_gradients(frames, rows, d_gates)
        d_start = d_gates[:, : len(packing.lengths)] if ctx.has_start else None
        d_initial = None if initial is None else d_initial
        d_initial_cell = None if initial_cell is None else d_initial_cell
        of_inputs = None, None, d_weights, d_bias, d_constant, d_start
        return *of_inputs, d_initial, d_initial_cell, d_recurrent, None, None


def _on_gpu() -> ModuleType:
    from speech2vec.recurrence import lstm_gpu  # Triton comes with some builds of torch only

    return lstm_gpu


def _engine(recurrent: Tensor) -> ModuleType:
    """A module with `forwards` and `backwards`."""
    return engine(recurrent, lstm_cpu, _on_gpu, lstm_steps)


def packed_lstm(inputs: LayerInputs, recurrent: Tensor, packing: Packing, initial: Tensor | None = None) -> Tensor:
    """Hidden states of an LSTM over packed sequences.

    Parameters
    ----------
    inputs : LayerInputs
        Gates in the order input, forget, output, candidate; the bias is part of them.
    recurrent : Tensor [shape=(n_directions, hidden_size, 4 * hidden_size)]
        Recurrent weights.
    packing : Packing
    initial : Tensor [shape=(n_directions, n_sequences, hidden_size)] or None
        The hidden state to start from; in the packing's order. The cell state starts at zero.

    Returns
    -------
    Tensor [shape=(n_directions, n_rows, hidden_size)]
        Without the leading dimension if it was left out of `recurrent` and all others.
    """
    if recurrent.dim() == 2:
        return packed_lstm(inputs.as_directions(), recurrent[None], packing, as_direction(initial)).squeeze(0)
    hidden: Tensor = _PackedLstm.apply(*inputs, initial, None, recurrent, packing, None)[0]
    return hidden


def packed_lstm_with_cell(
    inputs: LayerInputs,
    recurrent: Tensor,
    packing: Packing,
    initial: Tensor | None = None,
    initial_cell: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """As `packed_lstm`, from a given cell state and with the cell state of each sequence's last step.

    Parameters
    ----------
    inputs, recurrent, packing, initial
        As for `packed_lstm`.
    initial_cell : Tensor [shape=(n_directions, n_sequences, hidden_size)] or None
        The cell state to start from, zero if None; in the packing's order.

    Returns
    -------
    hidden : Tensor [shape=(n_directions, n_rows, hidden_size)]
    last_cell : Tensor [shape=(n_directions, n_sequences, hidden_size)]
        In the packing's order.
    """
    if recurrent.dim() == 2:
        states = as_direction(initial), as_direction(initial_cell)
        hidden, last_cell = packed_lstm_with_cell(inputs.as_directions(), recurrent[None], packing, *states)
        return hidden.squeeze(0), last_cell.squeeze(0)
    hidden, last_cell = _PackedLstm.apply(*inputs, initial, initial_cell, recurrent, packing, packing.last_rows)
    return hidden, last_cell
