"""The published decoder: it is started from z and given z at every step, and hears nothing else of the encoder.

In shape comments F is coefficients, D the dimension of z.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from speech2vec.encoder import Encoded, Segments
from speech2vec.presets import ModelSettings
from speech2vec.recurrence.cells import CELLS, Cell
from speech2vec.recurrence.gates import LayerInputs
from speech2vec.recurrence.packing import Packing
from speech2vec.recurrence.products import linear_over_rows


class ConditionedDecoder(nn.Module):
    """A one-layer LSTM or GRU started from z and given z at every step beside the previous frame."""

    def __init__(self, n_mfcc: int, settings: ModelSettings) -> None:
        super().__init__()
        self.teacher_forcing, self.kind = settings.teacher_forcing, settings.cell
        self.add_module(self.kind, CELLS[self.kind](n_mfcc + settings.vector_size, settings.vector_size))
        self.output = nn.Linear(settings.vector_size, n_mfcc)

    def forward(self, encoded: Encoded, source: Tensor, targets: Segments, packing: Packing) -> Tensor:
        """Predict the frames of `targets`.

        Parameters
        ----------
        encoded : Encoded
        source : Tensor [shape=(n_sequences,)], int64
            Which of the encoded words each sequence is generated from; in the order of `packing`.
        targets : Segments
            A sequence each, in the same order; several sequences may share frames.
        packing : Packing

        Returns
        -------
        Tensor [shape=(n_rows, n_mfcc)]
            In packed order.
        """
        F = targets.frames.shape[1]
        layer: Cell = getattr(self, self.kind)
        z, weights, recurrent = encoded.z[source], layer.input, layer.recurrent
        from_frame, from_z = weights[:F], weights[F:]
        if self.teacher_forcing:
            inputs = LayerInputs(*previous_frames(targets, packing), from_frame, layer.bias, constant=z @ from_z)
        else:
            # The input of step t is output(h[t - 1]), a linear map of h, so it joins the recurrent weights. That z, the
            # state before step 0, was no output is set right at that step.
            recurrent = recurrent + self.output.weight.t() @ from_frame
            fed_back = torch.addmv(layer.bias, from_frame.t(), self.output.bias)
            inputs = LayerInputs(constant=torch.addmm(fed_back, z, from_z), start=-self.output(z) @ from_frame)
        hidden = layer.states(inputs, recurrent, packing, initial=z)
        return linear_over_rows(hidden, self.output)


def previous_frames(targets: Segments, packing: Packing) -> tuple[Tensor, Tensor]:
    """Inputs under teacher forcing: step t takes frame t - 1, step 0 a frame of zeros.

    Returns
    -------
    frames : Tensor [shape=(n_frames + 1, n_mfcc)]
    rows : Tensor [shape=(n_rows,)], int64
        The input of each packed row.
    """
    rows = targets.first[packing.sequence] + packing.time - 1
    frames = torch.nn.functional.pad(targets.frames, (0, 0, 0, 1))
    return frames, torch.where(packing.time > 0, rows, len(targets.frames))
