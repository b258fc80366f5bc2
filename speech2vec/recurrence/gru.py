"""A GRU over sequences of different lengths that computes no padding, with its gradient written out.

As `lstm`, and with the same interface; the recurrence itself is `gru_cpu` on a CPU, `gru_gpu` on a GPU, and
`gru_steps` for what those two do not take. The candidate is ``tanh(from input + reset * from state)``, the form of
cuDNN and of `torch.nn.GRU`: the reset gate scales what the recurrent weights make of the state, not the state. So a
step has four blocks, as many as an LSTM's: reset gate, update gate, the candidate's part that the reset gate leaves
alone, and the part that it scales.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from speech2vec.recurrence import gru_cpu, gru_steps
from speech2vec.recurrence.engines import engine
from speech2vec.recurrence.gates import LayerInputs, as_direction, input_gradients, recurrent_gradient
from speech2vec.recurrence.packing import Packing


class _PackedGru(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        frames: Tensor | None,
        rows: Tensor | None,
        weights: Tensor | None,
        bias: Tensor | None,
        constant: Tensor | None,
        start: Tensor | None,
        initial: Tensor | None,  # (D, B, H) initial state, longest sequence first
        recurrent: Tensor,  # (D, H, 4H)
        packing: Packing,
    ) -> Tensor:
        inputs = LayerInputs(frames, rows, weights, bias, constant, start)
        gates, hidden = _engine(recurrent).forwards(inputs.projected(), initial, recurrent, packing)
        ctx.save_for_backward(gates, hidden, frames, rows, initial, recurrent)
        ctx.packing, ctx.has_constant, ctx.has_start = packing, constant is not None, start is not None
        return hidden

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (d_hidden,) = gradients
        gates, hidden, frames, rows, initial, recurrent = ctx.saved_tensors
        packing = ctx.packing
        d_gates, d_constant, d_initial = _engine(recurrent).backwards(
            gates, hidden, initial, recurrent, packing, d_hidden, ctx.has_constant
        )
        d_weights, d_bias = (None, None) if frames is None else input_gradients(frames, rows, d_gates)
        d_start = d_gates[:, : len(packing.lengths)] if ctx.has_start else None
        d_recurrent = recurrent_gradient(hidden, initial, d_gates, packing)
        of_inputs = None, None, d_weights, d_bias, d_constant, d_start
        return *of_inputs, None if initial is None else d_initial, d_recurrent, None


def _on_gpu() -> ModuleType:
    from speech2vec.recurrence import gru_gpu  # Triton comes with some builds of torch only

    return gru_gpu


def _engine(recurrent: Tensor) -> ModuleType:
    """A module with `forwards` and `backwards`."""
    return engine(recurrent, gru_cpu, _on_gpu, gru_steps)


def packed_gru(inputs: LayerInputs, recurrent: Tensor, packing: Packing, initial: Tensor | None = None) -> Tensor:
    """States of a GRU over packed sequences.

    Parameters
    ----------
    inputs : LayerInputs
        Blocks in the order reset, update, candidate, scaled. The last holds the bias inside the reset gate's reach
        (inputs do not come there).
    recurrent : Tensor [shape=(n_directions, hidden_size, 4 * hidden_size)]
        Recurrent weights, in the same blocks. That of the candidate is zero in a GRU, unless the state is fed back as
        input.
    packing : Packing
    initial : Tensor [shape=(n_directions, n_sequences, hidden_size)] or None
        The state to start from; in the packing's order.

    Returns
    -------
    Tensor [shape=(n_directions, n_rows, hidden_size)]
        Without the leading dimension if it was left out of `recurrent` and all others.
    """
    if recurrent.dim() == 2:
        return packed_gru(inputs.as_directions(), recurrent[None], packing, as_direction(initial)).squeeze(0)
    hidden: Tensor = _PackedGru.apply(*inputs, initial, recurrent, packing)
    return hidden
