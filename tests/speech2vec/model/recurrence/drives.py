"""What recurrent layers are driven by in tests."""

from __future__ import annotations

import torch
from torch import Tensor

from speech2vec.model.recurrence.gates import LayerInputs


def taken(
    table: Tensor | None, rows: Tensor, constant: Tensor | None = None, start: Tensor | None = None
) -> LayerInputs:
    """Inputs whose projections are the rows of a table, so that gradients of the table can be asked for.

    With a leading dimension of directions, or without.
    """
    if table is None:
        return LayerInputs(constant=constant, start=start)
    one_each = torch.eye(table.shape[-2]).to(table)
    return LayerInputs(one_each, rows, table, torch.zeros_like(table[..., 0, :]), constant, start)
