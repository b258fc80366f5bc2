"""Checkpoints: weights, optimiser and progress in one safetensors file, written whole or not at all.

Tensors and plain values only: opening a checkpoint from a stranger runs no code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path

_MODEL, _OPTIMISER = "model.", "optimiser."


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory.

    Parameters
    ----------
    weights : dict of str to Tensor
    optimiser : dict of str to Tensor
        ``{parameter number}.{name of the state}``.
    progress : dict
        Plain values: epoch, step, running sums.
    """

    weights: dict[str, Tensor]
    optimiser: dict[str, Tensor]
    progress: dict[str, Any]


def save(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, progress: dict[str, Any]) -> None:
    """Write a checkpoint.

    Raises
    ------
    UserError
        If it cannot be written (a full disk); the checkpoint that was there is still whole.
    """
    tensors = {_MODEL + name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        for name, value in state.items():
            if value is not None:
                tensors[f"{_OPTIMISER}{number}.{name}"] = torch.as_tensor(value).detach().contiguous()
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={"progress": json.dumps(progress)})
    except (OSError, SafetensorError) as error:
        kept = "the last one is whole" if any(path.parent.glob("*.safetensors")) else "there was none before"
        raise UserError(f"the checkpoint {path} cannot be written ({error}); {kept}") from error


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    UserError
        If it is not there, truncated, or not a checkpoint.
    """
    weights, optimiser = {}, {}
    try:
        with safe_open(path, framework="pt") as file:
            progress = dict(json.loads((file.metadata() or {})["progress"]))
            for name in file.keys():  # noqa: SIM118  # not a mapping
                if name.startswith(_MODEL):
                    weights[name.removeprefix(_MODEL)] = file.get_tensor(name)
                elif name.startswith(_OPTIMISER):
                    optimiser[name.removeprefix(_OPTIMISER)] = file.get_tensor(name)
    except FileNotFoundError as error:
        raise UserError(f"there is no checkpoint {path}: was the run trained?") from error
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is truncated, or not a checkpoint ({str(error).splitlines()[0]})") from error
    return Checkpoint(weights, optimiser, progress)


def restore_weights(model: nn.Module, checkpoint: Checkpoint, path: Path) -> None:
    """Load the weights into `model`, or say in one line that they are of another model."""
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in checkpoint.weights.items()}
    if expected != given:
        name = next(n for n in sorted(expected.keys() | given.keys()) if expected.get(n) != given.get(n))
        raise UserError(
            f"{path} is of another model: '{name}' has shape {given.get(name, 'none')}, "
            f"these settings ask for {expected.get(name, 'none')}"
        )
    model.load_state_dict(checkpoint.weights)


def restore_optimiser(optimiser: torch.optim.Optimizer, checkpoint: Checkpoint, path: Path) -> None:
    """Load the optimiser's state, or say in one line that it does not belong to these weights."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in checkpoint.optimiser.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = tensor
    shapes = {n: p.shape for n, p in enumerate(p for group in optimiser.param_groups for p in group["params"])}
    fits = not state or state.keys() == shapes.keys()
    if not fits or any(t.ndim and t.shape != shapes[n] for n, values in state.items() for t in values.values()):
        raise UserError(f"{path} holds the state of another optimiser than these settings ask for")
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
