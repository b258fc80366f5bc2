"""What a recurrent layer is given at its steps, before it is multiplied with any weights.

The engines take it projected (`StepInputs.projected`): each distinct frame once, what stays over time once for each
sequence.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from speech2vec.model.recurrence.gates import LayerInputs


class StepInputs(NamedTuple):
    """The input of each step: a frame, or the layer's own output; and beside it what stays over time.

    Parameters
    ----------
    from_frame : Tensor [shape=(n_directions, n_mfcc, 4 * hidden_size)]
        Input weights of a frame. A layer with one direction may leave the leading dimension out, of all its tensors.
    bias : Tensor [shape=(n_directions, 4 * hidden_size)]
    frames : Tensor [shape=(n_frames, n_mfcc)] or None
        The same for all directions; data, without a gradient.
    rows : Tensor [shape=(n_directions, n_rows)], int64, or None
        Which of the frames each packed row takes; there if `frames` is.
    constant : Tensor [shape=(n_sequences, size)] or None
        The same at all steps of a sequence; in the packing's order. For layers with one direction.
    from_constant : Tensor [shape=(size, 4 * hidden_size)] or None
        Its input weights.
    feedback : nn.Linear or None
        In place of frames: step t takes what this makes of the state of step t - 1, and step 0 takes zeros. It needs
        `constant`.
    """

    from_frame: Tensor
    bias: Tensor
    frames: Tensor | None = None
    rows: Tensor | None = None
    constant: Tensor | None = None
    from_constant: Tensor | None = None
    feedback: nn.Linear | None = None

    def recurrent(self, weights: Tensor) -> Tensor:
        """Recurrent weights [shape=(..., hidden_size, 4 * hidden_size)], with what comes back through `feedback`.

        What step t takes is a linear map of the state of step t - 1, so it joins the recurrent weights.
        """
        return weights if self.feedback is None else weights + self.feedback.weight.t() @ self.from_frame

    def projected(self, initial: Tensor | None) -> LayerInputs:
        """Multiplied with the weights.

        Parameters
        ----------
        initial : Tensor [shape=(n_sequences, hidden_size)] or None
            The state before step 0. It is no output, so what `feedback` makes of it is taken off at step 0.
        """
        if self.feedback is None:
            frames = LayerInputs(self.frames, self.rows, self.from_frame, self.bias)
            if self.constant is None or self.from_constant is None:
                return frames
            return frames._replace(constant=self.constant @ self.from_constant)
        assert self.constant is not None and self.from_constant is not None and initial is not None
        bias = torch.addmv(self.bias, self.from_frame.t(), self.feedback.bias)
        constant = torch.addmm(bias, self.constant, self.from_constant)
        return LayerInputs(constant=constant, start=-self.feedback(initial) @ self.from_frame)
