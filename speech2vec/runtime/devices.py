"""The device that ``--device`` asks for."""

from __future__ import annotations

import torch

from speech2vec.runtime.errors import UserError


def choose_device(name: str | torch.device) -> torch.device:
    """The torch device of ``auto`` (CUDA if available), ``cpu`` or ``cuda``.

    Raises
    ------
    UserError
        If there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"unknown device '{name}': use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("there is no CUDA device that torch can use: --device cpu works without one")
    return device
