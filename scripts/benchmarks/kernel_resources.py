"""Resources of the Triton kernels on a GPU, found without one: registers, spilled bytes, shared memory, barriers.

    python -m scripts.benchmarks.kernel_resources [--capability 90] [--hidden-sizes 25 50 150] [--warps 8]

Triton compiles each kernel for the compute capability (90 is an H100, 80 an A100), and its assembler reports the
resources. A thread has at most 255 registers; the rest spills to its cache. The 65,536 registers of a multiprocessor
limit the number of blocks of sequences that it runs at once. This script stays as long as the Triton kernels do.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from speech2vec.model.recurrence import gru_gpu, lstm_gpu
from speech2vec.model.recurrence.fused import BLOCK, OPTIONS, tile_of

THREADS_PER_WARP, REGISTERS, UNIT = 32, 65_536, 8  # registers of a thread are allocated in units of eight
PTXAS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"
MODULES = {"lstm": lstm_gpu, "gru": gru_gpu}
# Arguments that are None: of a decoder that is fed its own output, of an encoder.
DECODER = ("table", "rows", "initial_cell")
ENCODER = ("constant", "start", "initial", "initial_cell", "d_constant")


@dataclass(frozen=True)
class Resources:
    """Registers and spilled bytes per thread, bytes of shared memory per block, barriers in the code."""

    warps: int
    registers: int
    spilled: int
    shared: int
    barriers: int

    @property
    def resident(self) -> int:
        """Blocks of sequences that a multiprocessor can run at once, by its registers."""
        each = -(-self.registers // UNIT) * UNIT
        return REGISTERS // (each * THREADS_PER_WARP * self.warps)


def kernels(
    cell: str, capability: int, H: int, dtype: str, absent: tuple[str, ...], warps: int = OPTIONS["num_warps"]
) -> Iterator[tuple[str, Any]]:
    """The names of the forward and backward kernels, and what Triton compiled; `dtype` is fp32 or bf16."""
    module, tile, options = MODULES[cell], tile_of(H), {**OPTIONS, "num_warps": warps}
    of = dict.fromkeys(("n_sequences", "n_rows", "n_inputs"), "i32")
    of |= dict.fromkeys(("begin", "lengths", "rows"), "*i64")
    of |= dict.fromkeys(("cells", "d_cell", "d_constant", "d_initial"), "*fp32")
    sizes = {"H": H, "P": -(-H // tile) * tile, "TILE": tile, "BLOCK": BLOCK}
    for kernel in (module.forwards_kernel, module.backwards_kernel):
        names = kernel.arg_names
        constants: dict[str, Any] = {**sizes, "PRECISION": "tf32x3" if dtype == "fp32" else "tf32"}
        constants |= {name: None for name in absent if name in names}
        signature = {name: "constexpr" if name in constants else of.get(name, "*" + dtype) for name in names}
        aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if signature[name][0] == "*"}
        source = ASTSource(kernel, signature, {(names.index(n),): value for n, value in constants.items()}, aligned)
        yield kernel.fn.__name__, triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def resources(kernel: Any, capability: int) -> Resources:
    """Resources of a compiled kernel, as the assembler reports them."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.ptx"
        file.write_text(kernel.asm["ptx"])
        target = f"--gpu-name=sm_{capability}{'a' if capability >= 90 else ''}"
        command = [str(PTXAS), "-v", target, str(file), "-o", str(file.with_suffix(".cubin"))]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    (registers,), stores = re.findall(r"Used (\d+) registers", report), re.findall(r"(\d+) bytes spill stores", report)
    barriers = kernel.asm["ptx"].count("bar.sync")
    return Resources(kernel.metadata.num_warps, int(registers), sum(map(int, stores)), kernel.metadata.shared, barriers)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capability", type=int, default=90)
    parser.add_argument("--hidden-sizes", type=int, nargs="+", default=[25, 50, 150])
    parser.add_argument("--warps", type=int, default=OPTIONS["num_warps"], help="per block")
    arguments = parser.parse_args()
    print(f"sm_{arguments.capability}, {BLOCK} sequences and {arguments.warps} warps per block")
    print(f"{'':36} registers  spilled bytes  shared bytes  barriers  blocks at once")
    for H in arguments.hidden_sizes:
        for cell in MODULES:
            for dtype in ("fp32", "bf16"):
                for part, absent in (("encoder", ENCODER), ("decoder", DECODER)):
                    for name, kernel in kernels(cell, arguments.capability, H, dtype, absent, arguments.warps):
                        r = resources(kernel, arguments.capability)
                        what = f"{H} {cell} {dtype} {part} {name.removesuffix('_kernel')}"
                        print(f"{what:36} {r.registers:9} {r.spilled:14} {r.shared:13} {r.barriers:9} {r.resident:15}")


if __name__ == "__main__":
    main()
