"""Products over very many rows: in parts as in one, and a linear layer's gradients by them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from speech2vec.model.recurrence import products
from speech2vec.model.recurrence.products import in_parts, linear_over_rows


@given(st.integers(0, 70), st.integers(1, 20), st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**31))
def test_in_parts_as_in_one(n_rows: int, part: int, m: int, n: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(n_rows + 1, width, dtype=torch.float64, generator=draw)[1:] for width in (m, n))
    torch.testing.assert_close(in_parts(a, b, part), a.t() @ b, rtol=0, atol=1e-12)


def test_parts_in_bfloat16_are_summed_in_float32() -> None:
    ones = torch.ones(4096, 1, dtype=torch.bfloat16)
    ones[0] = 256.0  # to which bfloat16 can add no 1
    assert in_parts(ones, ones[:1].expand(4096, 1) / 256, part=1).item() == pytest.approx(256 + 4095, rel=2**-8)


@pytest.mark.parametrize("shared_out", [False, True])
def test_a_linear_layer_over_rows_is_the_layer(monkeypatch: pytest.MonkeyPatch, shared_out: bool) -> None:
    if shared_out:  # as on a GPU
        monkeypatch.setattr(products, "over_rows", lambda a, b: in_parts(a, b, part=7))
    torch.manual_seed(0)
    layer, x = nn.Linear(5, 3).double(), torch.randn(40, 5, dtype=torch.float64, requires_grad=True)
    factor = torch.randn(40, 3, dtype=torch.float64)
    leaves = [x, layer.weight, layer.bias]
    ours, theirs = linear_over_rows(x, layer), layer(x)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)
    for mine, other in zip(
        torch.autograd.grad((ours * factor).sum(), leaves),
        torch.autograd.grad((theirs * factor).sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-13)
