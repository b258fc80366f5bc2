"""Torch's own LSTM and GRU over packed sequences: cuDNN on a GPU, torch's own kernels on a CPU (float64 too).

Their input is one row for each step, which cuDNN multiplies with the input weights: an input that is constant over time
is multiplied at each step, not once for each sequence. In torch's GRU the reset gate scales everything that the
recurrent weights contribute to the candidate. A GRU that is fed its own output needs a part that the gate does not
scale, so another engine computes it.

cuDNN needs the number of sequences of each step on the host: if the packing does not hold it, the host waits for the
GPU. In shape comments S is packed rows, B sequences, D directions, H the hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from speech2vec.model.recurrence.inputs import StepInputs
from speech2vec.model.recurrence.packing import Packing

# Our blocks in the order of torch's. LSTM: input, forget, candidate, output. GRU: reset, update, and the candidate's
# part: of the input, or of the state, which the reset gate scales.
_LSTM, _GRU_INPUT, _GRU_STATE = (0, 1, 3, 2), (0, 1, 2), (0, 1, 3)


def lstm(
    inputs: StepInputs,
    recurrent: Tensor,
    packing: Packing,
    initial: Tensor | None = None,
    initial_cell: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Hidden states and each sequence's last cell state: as `lstm.packed_lstm_with_cell`.

    Parameters
    ----------
    inputs : StepInputs
    recurrent : Tensor [shape=(n_directions, hidden_size, 4 * hidden_size)]
        Without what comes back through `inputs.feedback`. One direction, or the two of a bidirectional layer.
    packing : Packing
    initial, initial_cell : Tensor [shape=(n_directions, n_sequences, hidden_size)] or None

    Returns
    -------
    hidden : Tensor [shape=(n_directions, n_rows, hidden_size)]
    last_cell : Tensor [shape=(n_directions, n_sequences, hidden_size)]
        Both without the leading dimension if it was left out of `recurrent` and all others.
    """
    weights = _parameters(inputs, recurrent, (_LSTM, _LSTM))
    start = _start(initial, recurrent, packing), _start(initial_cell, recurrent, packing)
    x, sizes = inputs.columns(packing, initial), torch.tensor(packing.batch_sizes)
    out, _, last_cell = torch.lstm(x, sizes, start, weights, *_options(recurrent))
    return _by_direction(out, recurrent, packing), last_cell.view(*recurrent.shape[:-2], *last_cell.shape[1:])


def gru(inputs: StepInputs, recurrent: Tensor, packing: Packing, initial: Tensor | None = None) -> Tensor:
    """States of a GRU that is not fed with its own output: as `gru.packed_gru`; parameters as of `lstm`."""
    assert inputs.feedback is None
    weights = _parameters(inputs, recurrent, (_GRU_INPUT, _GRU_STATE))
    x, sizes = inputs.columns(packing, initial), torch.tensor(packing.batch_sizes)
    out, _ = torch.gru(x, sizes, _start(initial, recurrent, packing), weights, *_options(recurrent))
    return _by_direction(out, recurrent, packing)


def _options(recurrent: Tensor) -> tuple[bool, int, float, bool, bool]:
    """Has biases, layers, dropout, is trained, is bidirectional."""
    if recurrent.device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # float32 is float32, backwards too
    return True, 1, 0.0, torch.is_grad_enabled(), recurrent.dim() == 3 and len(recurrent) == 2


def _start(state: Tensor | None, recurrent: Tensor, packing: Packing) -> Tensor:
    """A state to start from (zero if None) [shape=(D, B, H)]."""
    H, n = recurrent.shape[-2], len(packing.lengths)
    return recurrent.new_zeros(recurrent.numel() // (4 * H * H), n, H) if state is None else state.reshape(-1, n, H)


def _parameters(inputs: StepInputs, recurrent: Tensor, order: tuple[Sequence[int], Sequence[int]]) -> list[Tensor]:
    """Weights as torch has them: for each direction weight_ih, weight_hh, bias_ih, bias_hh.

    They are views of one piece of memory in cuDNN's order, all matrices before all biases: it need not copy them.
    """
    of_input, of_state = order

    def blocks(tensor: Tensor, order: Sequence[int]) -> Tensor:
        parts = tensor.chunk(4, dim=-1)
        return torch.cat([parts[n] for n in order], dim=-1)

    directions = [
        tensor if recurrent.dim() == 3 else tensor[None]
        for tensor in (inputs.weights(), inputs.recurrent(recurrent), inputs.recurrent_bias())
    ]
    matrices: list[Tensor] = []
    biases: list[Tensor] = []
    for weight, state, bias in zip(*directions, strict=True):
        H = len(state)
        # Of torch's two biases the second is needed where the reset gate scales it.
        second = torch.zeros_like(bias) if of_state == _LSTM else nn.functional.pad(bias[3 * H :], (3 * H, 0))
        matrices += [blocks(weight, of_input).t(), blocks(state, of_state).t()]
        biases += [blocks(bias, of_input), blocks(second, of_state)]
    tensors = matrices + biases
    memory = torch.cat([tensor.reshape(-1) for tensor in tensors])
    pieces = memory.split([tensor.numel() for tensor in tensors])
    views = [piece.view(tensor.shape) for piece, tensor in zip(pieces, tensors, strict=True)]
    n = len(matrices)
    return [view for d in range(0, n, 2) for view in (*views[d : d + 2], *views[n + d : n + d + 2])]


def _by_direction(out: Tensor, recurrent: Tensor, packing: Packing) -> Tensor:
    """Torch's states (S, D * H) as (D, S, H), a second direction's in the order in which it reaches them."""
    H = recurrent.shape[-2]
    if recurrent.dim() == 2:
        return out
    if len(recurrent) == 1:
        return out[None]
    from_end = packing.begin[packing.lengths[packing.sequence] - 1 - packing.time] + packing.sequence
    return torch.stack([out[:, :H], out[:, H:].index_select(0, from_end)])
