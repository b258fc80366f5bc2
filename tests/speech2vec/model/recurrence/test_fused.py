"""The recurrences in Triton: on a GPU where there is one, else in Triton's interpreter; and what its compiler says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from drives import taken
from torch import Tensor

from speech2vec.model.recurrence import gru_steps, layers, lstm_steps
from speech2vec.model.recurrence.layers import packed_gru, packed_lstm_with_cell
from speech2vec.model.recurrence.packing import Packing

pytest.importorskip("triton", reason="this build of torch comes without Triton")

from speech2vec.model.recurrence import gru_gpu, lstm_gpu

pytestmark = pytest.mark.filterwarnings("ignore:Conversion of an array with ndim:DeprecationWarning")  # Triton's own

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # in the interpreter (tests/conftest.py)
D, N_SEQUENCES, N_INPUTS = 2, 21, 50  # directions; two blocks in each, the last not full


def states_and_gradients(
    engine: ModuleType, dtype: torch.dtype, device: str, H: int, given: frozenset[str], lengths: Tensor
) -> list[Tensor]:
    """Hidden states, last cells, and the gradients of all that was given, in float64 on the CPU."""
    torch.manual_seed(H)
    B, S = len(lengths), int(lengths.sum())
    drawn = {
        "recurrent": torch.randn(D, H, 4 * H) / H**0.5,
        "table": torch.randn(D, N_INPUTS, 4 * H),
        "constant": torch.randn(D, B, 4 * H),
        "start": torch.randn(D, B, 4 * H),
        "initial": torch.randn(D, B, H),
        "initial_cell": torch.randn(D, B, H),
    }
    rows = torch.randint(N_INPUTS, (D, S)).to(device)
    leaves = {
        # Rounded first, so that both engines get the same numbers.
        name: value.bfloat16().to(device, dtype).requires_grad_()
        for name, value in drawn.items()
        if name == "recurrent" or name in given
    }
    recurrent = leaves["recurrent"].mT.contiguous().mT  # the same numbers in another order of memory
    inputs = taken(leaves.get("table"), rows, leaves.get("constant"), leaves.get("start"))
    packing = Packing.of(lengths.to(device), longest=int(lengths.max()) + 3, n_rows=S)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "_lstm_engine", lambda *_: engine)
        patch.setattr(layers, "_gru_engine", lambda *_: engine)
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
from scripts.benchmarks.kernel_resources import kernels, resources

cell, capability, H, dtype, absent = json.loads(sys.argv[1])
for _, kernel in kernels(cell, capability, H, dtype, absent):
    needs = resources(kernel, capability)
    print(json.dumps([*dataclasses.astuple(needs), needs.resident, kernel.asm["ptx"], kernel.asm["ttgir"]]))
"""


def accesses(ttgir: str) -> list[tuple[str, str]]:
    """Barriers, and loads and stores with the tensor's name, of the loop over steps; one inside it counts once."""
    tensors = {name: name for name in re.findall(r"%(\w+): !tt\.ptr", ttgir)}
    found, in_loop = [], False
    for result, operation, operand in re.findall(r"(?m)^ *(?:%([\w#]+)(?::\d+)? = )?([\w.]+)(?: %([\w#]+))?", ttgir):
        in_loop |= operation == "scf.for"
        if in_loop and operation in ("tt.load", "tt.store"):
            found.append((operation, tensors[operand]))
        elif in_loop and operation == "gpu.barrier":
            found.append((operation, ""))
        elif operand in tensors:  # a pointer computed from another
            tensors[result] = tensors[operand]
    return found


def unordered(found: list[tuple[str, str]], overwritten: set[str]) -> set[str]:
    """Tensors that threads load after storing, or store after loading if `overwritten`, with no barrier between."""
    loaded: set[str] = set()
    stored: set[str] = set()
    wrong: set[str] = set()
    for operation, tensor in 2 * found:  # the second time for what a step leaves to the next
        if operation == "gpu.barrier":
            loaded, stored = set(), set()
        elif operation == "tt.load":
            wrong |= {tensor} & stored
            loaded.add(tensor)
        else:
            wrong |= {tensor} & loaded & overwritten
            stored.add(tensor)
    return wrong


@pytest.mark.parametrize(
    ("kind", "read_back"),
    [
        # The default decoder, on an H100: the states need not be read back, as all units fit one tile.
        (
            ("lstm", 90, 50, "fp32", ("table", "rows", "initial_cell")),
            (set(), {"d_gates", "d_initial", "d_cell", "d_constant"}),
        ),
        # Encoders, on an A100: units in two tiles, and in five.
        (
            ("lstm", 80, 70, "fp32", ("constant", "start", "initial", "initial_cell", "d_constant")),
            ({"hidden", "cells"}, {"d_gates", "d_initial", "d_cell"}),
        ),
        (
            ("gru", 80, 300, "bf16", ("constant", "start", "initial", "d_constant")),
            ({"hidden"}, {"d_gates", "d_initial"}),
        ),
    ],
)
def test_the_kernels_compile_for_gpus_that_are_not_here(
    checkout: Path, kind: tuple[object, ...], read_back: tuple[set[str], set[str]]
) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    command = [sys.executable, "-c", COMPILE, json.dumps(kind)]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=checkout, check=False)
    assert answer.returncode == 0, answer.stderr
    kernels = [json.loads(line) for line in answer.stdout.splitlines()]
    for (_, _, spilled, shared, _, resident, ptx, ttgir), both_ways in zip(kernels, read_back, strict=True):
        assert spilled <= 256  # bytes of a thread: what the first cache takes in passing
        assert resident >= 2  # one block computes while the other waits
        assert shared <= 48 * 1024  # what any GPU has
        # What some threads store and others load lies behind a barrier, and is not loaded through a cache that does
        # not see it or before its time. An LSTM's `d_initial` is also overwritten with what does not come out of it.
        found = accesses(ttgir)
        loaded, stored = ({name for did, name in found if did == what} for what in ("tt.load", "tt.store"))
        assert loaded & stored == both_ways
        assert not unordered(found, {"d_initial"} if kind[0] == "lstm" else set())
        assert "ld.global.nc" not in ptx
        assert "cp.async" not in ptx
