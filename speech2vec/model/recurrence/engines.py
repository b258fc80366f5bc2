"""Where a recurrence is computed: compiled on a CPU, fused on a GPU, or step by step in torch's operators."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor

from speech2vec.runtime.progress import log


def engine(recurrent: Tensor, on_cpu: ModuleType, on_gpu: Callable[[], ModuleType], steps: ModuleType) -> ModuleType:
    """The fastest of three modules that takes recurrent weights of this type, on this device.

    Parameters
    ----------
    recurrent : Tensor
    on_cpu : module
        Takes float32 and float64 on a CPU.
    on_gpu : callable
        Imports the module that takes float32 and bfloat16 on a GPU; it needs Triton.
    steps : module
        Takes anything.
    """
    device, dtype = recurrent.device, recurrent.dtype
    if device.type == "cpu" and dtype in (torch.float32, torch.float64):
        return on_cpu
    if device.type == "cuda" and dtype in (torch.float32, torch.bfloat16) and takes_triton(device):
        return on_gpu()
    return steps


@cache
def takes_triton(device: torch.device) -> bool:
    """Whether Triton runs on a GPU: one of NVIDIA's from Ampere on, and all that Triton needs is there."""
    if not torch.version.cuda or find_spec("triton") is None or torch.cuda.get_device_capability(device) < (8, 0):
        return False
    from speech2vec.model.recurrence.fused import try_out

    try:
        try_out(device)
    except Exception as error:  # no C compiler, no headers of Python, no folder to write to: Triton names it
        log.warning(
            "Triton does not run on %s, so recurrences go step by step, many times slower (docs/install.md): %s",
            *(torch.cuda.get_device_name(device), error),
        )
        return False
    return True
