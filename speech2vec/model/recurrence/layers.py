"""LSTM and GRU layers over sequences of different lengths: no padding is computed, and gradients are written out.

What does not depend on the recurrence is computed outside it. Each distinct frame is projected once, however many
sequences share it; an input that is constant over time is projected once for each sequence; the gradients of weights
are single large products at the end. The recurrence itself is computed by an engine (`engines`): `lstm_cpu` and
`gru_cpu` on a CPU, `lstm_gpu` and `gru_gpu` (Triton) on a GPU, `lstm_steps` and `gru_steps` anywhere.

Both kinds of layer offer `input`, `bias` and `recurrent` in four blocks of the hidden size, so a model is written once
for both. Weights are laid out for row vectors, [shape=(input_size, 4 * hidden_size)]: the transpose of torch's, and
with the LSTM's gates in the order input, forget, output, candidate (torch: i, f, g, o), so that one sigmoid covers
three gates that lie together. A GRU's candidate is ``tanh(from input + reset * from state)``, as in cuDNN and
`torch.nn.GRU`: its blocks are reset, update, the part of the candidate that the reset gate does not scale, and the part
that it scales. In float64 the numbers are those of `torch.nn.LSTM` and `torch.nn.GRU`
(tests/speech2vec/model/recurrence).
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from speech2vec.model.recurrence import gru_cpu, gru_steps, lstm_cpu, lstm_steps
from speech2vec.model.recurrence.engines import Engine, choose
from speech2vec.model.recurrence.gates import LayerInputs, as_direction, input_gradients, recurrent_gradient
from speech2vec.model.recurrence.inputs import StepInputs
from speech2vec.model.recurrence.packing import Packing


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
        engine: ModuleType,
        ends: Tensor | None,  # (B,) the row of each sequence's last step, if its cell state is wanted
    ) -> tuple[Tensor, Tensor | None]:
        inputs = LayerInputs(frames, rows, weights, bias, constant, start)
        states = engine.forwards(inputs.projected(), initial, initial_cell, recurrent, packing)
        ctx.save_for_backward(*states, frames, rows, initial, initial_cell, recurrent)
        ctx.engine, ctx.packing = engine, packing
        ctx.has_constant, ctx.has_start = constant is not None, start is not None
        _, cells, _, hidden = states
        return hidden, None if ends is None else cells[:, ends].to(hidden.dtype)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        d_hidden, d_last_cell = gradients
        gates, cells, squashed, hidden, frames, rows, initial, initial_cell, recurrent = ctx.saved_tensors
        packing = ctx.packing
        d_gates, d_constant, d_initial, d_initial_cell = ctx.engine.backwards(
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
        return *of_inputs, d_initial, d_initial_cell, d_recurrent, None, None, None


def _lstm_on_gpu() -> ModuleType:
    from speech2vec.model.recurrence import lstm_gpu  # Triton comes with some builds of torch only

    return lstm_gpu


def _lstm_engine(recurrent: Tensor, asked: Engine) -> ModuleType:
    """A module with `forwards` and `backwards`."""
    return choose(recurrent, asked, lstm_cpu, _lstm_on_gpu, lstm_steps)


def packed_lstm(
    inputs: LayerInputs,
    recurrent: Tensor,
    packing: Packing,
    initial: Tensor | None = None,
    engine: Engine = "auto",
) -> Tensor:
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
    engine : str
        `auto`, `triton` or `steps` (`engines`).

    Returns
    -------
    Tensor [shape=(n_directions, n_rows, hidden_size)]
        Without the leading dimension if it was left out of `recurrent` and all others.
    """
    if recurrent.dim() == 2:
        return packed_lstm(inputs.as_directions(), recurrent[None], packing, as_direction(initial), engine).squeeze(0)
    hidden: Tensor = _PackedLstm.apply(
        *inputs, initial, None, recurrent, packing, _lstm_engine(recurrent, engine), None
    )[0]
    return hidden


def packed_lstm_with_cell(
    inputs: LayerInputs,
    recurrent: Tensor,
    packing: Packing,
    initial: Tensor | None = None,
    initial_cell: Tensor | None = None,
    engine: Engine = "auto",
) -> tuple[Tensor, Tensor]:
    """As `packed_lstm`, from a given cell state and with the cell state of each sequence's last step.

    Parameters
    ----------
    inputs, recurrent, packing, initial, engine
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
        hidden, last_cell = packed_lstm_with_cell(inputs.as_directions(), recurrent[None], packing, *states, engine)
        return hidden.squeeze(0), last_cell.squeeze(0)
    taken = _lstm_engine(recurrent, engine), packing.last_rows
    hidden, last_cell = _PackedLstm.apply(*inputs, initial, initial_cell, recurrent, packing, *taken)
    return hidden, last_cell


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
        engine: ModuleType,
    ) -> Tensor:
        inputs = LayerInputs(frames, rows, weights, bias, constant, start)
        gates, hidden = engine.forwards(inputs.projected(), initial, recurrent, packing)
        ctx.save_for_backward(gates, hidden, frames, rows, initial, recurrent)
        ctx.engine, ctx.packing = engine, packing
        ctx.has_constant, ctx.has_start = constant is not None, start is not None
        return hidden

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (d_hidden,) = gradients
        gates, hidden, frames, rows, initial, recurrent = ctx.saved_tensors
        packing = ctx.packing
        d_gates, d_constant, d_initial = ctx.engine.backwards(
            gates, hidden, initial, recurrent, packing, d_hidden, ctx.has_constant
        )
        d_weights, d_bias = (None, None) if frames is None else input_gradients(frames, rows, d_gates)
        d_start = d_gates[:, : len(packing.lengths)] if ctx.has_start else None
        d_recurrent = recurrent_gradient(hidden, initial, d_gates, packing)
        of_inputs = None, None, d_weights, d_bias, d_constant, d_start
        return *of_inputs, None if initial is None else d_initial, d_recurrent, None, None


def _gru_on_gpu() -> ModuleType:
    from speech2vec.model.recurrence import gru_gpu  # Triton comes with some builds of torch only

    return gru_gpu


def _gru_engine(recurrent: Tensor, asked: Engine) -> ModuleType:
    """A module with `forwards` and `backwards`."""
    return choose(recurrent, asked, gru_cpu, _gru_on_gpu, gru_steps)


def packed_gru(
    inputs: LayerInputs,
    recurrent: Tensor,
    packing: Packing,
    initial: Tensor | None = None,
    engine: Engine = "auto",
) -> Tensor:
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
    engine : str
        `auto`, `triton` or `steps` (`engines`).

    Returns
    -------
    Tensor [shape=(n_directions, n_rows, hidden_size)]
        Without the leading dimension if it was left out of `recurrent` and all others.
    """
    if recurrent.dim() == 2:
        return packed_gru(inputs.as_directions(), recurrent[None], packing, as_direction(initial), engine).squeeze(0)
    hidden: Tensor = _PackedGru.apply(*inputs, initial, recurrent, packing, _gru_engine(recurrent, engine))
    return hidden


def _initialise(layer: nn.Module, hidden_size: int) -> None:
    """Uniform in ±1/√H, as torch initialises its recurrent layers."""
    bound = 1 / math.sqrt(hidden_size)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -bound, bound)


class LSTMLayer(nn.Module):
    """The weights of one LSTM layer in one direction; gates in the order input, forget, output, candidate."""

    def __init__(self, input_size: int, hidden_size: int, engine: Engine = "auto") -> None:
        super().__init__()
        self.engine: Engine = engine
        self.input = nn.Parameter(torch.empty(input_size, 4 * hidden_size))
        self.bias = nn.Parameter(torch.empty(4 * hidden_size))
        self.recurrent = nn.Parameter(torch.empty(hidden_size, 4 * hidden_size))
        _initialise(self, hidden_size)

    def states(self, inputs: StepInputs, recurrent: Tensor, packing: Packing, initial: Tensor | None = None) -> Tensor:
        """Hidden states (`packed_lstm`), from weights like these; `recurrent` is without what is fed back."""
        recurrent = inputs.recurrent(recurrent)
        return packed_lstm(inputs.projected(initial), recurrent, packing, initial, self.engine)

    def states_and_cell(
        self,
        inputs: StepInputs,
        recurrent: Tensor,
        packing: Packing,
        initial: Tensor | None = None,
        initial_cell: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As `states`, from a given cell state and with the last one (`packed_lstm_with_cell`)."""
        recurrent = inputs.recurrent(recurrent)
        given = inputs.projected(initial), recurrent, packing, initial, initial_cell
        return packed_lstm_with_cell(*given, self.engine)


class GRULayer(nn.Module):
    """The weights of one GRU layer in one direction; blocks in the order that `gru_cpu` says."""

    def __init__(self, input_size: int, hidden_size: int, engine: Engine = "auto") -> None:
        super().__init__()
        self.engine: Engine = engine
        self.from_input = nn.Parameter(torch.empty(input_size, 3 * hidden_size))  # reset, update, candidate
        self.bias = nn.Parameter(torch.empty(4 * hidden_size))
        self.from_state = nn.Parameter(torch.empty(hidden_size, 3 * hidden_size))  # reset, update, scaled
        _initialise(self, hidden_size)

    @property
    def input(self) -> Tensor:
        """Input weights [shape=(input_size, 4 * hidden_size)]; inputs do not come under the reset gate."""
        return nn.functional.pad(self.from_input, (0, len(self.from_state)))

    @property
    def recurrent(self) -> Tensor:
        """Recurrent weights [shape=(hidden_size, 4 * hidden_size)]; all that reach the candidate are scaled."""
        reset, update, scaled = self.from_state.chunk(3, dim=1)
        return torch.cat([reset, update, torch.zeros_like(scaled), scaled], dim=1)

    def states(self, inputs: StepInputs, recurrent: Tensor, packing: Packing, initial: Tensor | None = None) -> Tensor:
        """States (`packed_gru`), from weights like these; `recurrent` is without what is fed back."""
        recurrent = inputs.recurrent(recurrent)
        return packed_gru(inputs.projected(initial), recurrent, packing, initial, self.engine)

    def states_and_cell(
        self,
        inputs: StepInputs,
        recurrent: Tensor,
        packing: Packing,
        initial: Tensor | None = None,
        initial_cell: Tensor | None = None,
    ) -> tuple[Tensor, None]:
        """As an LSTM's; a GRU has no cell state."""
        return self.states(inputs, recurrent, packing, initial), None


Cell = LSTMLayer | GRULayer


CELLS: dict[str, type[LSTMLayer] | type[GRULayer]] = {"lstm": LSTMLayer, "gru": GRULayer}
