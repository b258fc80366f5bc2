"""Where a recurrence is computed: compiled on a CPU, in one kernel on a GPU (Triton), or step by step anywhere.

`auto` takes the compiled loop on a CPU, Triton's kernels on a GPU that runs them, and single steps elsewhere. An engine
stays only as far as it is measured to win (docs/performance.md).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Literal

import torch
from torch import Tensor

from speech2vec.runtime.errors import UserError

Engine = Literal["auto", "triton", "steps"]

log = logging.getLogger("speech2vec")

_OF_TRITON = (torch.float32, torch.bfloat16)


def choose(
    recurrent: Tensor, asked: Engine, on_cpu: ModuleType, on_gpu: Callable[[], ModuleType], steps: ModuleType
) -> ModuleType:
    """One of three modules for recurrent weights of this type, on this device.

    Parameters
    ----------
    recurrent : Tensor
    asked : str
        `triton` and `steps` are taken at their word.
    on_cpu : module
        Takes float32 and float64 on a CPU.
    on_gpu : callable
        Imports the module that takes float32 and bfloat16 on a GPU; it needs Triton.
    steps : module
        Takes anything.

    Raises
    ------
    UserError
        `triton` is requested where it does not run.
    """
    device, dtype = recurrent.device, recurrent.dtype
    if asked == "triton":
        check_engine(asked, device)
        if dtype not in _OF_TRITON:
            raise UserError(f"model.engine = 'triton' takes float32 and bfloat16, not {dtype}")
        return on_gpu()
    if asked == "auto" and device.type == "cpu" and dtype in (torch.float32, torch.float64):
        return on_cpu
    if asked == "auto" and device.type == "cuda" and dtype in _OF_TRITON and why_no_triton(device) is None:
        return on_gpu()
    return steps


def check_engine(asked: Engine, device: torch.device) -> None:
    """Refuse an engine that does not run on a device, with the reason; warn where `auto` does without the fast one.

    Raises
    ------
    UserError
        In one line.
    """
    if asked == "triton" and (reason := why_no_triton(device)):
        raise UserError(f"model.engine = 'triton' does not run here: {reason}; 'auto' does without")
    if asked == "auto" and device.type == "cuda" and (reason := why_no_triton(device)):
        log.warning("the recurrence runs step by step, which is slow on a GPU: %s", reason)


@cache
def why_no_triton(device: torch.device) -> str | None:
    """Why Triton does not run on a device; None if it does: on one of NVIDIA's GPUs from Ampere on, or interpreted."""
    if find_spec("triton") is None:
        return "this build of torch comes without Triton"
    if device.type == "cpu":
        return None if os.environ.get("TRITON_INTERPRET") == "1" else "the device is the CPU"
    if not torch.version.cuda or torch.cuda.get_device_capability(device) < (8, 0):
        return "Triton needs one of NVIDIA's GPUs from Ampere on"
    from speech2vec.model.recurrence.fused import try_out

    try:
        try_out(device)
    except Exception as error:  # no C compiler, no headers of Python, no folder to write to: Triton names it
        return f"{error} (docs/install.md)"
    return None
