"""Checkpoints: weights, optimiser state and training state in one safetensors file, written atomically.

They hold tensors and plain values only: opening a checkpoint from a stranger runs no code.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path, require_file

_MODEL, _OPTIMISER = "model.", "optimiser."


@dataclass
class TrainState:
    """How far a run has come, and the sums over the steps of the current epoch.

    Everything random is drawn from (seed, purpose, epoch), so beside weights and optimiser state this is all that a
    resumed run needs.
    """

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    squared_error: float = 0.0
    n_values: int = 0
    n_pairs: int = 0
    gradient_norm: float = 0.0
    seconds: float = 0.0
    best_loss: float = math.inf

    def reset_sums(self) -> None:
        """Start a new epoch."""
        self.step_in_epoch = self.n_values = self.n_pairs = 0
        self.squared_error = self.gradient_norm = self.seconds = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory.

    Parameters
    ----------
    path : Path
        The file that it was read from.
    weights : dict of str to Tensor
    optimiser : dict of str to Tensor
        ``{parameter number}.{name of the state}``.
    progress : dict
        The fields of a `TrainState`.
    """

    path: Path
    weights: dict[str, Tensor]
    optimiser: dict[str, Tensor]
    progress: dict[str, Any]

    def restore(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> TrainState:
        """Load weights and optimiser state, and return the training state.

        Raises
        ------
        UserError
            If it does not fit the model or the optimiser, or is not a checkpoint of a training run.
        """
        self.restore_weights(model)
        self._restore_optimiser(optimiser)
        try:
            return TrainState(**self.progress)
        except TypeError as error:
            raise UserError(f"{self.path} is not a training checkpoint: it does not hold a training state") from error

    def restore_weights(self, model: nn.Module) -> None:
        """Load the weights into `model`.

        Raises
        ------
        UserError
            If they belong to another model.
        """
        expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        found = {name: tuple(tensor.shape) for name, tensor in self.weights.items()}
        if expected != found:
            name = next(n for n in sorted(expected.keys() | found.keys()) if expected.get(n) != found.get(n))
            raise UserError(
                f"{self.path} belongs to another model: '{name}' has shape {found.get(name, 'none')}, "
                f"these settings need {expected.get(name, 'none')}"
            )
        model.load_state_dict(self.weights)

    def _restore_optimiser(self, optimiser: torch.optim.Optimizer) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in self.optimiser.items():
            number, _, name = key.partition(".")
            state.setdefault(int(number), {})[name] = tensor
        shapes = {n: p.shape for n, p in enumerate(p for group in optimiser.param_groups for p in group["params"])}
        fits = not state or state.keys() == shapes.keys()
        if not fits or any(t.ndim and t.shape != shapes[n] for n, values in state.items() for t in values.values()):
            raise UserError(f"{self.path} holds the state of another optimiser than these settings need")
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def save_checkpoint(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, state: TrainState) -> None:
    """Write a checkpoint.

    Raises
    ------
    UserError
        If it cannot be written (a full disk); the previous checkpoint stays intact.
    """
    tensors = {_MODEL + name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    for number, values in optimiser.state_dict()["state"].items():
        for name, value in values.items():
            if value is not None:
                tensors[f"{_OPTIMISER}{number}.{name}"] = torch.as_tensor(value).detach().contiguous()
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={"progress": json.dumps(asdict(state))})
    except OSError as error:
        intact = any(path.parent.glob("*.safetensors"))
        kept = "the previous one is intact" if intact else "there is no previous one"
        raise UserError(f"the checkpoint {path} cannot be written ({error.strerror or error}); {kept}") from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    UserError
        If it does not exist, is truncated, or is not a checkpoint.
    """
    weights, optimiser = {}, {}
    try:
        with safe_open(require_file(path), framework="pt") as file:
            progress = json.loads((file.metadata() or {})["progress"])
            TypeAdapter(dict[str, int | float]).validate_python(progress, strict=True)
            for name in file.keys():  # noqa: SIM118  # not a mapping
                if name.startswith(_MODEL):
                    weights[name.removeprefix(_MODEL)] = file.get_tensor(name)
                elif name.startswith(_OPTIMISER):
                    optimiser[name.removeprefix(_OPTIMISER)] = file.get_tensor(name)
    except FileNotFoundError as error:
        raise UserError(f"there is no checkpoint {path}: has the run been trained?") from error
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is truncated, or not a checkpoint ({str(error).splitlines()[0]})") from error
    return Checkpoint(path, weights, optimiser, progress)
