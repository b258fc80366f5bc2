"""The weights of recurrent layers, and how each kind runs over packed sequences: LSTM or GRU.

Both offer `input`, `bias` and `recurrent` in four blocks of the hidden size, so that what is projected, gathered, fed
back and run is written once for both.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from speech2vec.recurrence.gates import LayerInputs
from speech2vec.recurrence.gru import packed_gru
from speech2vec.recurrence.lstm import packed_lstm, packed_lstm_with_cell
from speech2vec.recurrence.packing import Packing


def _initialise(layer: nn.Module, hidden_size: int) -> None:
    """Uniform in ±1/√H, as torch initialises its recurrent layers."""
    bound = 1 / math.sqrt(hidden_size)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -bound, bound)


class LstmWeights(nn.Module):
    """The weights of one LSTM layer in one direction; gates in the order input, forget, output, candidate."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.empty(input_size, 4 * hidden_size))
        self.bias = nn.Parameter(torch.empty(4 * hidden_size))
        self.recurrent = nn.Parameter(torch.empty(hidden_size, 4 * hidden_size))
        _initialise(self, hidden_size)

    states = staticmethod(packed_lstm)
    states_and_cell = staticmethod(packed_lstm_with_cell)


class GruWeights(nn.Module):
    """The weights of one GRU layer in one direction; blocks in the order reset, update, candidate, scaled (`gru`)."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
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

    states = staticmethod(packed_gru)

    @staticmethod
    def states_and_cell(
        inputs: LayerInputs,
        recurrent: Tensor,
        packing: Packing,
        initial: Tensor | None = None,
        initial_cell: Tensor | None = None,
    ) -> tuple[Tensor, None]:
        """As an LSTM's; a GRU has no cell state."""
        return packed_gru(inputs, recurrent, packing, initial), None


Cell = LstmWeights | GruWeights
CELLS: dict[str, type[LstmWeights] | type[GruWeights]] = {"lstm": LstmWeights, "gru": GruWeights}
