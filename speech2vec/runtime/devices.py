"""The one choice of a device: what ``--device`` asks for, as something that is there."""

from __future__ import annotations

import torch

from speech2vec.runtime.errors import UserError


def choose_device(name: str | torch.device) -> torch.device:
    """``auto`` (CUDA where there is one), ``cpu`` or ``cuda`` as a device that is there.

    Raises
    ------
    UserError
        If it is none of them, or torch finds no CUDA device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"there is no device '{name}': give auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "--device cuda was asked for, but there is no CUDA device that torch can use: --device cpu does without"
        )
    return device
