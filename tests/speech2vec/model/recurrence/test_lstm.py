"""The packed LSTM against torch's own, in float64."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from drives import taken
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from speech2vec.model.recurrence import layers, lstm_cpu, lstm_steps
from speech2vec.model.recurrence.engines import Engine
from speech2vec.model.recurrence.gates import LayerInputs
from speech2vec.model.recurrence.layers import packed_lstm, packed_lstm_with_cell
from speech2vec.model.recurrence.packing import Packing

lengths_lists = st.lists(st.integers(1, 9), min_size=1, max_size=8)


@given(lengths_lists)
def test_packing_holds_every_frame_once_longest_sequence_first(lengths: list[int]) -> None:
    packing = Packing.of(torch.tensor(lengths))
    held = list(zip(packing.order[packing.sequence].tolist(), packing.time.tolist(), strict=True))
    assert sorted(held) == [(s, t) for s, n in enumerate(lengths) for t in range(n)]
    assert packing.batch_sizes == sorted(packing.batch_sizes, reverse=True)
    assert packing.time.tolist() == [t for t, n in enumerate(packing.batch_sizes) for _ in range(n)]


@given(lengths_lists)
def test_last_rows_are_the_last_step_of_each_sequence(lengths: list[int]) -> None:
    packing = Packing.of(torch.tensor(lengths))
    rows = packing.last_rows
    assert packing.time[rows].tolist() == (packing.lengths - 1).tolist()
    assert packing.sequence[rows].tolist() == list(range(len(lengths)))


def reference(heard: Tensor, h0: Tensor, c0: Tensor, recurrent: Tensor) -> tuple[Tensor, Tensor]:
    """An LSTM as in a textbook, for one sequence of what its gates hear [shape=(T, 4H)]; the last cell state too."""
    h, c, states = h0, c0, []
    for frame in heard:
        i, f, o, candidate = (frame + h @ recurrent).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * candidate.tanh()
        h = o.sigmoid() * c.tanh()
        states.append(h)
    return torch.stack(states), c


@pytest.fixture(params=[lstm_cpu, lstm_steps], ids=["cpu", "steps"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Each way of computing the recurrence, whatever the device would choose."""
    monkeypatch.setattr(layers, "_lstm_engine", lambda *_: request.param)
    return request.param


@pytest.mark.usefixtures("engine")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths_lists,
    st.sampled_from([1, 5]),
    st.sampled_from(["table", "constant", "both"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_states_and_gradients_equal_those_of_a_textbook_lstm(
    lengths: list[int], hidden_size: int, driven: str, at_start: bool, with_state: bool, with_cell: bool, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    F, H, n = 3, hidden_size, torch.tensor(lengths)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=draw).requires_grad_()

    weights = {"input": random(F, 4 * H), "bias": random(4 * H), "recurrent": random(H, 4 * H)}
    x, constant, start = random(int(n.sum()), F).detach(), random(len(n), 4 * H), random(len(n), 4 * H)
    h0, c0 = random(len(n), H), random(len(n), H)
    first = n.cumsum(0) - n
    leaves = [weights["recurrent"]]
    leaves += [weights["input"], weights["bias"]] if driven != "constant" else []
    leaves += [constant] if driven != "table" else []
    leaves += [leaf for leaf, used in ((start, at_start), (h0, with_state), (c0, with_cell)) if used]

    packing = Packing.of(n)
    inputs = LayerInputs()
    if driven != "constant":
        rows = first[packing.order][packing.sequence] + packing.time
        inputs = LayerInputs(x, rows, weights["input"], weights["bias"])
    if driven != "table":
        inputs = inputs._replace(constant=constant[packing.order])
    if at_start:
        inputs = inputs._replace(start=start[packing.order])
    given = inputs, weights["recurrent"], packing, h0[packing.order] if with_state else None
    if with_cell:
        ours, our_cells = packed_lstm_with_cell(*given, c0[packing.order])
    else:
        ours, our_cells = packed_lstm(*given), torch.zeros(len(n), H, dtype=torch.float64)
    factor, cell_factor = (torch.randn(part.shape, dtype=torch.float64, generator=draw) for part in (ours, our_cells))
    our_gradients = torch.autograd.grad((ours * factor).sum() + (our_cells * cell_factor).sum(), leaves)

    slow, cells, zero = [], [], torch.zeros(H, dtype=torch.float64)
    for s, length in enumerate(lengths):
        heard = torch.zeros(length, 4 * H, dtype=torch.float64)
        if driven != "constant":
            heard = heard + x[first[s] : first[s] + length] @ weights["input"] + weights["bias"]
        if driven != "table":
            heard = heard + constant[s]
        if at_start:
            heard = torch.cat([heard[:1] + start[s], heard[1:]])
        states, cell = reference(
            heard, h0[s] if with_state else zero, c0[s] if with_cell else zero, weights["recurrent"]
        )
        slow.append(states)
        cells.append(cell if with_cell else zero)
    theirs = torch.stack(
        [slow[s][t] for s, t in zip(packing.order[packing.sequence], packing.time.tolist(), strict=True)]
    )
    their_cells = torch.stack(cells)[packing.order]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    torch.testing.assert_close(our_cells, their_cells, rtol=0, atol=1e-12)
    their_gradients = torch.autograd.grad((theirs * factor).sum() + (their_cells * cell_factor).sum(), leaves)
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-10)


@pytest.mark.usefixtures("engine")
def test_states_equal_those_of_torch_in_float32() -> None:
    torch.manual_seed(0)
    H, n = 20, torch.tensor([40, 7, 1, 23])
    layer = nn.LSTM(13, H)
    x, first = torch.randn(int(n.sum()), 13), n.cumsum(0) - n
    order = [*range(2 * H), *range(3 * H, 4 * H), *range(2 * H, 3 * H)]  # torch has the candidate before the output
    packing = Packing.of(n)
    rows = first[packing.order][packing.sequence] + packing.time
    inputs = LayerInputs(x, rows, layer.weight_ih_l0[order].t(), (layer.bias_ih_l0 + layer.bias_hh_l0)[order])
    ours = packed_lstm(inputs, layer.weight_hh_l0[order].t().contiguous(), packing)
    for s in range(len(n)):
        theirs, _ = layer(x[first[s] : first[s] + n[s]])
        mine = ours[packing.order[packing.sequence] == s]
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


def large_batch(H: int = 20, n_sequences: int = 150) -> tuple[tuple[Tensor, Tensor, Tensor, Packing], list[Tensor]]:
    """Several blocks of sequences, some of whose gates are far in saturation."""
    torch.manual_seed(0)
    packing = Packing.of(torch.randint(1, 60, (n_sequences,)))
    table = (torch.randn(200, 4 * H) * torch.logspace(-2, 2.5, 200)[:, None]).requires_grad_()
    recurrent = torch.randn(H, 4 * H).requires_grad_()
    rows = torch.randint(len(table), (len(packing.time),))
    return (table, rows, recurrent, packing), [table, recurrent]


def test_the_kernel_in_float32_is_close_to_the_steps_in_float64() -> None:
    (table, rows, recurrent, packing), leaves = large_batch()
    ours = packed_lstm(taken(table, rows), recurrent, packing)
    double = [leaf.detach().double().requires_grad_() for leaf in leaves]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "_lstm_engine", lambda *_: lstm_steps)
        exact = packed_lstm(taken(double[0], rows), double[1], packing)
    torch.testing.assert_close(ours.double(), exact, rtol=0, atol=2e-5)
    for mine, other in zip(
        torch.autograd.grad(ours.sum(), leaves), torch.autograd.grad(exact.sum(), double), strict=True
    ):
        torch.testing.assert_close(mine.double(), other, rtol=1e-3, atol=1e-3 * float(other.abs().max()))


def test_the_number_of_threads_changes_no_bit_of_the_states() -> None:
    (table, rows, recurrent, packing), leaves = large_batch()
    before, results = torch.get_num_threads(), []
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            hidden = packed_lstm(taken(table, rows), recurrent, packing)
            results.append((hidden, torch.autograd.grad(hidden.sum(), leaves[0])[0]))
    finally:
        torch.set_num_threads(before)
    for hidden, d_table in results[1:]:
        assert torch.equal(hidden, results[0][0])
        assert torch.equal(d_table, results[0][1])


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["steps", "triton"])
def test_states_on_a_gpu_equal_those_on_the_cpu(name: Engine) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.manual_seed(0)
    n = torch.randint(1, 60, (32,))
    table, recurrent = torch.randn(int(n.sum()), 40), torch.randn(10, 40) / 4
    results = []
    for device, engine in (("cpu", "steps"), ("cuda", name)):
        packing = Packing.of(n.to(device))
        rows = (n.cumsum(0) - n).to(device)[packing.order][packing.sequence] + packing.time
        results.append(packed_lstm(taken(table.to(device), rows), recurrent.to(device), packing, engine=engine).cpu())
    torch.testing.assert_close(*results, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("engine")
def test_directions_at_once_are_each_by_itself() -> None:
    torch.manual_seed(0)
    D, H, F, n = 2, 5, 3, torch.tensor([4, 1, 7])
    packing, n_rows = Packing.of(n), int(n.sum())

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64).requires_grad_()

    frames, rows = random(20, F).detach(), torch.randint(20, (D, n_rows))
    leaves = [random(D, F, 4 * H), random(D, 4 * H), random(D, 3, 4 * H), random(D, 3, 4 * H)]  # a layer's inputs
    leaves += [random(D, H, 4 * H), random(D, 3, H), random(D, 3, H)]  # recurrent weights, states to start from
    together = packed_lstm_with_cell(LayerInputs(frames, rows, *leaves[:4]), leaves[4], packing, *leaves[5:])
    apart = [
        packed_lstm_with_cell(
            LayerInputs(frames, rows[d], *(leaf[d] for leaf in leaves[:4])),
            *(leaves[4][d], packing, leaves[5][d], leaves[6][d]),
        )
        for d in range(D)
    ]
    for ours, each in zip(together, zip(*apart, strict=True), strict=True):
        factor = torch.randn(ours.shape, dtype=torch.float64)
        torch.testing.assert_close(ours, torch.stack(each), rtol=0, atol=1e-14)
        gradients = (
            torch.autograd.grad((x * factor).sum(), leaves, retain_graph=True) for x in (ours, torch.stack(each))
        )
        for mine, other in zip(*gradients, strict=True):
            torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)
