"""The packed GRU against torch's own, in float64."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from drives import taken
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from speech2vec.model.recurrence import gru_cpu, gru_steps, layers
from speech2vec.model.recurrence.gates import LayerInputs
from speech2vec.model.recurrence.layers import GRULayer, packed_gru
from speech2vec.model.recurrence.packing import Packing


def with_weights_of(weights: GRULayer) -> nn.GRU:
    """Torch's GRU with the same weights; of its two biases the second is zero where both do the same."""
    H, F = len(weights.from_state), len(weights.from_input)
    layer = nn.GRU(F, H).double()
    with torch.no_grad():
        layer.weight_ih_l0.copy_(weights.from_input.t())
        layer.weight_hh_l0.copy_(weights.from_state.t())
        layer.bias_ih_l0.copy_(weights.bias[: 3 * H])
        layer.bias_hh_l0.zero_()
        layer.bias_hh_l0[2 * H :] = weights.bias[3 * H :]
    return layer


@pytest.fixture(params=[gru_cpu, gru_steps], ids=["cpu", "steps"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Each way of computing the recurrence, whatever the device would choose."""
    monkeypatch.setattr(layers, "_gru_engine", lambda *_: request.param)
    return request.param


@pytest.mark.usefixtures("engine")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.booleans(), st.booleans(), st.integers(0, 2**31))
def test_states_and_gradients_equal_those_of_torch(lengths: list[int], start: bool, stays: bool, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    F, H, n = 3, 4, torch.tensor(lengths)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=draw).requires_grad_()

    weights = GRULayer(F, H).double()
    with torch.no_grad():
        for parameter in weights.parameters():
            parameter.copy_(random(*parameter.shape))
    layer = with_weights_of(weights)
    x, h0, constant = random(int(n.sum()), F).detach(), random(len(n), H), random(len(n), F)
    first, packing = n.cumsum(0) - n, Packing.of(n)
    rows = first[packing.order][packing.sequence] + packing.time
    stays_over_time = (constant @ weights.input)[packing.order] if stays else None
    inputs = LayerInputs(x, rows, weights.input, weights.bias, constant=stays_over_time)
    ours = packed_gru(inputs, weights.recurrent, packing, h0[packing.order] if start else None)
    slow = []
    for s, length in enumerate(lengths):
        heard = x[first[s] : first[s] + length] + (constant[s] if stays else 0)
        slow.append(layer(heard, h0[s : s + 1] if start else None)[0])
    theirs = torch.stack(
        [slow[s][t] for s, t in zip(packing.order[packing.sequence], packing.time.tolist(), strict=True)]
    )
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)

    factor = torch.randn(ours.shape, dtype=torch.float64, generator=draw)
    leaves = ([h0] if start else []) + ([constant] if stays else [])
    own = [weights.from_input, weights.from_state, weights.bias]
    mine = torch.autograd.grad((ours * factor).sum(), [*leaves, *own])
    others = torch.autograd.grad((theirs * factor).sum(), [*leaves, *layer.parameters()])
    *their_leaves, d_input, d_state, d_bias, d_second = others
    expected = [*their_leaves, d_input.t(), d_state.t(), torch.cat([d_bias, d_second[2 * H :]])]
    for gradient, other in zip(mine, expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=0, atol=1e-10)


@pytest.mark.usefixtures("engine")
def test_a_state_that_is_fed_back_as_input_joins_the_recurrent_weights() -> None:
    """What the decoder does without teacher forcing: the reset gate does not scale what comes back as input."""
    torch.manual_seed(0)
    H, weights = 4, GRULayer(3, 4).double()
    layer, back = with_weights_of(weights), torch.randn(4, 3).double()
    h = start = torch.randn(1, H).double()
    expected = []
    for _ in range(5):
        h = layer((h @ back), h)[0]
        expected.append(h)
    packing = Packing.of(torch.tensor([5]))
    recurrent = weights.recurrent + back @ weights.input
    ours = packed_gru(LayerInputs(constant=weights.bias[None]), recurrent, packing, initial=start)
    torch.testing.assert_close(ours, torch.cat(expected), rtol=0, atol=1e-12)


@pytest.mark.usefixtures("engine")
def test_directions_at_once_are_each_by_itself() -> None:
    torch.manual_seed(0)
    D, H, n = 2, 4, torch.tensor([4, 1, 7])
    packing, rows = Packing.of(n), torch.randint(20, (D, int(n.sum())))
    frames = torch.randn(20, 3).double()
    shapes = [(D, 3, 4 * H), (D, 4 * H), (D, 3, 4 * H), (D, 3, 4 * H), (D, H, 4 * H), (D, 3, H)]
    leaves = [torch.randn(shape).double().requires_grad_() for shape in shapes]
    together = packed_gru(LayerInputs(frames, rows, *leaves[:4]), leaves[4], packing, leaves[5])
    apart = torch.stack(
        [
            packed_gru(
                LayerInputs(frames, rows[d], *(leaf[d] for leaf in leaves[:4])), leaves[4][d], packing, leaves[5][d]
            )
            for d in range(D)
        ]
    )
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-14)
    factor = torch.randn_like(apart)
    gradients = (torch.autograd.grad((states * factor).sum(), leaves) for states in (together, apart))
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)


def large_batch(H: int = 20, n_sequences: int = 150) -> tuple[LayerInputs, Tensor, Packing, list[Tensor]]:
    """Several blocks of sequences, given all that a GRU can be given, some of whose gates are far in saturation."""
    torch.manual_seed(0)
    packing = Packing.of(torch.randint(1, 60, (n_sequences,)))
    table = (torch.randn(200, 4 * H) * torch.logspace(-2, 2.5, 200)[:, None]).requires_grad_()
    constant, start = torch.randn(2, n_sequences, 4 * H).requires_grad_().unbind(0)
    initial = torch.randn(n_sequences, H).requires_grad_()
    recurrent = (torch.randn(H, 4 * H) / H**0.5).requires_grad_()  # larger weights amplify rounding from step to step
    rows = torch.randint(len(table), (len(packing.time),))
    return taken(table, rows, constant, start), initial, packing, [table, constant, start, initial, recurrent]


def test_the_kernel_in_float32_is_close_to_the_steps_in_float64() -> None:
    inputs, initial, packing, leaves = large_batch()
    ours = packed_gru(inputs, leaves[-1], packing, initial)
    table, constant, start, first, recurrent = double = [leaf.detach().double().requires_grad_() for leaf in leaves]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "_gru_engine", lambda *_: gru_steps)
        exact = packed_gru(taken(table, inputs.rows, constant, start), recurrent, packing, first)
        theirs = torch.autograd.grad(exact.sum(), double)
    torch.testing.assert_close(ours.double(), exact, rtol=0, atol=2e-5)
    for mine, other in zip(torch.autograd.grad(ours.sum(), leaves), theirs, strict=True):
        torch.testing.assert_close(mine.double(), other, rtol=1e-3, atol=1e-3 * float(other.abs().max()))


def test_the_number_of_threads_changes_no_bit_of_the_states() -> None:
    inputs, initial, packing, leaves = large_batch()
    before, results = torch.get_num_threads(), []
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            hidden = packed_gru(inputs, leaves[-1], packing, initial)
            results.append((hidden, torch.autograd.grad(hidden.sum(), leaves[0])[0]))
    finally:
        torch.set_num_threads(before)
    for hidden, d_table in results[1:]:
        assert torch.equal(hidden, results[0][0])
        assert torch.equal(d_table, results[0][1])
