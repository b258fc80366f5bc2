"""The recurrences in Triton: on a GPU where there is one, else in Triton's interpreter; and what its compiler says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from drives import taken
from torch import Tensor

from speech2vec.recurrence import gru, gru_steps, lstm, lstm_steps
from speech2vec.recurrence.gru import packed_gru
from speech2vec.recurrence.lstm import packed_lstm_with_cell
from speech2vec.recurrence.packing import Packing

pytest.importorskip("triton", reason="this build of torch comes without Triton")

from speech2vec.recurrence import gru_gpu, lstm_gpu

pytestmark = pytest.mark.filterwarnings("ignore:Conversion of an array with ndim:DeprecationWarning")  # Triton's own

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # in the interpreter (tests/conftest.py)
ROOT = Path(__file__).resolve().parents[3]
N_SEQUENCES, N_INPUTS = 37, 50  # three blocks, the last not full


def states_and_gradients(
    engine: ModuleType, dtype: torch.dtype, device: str, H: int, given: frozenset[str], lengths: Tensor
) -> list[Tensor]:
    """Hidden states, last cells, and the gradients of all that was given, in float64 on the CPU."""
    torch.manual_seed(H)
    B, S = len(lengths), int(lengths.sum())
    drawn = {
        "recurrent": torch.randn(H, 4 * H) / H**0.5,
        "table": torch.randn(N_INPUTS, 4 * H),
        "constant": torch.randn(B, 4 * H),
        "start": torch.randn(B, 4 * H),
        "initial": torch.randn(B, H),
        "initial_cell": torch.randn(B, H),
    }
    rows = torch.randint(N_INPUTS, (S,)).to(device)
    leaves = {
        # Rounded first, so that both engines get the same numbers.
        name: value.bfloat16().to(device, dtype).requires_grad_()
        for name, value in drawn.items()
        if name == "recurrent" or name in given
    }
    recurrent = leaves["recurrent"].t().contiguous().t()  # the same numbers in another order of memory
    inputs = taken(leaves.get("table"), rows, leaves.get("constant"), leaves.get("start"))
    packing = Packing.of(lengths.to(device), longest=int(lengths.max()) + 3, n_rows=S)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lstm, "_engine", lambda _: engine)
        patch.setattr(gru, "_engine", lambda _: engine)
        if engine in (gru_gpu, gru_steps):
            results = [packed_gru(inputs, recurrent, packing, leaves.get("initial"))]
        else:
            initial = leaves.get("initial"), leaves.get("initial_cell")
            results = list(packed_lstm_with_cell(inputs, recurrent, packing, *initial))
        factors = (torch.randn(result.shape).to(result) for result in results)
        loss = torch.stack([(result * factor).sum() for result, factor in zip(results, factors, strict=True)]).sum()
        gradients = torch.autograd.grad(loss, list(leaves.values()))
    return [tensor.detach().double().cpu() for tensor in (*results, *gradients)]


@pytest.mark.parametrize("H", [5, 16, 25, 70])
@pytest.mark.parametrize(
    ("engine", "steps", "given"),
    [
        (lstm_gpu, lstm_steps, {"table"}),
        (lstm_gpu, lstm_steps, {"constant", "start", "initial"}),
        (lstm_gpu, lstm_steps, {"table", "constant", "initial", "initial_cell"}),
        (lstm_gpu, lstm_steps, {"table", "constant", "start", "initial_cell"}),
        (gru_gpu, gru_steps, {"table"}),
        (gru_gpu, gru_steps, {"constant", "start", "initial"}),
        (gru_gpu, gru_steps, {"table", "constant", "initial"}),
    ],
)
def test_states_and_gradients_equal_those_of_the_steps_in_float64(
    engine: ModuleType, steps: ModuleType, given: set[str], H: int
) -> None:
    torch.manual_seed(0)
    lengths = torch.cat([torch.tensor([1, 1, 12]), torch.randint(1, 9, (N_SEQUENCES - 3,))])
    ours = states_and_gradients(engine, torch.float32, DEVICE, H, frozenset(given), lengths)
    exact = states_and_gradients(steps, torch.float64, "cpu", H, frozenset(given), lengths)
    for mine, other in zip(ours, exact, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=5e-6 * float(other.abs().max()))


@pytest.mark.gpu
@pytest.mark.parametrize(("engine", "steps"), [(lstm_gpu, lstm_steps), (gru_gpu, gru_steps)])
def test_in_bfloat16_they_are_close(engine: ModuleType, steps: ModuleType) -> None:
    if DEVICE == "cpu":
        pytest.skip("no CUDA device; Triton's interpreter has no arithmetic in bfloat16")
    torch.manual_seed(0)
    given, lengths = frozenset({"constant", "start", "initial"}), torch.randint(1, 9, (N_SEQUENCES,))
    ours = states_and_gradients(engine, torch.bfloat16, DEVICE, 25, given, lengths)
    exact = states_and_gradients(steps, torch.float64, "cpu", 25, given, lengths)
    for mine, other in zip(ours, exact, strict=True):
        assert float((mine - other).norm() / other.norm()) < 0.02


COMPILE = """
import dataclasses, json, sys
from scripts.kernel_resources import kernels, resources

cell, capability, H, dtype, absent = json.loads(sys.argv[1])
for _, kernel in kernels(cell, capability, H, dtype, absent):
    needs = resources(kernel, capability)
    print(json.dumps([*dataclasses.astuple(needs), needs.resident, kernel.asm["ptx"], kernel.asm["ttgir"]]))
"""


@pytest.mark.parametrize(
    "kind",
    [
        ("lstm", 90, 50, "fp32", ("table", "rows", "initial_cell")),  # the default decoder, on an H100
        ("gru", 80, 300, "bf16", ("constant", "start", "initial", "d_constant")),  # an encoder, on an A100
    ],
)
def test_the_kernels_compile_for_gpus_that_are_not_here(kind: tuple[object, ...]) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    command = [sys.executable, "-c", COMPILE, json.dumps(kind)]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert answer.returncode == 0, answer.stderr
    kernels = [json.loads(line) for line in answer.stdout.splitlines()]
    assert len(kernels) == 2
    for _, _, spilled, shared, _, resident, ptx, ttgir in kernels:
        assert spilled <= 256  # bytes of a thread: what the first cache takes in passing
        assert resident >= 2  # one block computes while the other waits
        assert shared <= 48 * 1024  # what any GPU has
        # A step reads what the one before wrote: behind a barrier, not through a cache that does not see it, and not
        # before its time.
        loop = ttgir[ttgir.index("scf.for") :]
        assert loop.count("gpu.barrier") == 1 and "tt.store" in loop[: loop.index("gpu.barrier")]
        assert "ld.global.nc" not in ptx
        assert "cp.async" not in ptx
