"""Checkpoints: weights, optimiser state and training state in one safetensors file, written atomically.

They hold tensors and plain values only: opening a checkpoint from a stranger runs no code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path, require_file, shortened
from speech2vec.runtime.guarded import parsing

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


class _Progress(BaseModel):
    """A `TrainState` as a file has it. The counters have no default: without them a run would start over, unnoticed."""

    model_config = ConfigDict(extra="forbid")

    epoch: int = Field(ge=0, lt=2**53)
    step_in_epoch: int = Field(ge=0, lt=2**53)
    step: int = Field(ge=0, lt=2**53)
    squared_error: float = 0.0
    n_values: int = Field(0, ge=0, lt=2**53)
    n_pairs: int = Field(0, ge=0, lt=2**53)
    gradient_norm: float = 0.0
    seconds: float = 0.0
    best_loss: float = math.inf


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
        return TrainState(**self.progress)

    def restore_weights(self, model: nn.Module) -> None:
        """Load the weights into `model`.

        Raises
        ------
        UserError
            If they belong to another model.
        """
        expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        require_same_shapes(self.path, expected, self.weights)
        model.load_state_dict(self.weights)

    def _of_another_optimiser(self) -> UserError:
        return UserError(f"{self.path} holds the state of another optimiser than these settings need")

    def _restore_optimiser(self, optimiser: torch.optim.Optimizer) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in self.optimiser.items():
            number, _, name = key.partition(".")
            if not number.isascii() or not number.isdigit() or len(number) > 9:
                raise self._of_another_optimiser()
            state.setdefault(int(number), {})[name] = tensor
        shapes = {n: p.shape for n, p in enumerate(p for group in optimiser.param_groups for p in group["params"])}
        fits = not state or state.keys() == shapes.keys()
        if not fits or any(t.ndim and t.shape != shapes[n] for n, values in state.items() for t in values.values()):
            raise self._of_another_optimiser()
        try:
            optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        except KeyError as error:  # a part of its state is missing, such as Adam's step
            raise self._of_another_optimiser() from error


def require_same_shapes(path: Path, expected: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor]) -> None:
    """Check that the tensors of a file are floating-point numbers of the expected names and shapes.

    Raises
    ------
    UserError
        Naming the first that is not.
    """
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wrong = [name for name in sorted(expected.keys() | found.keys()) if expected.get(name) != found.get(name)]
    if wrong:
        raise UserError(
            f"{path} belongs to another model: {shortened(wrong[0])} has shape {found.get(wrong[0], 'none')}, "
            f"these settings need {expected.get(wrong[0], 'none')}"
        )
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise UserError(f"{path} belongs to another model: {shortened(name)} holds {tensor.dtype}")


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
    if not path.exists():
        raise UserError(f"there is no checkpoint {path}: has the run been trained?")
    with parsing(path, "a checkpoint, or is truncated"), safe_open(require_file(path), framework="pt") as file:
        progress = json.loads((file.metadata() or {})["progress"])
        for name in file.keys():  # noqa: SIM118  # not a mapping
            if name.startswith(_MODEL):
                weights[name.removeprefix(_MODEL)] = file.get_tensor(name)
            elif name.startswith(_OPTIMISER):
                optimiser[name.removeprefix(_OPTIMISER)] = file.get_tensor(name)
    try:
        _Progress.model_validate(progress, strict=True)
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"])) or "it"
        reason = f"{shortened(key)}: {error.errors()[0]['msg']}"
        raise UserError(f"{path} is not a training checkpoint: it does not hold a training state ({reason})") from error
    return Checkpoint(path, weights, optimiser, progress)
