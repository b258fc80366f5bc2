"""What the fused recurrences ask of a GPU, compiled without one: registers, bytes that spill, shared memory, barriers.

    python -m scripts.benchmarks.kernel_resources [--capability 90] [--hidden-sizes 25 50 150] [--warps 8]

Triton compiles each kernel for the capability (90 is an H100, 80 an A100) and its assembler says what became of it. A
thread has 255 registers at most; what does not fit spills to its cache. A multiprocessor holds as many blocks of
sequences at a time as its 65,536 registers do.
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

THREADS_OF_A_WARP, REGISTERS, AT_ONCE = 32, 65_536, 8  # registers are given out to a warp by eights


PTXAS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"


MODULES = {"lstm": lstm_gpu, "gru": gru_gpu}


# What is not given: to a decoder that hears itself, to an encoder.
DECODER = ("table", "rows", "initial_cell")


ENCODER = ("constant", "start", "initial", "initial_cell", "d_constant")


@dataclass(frozen=True)
class Resources:
    """What a kernel asks for: registers and spilled bytes of a thread, bytes of shared memory of a block, barriers."""

    warps: int
    registers: int
    spilled: int
    shared: int
    barriers: int

    @property
    def resident(self) -> int:
        """Blocks of sequences that a multiprocessor holds, as far as registers go."""
        each = -(-self.registers // AT_ONCE) * AT_ONCE
        return REGISTERS // (each * THREADS_OF_A_WARP * self.warps)


def kernels(
    cell: str, capability: int, H: int, dtype: str, absent: tuple[str, ...], warps: int = OPTIONS["num_warps"]
) -> Iterator[tuple[str, Any]]:
    """Name and Triton's compiled kernel, forwards and backwards; `dtype` is fp32 or bf16."""
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
    """What the assembler says of a compiled kernel."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.ptx"
        file.write_text(kernel.asm["ptx"])
        target = f"--gpu-name=sm_{capability}{'a' if capability >= 90 else ''}"
        command = [str(PTXAS), "-v", target, str(file), "-o", str(file.with_suffix(".cubin"))]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    (registers,), stores = re.findall(r"Used (\d+) registers", said), re.findall(r"(\d+) bytes spill stores", said)
    barriers = kernel.asm["ptx"].count("bar.sync")
    return Resources(kernel.metadata.num_warps, int(registers), sum(map(int, stores)), kernel.metadata.shared, barriers)


def main() -> None:
    """Compile and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capability", type=int, default=90)
    parser.add_argument("--hidden-sizes", type=int, nargs="+", default=[25, 50, 150])
    parser.add_argument("--warps", type=int, default=OPTIONS["num_warps"], help="of a block")
    arguments = parser.parse_args()
    print(f"sm_{arguments.capability}, {BLOCK} sequences and {arguments.warps} warps a block")
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
