"""Where a recurrence is computed: compiled on a CPU, fused on a GPU, or step by step in torch's operators."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor


@cache
def _takes_triton(device: torch.device) -> bool:
    """Whether a GPU is one of NVIDIA's from Ampere on, with a build of torch that came with Triton."""
    if not torch.version.cuda or find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


def engine_for(recurrent: Tensor) -> Literal["cpu", "gpu", "steps"]:
    """The engine for recurrent weights on some device, of some type: the one that is fastest and takes them."""
    device, dtype = recurrent.device, recurrent.dtype
    if device.type == "cpu" and dtype in (torch.float32, torch.float64):
        return "cpu"
    if device.type == "cuda" and dtype in (torch.float32, torch.bfloat16) and _takes_triton(device):
        return "gpu"
    return "steps"
