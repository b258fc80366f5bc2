"""Matrix products over very many rows: all frames of a batch, hundreds of thousands, of a few dozen numbers each.

A gradient of weights is a small matrix, and a sum over all rows. A GPU gives each part of what comes out to one
multiprocessor, so a library that does not share out the sum as well leaves nearly all of them waiting.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Rows that are summed by one product: 100,000 and more rows are then parts for all of a GPU's multiprocessors.
PART = 1024


def over_rows(a: Tensor, b: Tensor) -> Tensor:
    """``a.t() @ b``, a sum over all rows [shapes=(n_rows, m), (n_rows, n), result (m, n)].

    On a GPU the rows are shared out in parts, each of them a product of its own, whose results are summed in float32.
    """
    return in_parts(a, b) if a.device.type == "cuda" else a.t() @ b


def in_parts(a: Tensor, b: Tensor, part: int = PART) -> Tensor:
    """``a.t() @ b`` in parts of so many rows; what is left over is one more."""
    whole = len(a) // part * part
    rest = a[whole:].t() @ b[whole:]
    if not whole:
        return rest
    parts = torch.bmm(a[:whole].reshape(-1, part, a.shape[1]).transpose(1, 2), b[:whole].reshape(-1, part, b.shape[1]))
    total = parts.sum(0, dtype=torch.promote_types(a.dtype, torch.float32))
    return total.add_(rest).to(a.dtype)


class _LinearOverRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.addmm(bias, x, weight.t())

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (d_out,) = gradients
        x, weight = ctx.saved_tensors
        return d_out @ weight, over_rows(d_out, x), d_out.sum(0)


def linear_over_rows(x: Tensor, layer: nn.Linear) -> Tensor:
    """What a linear layer makes of very many rows [shapes=(n_rows, in_features), (n_rows, out_features)]."""
    out: Tensor = _LinearOverRows.apply(x, layer.weight, layer.bias)
    return out
