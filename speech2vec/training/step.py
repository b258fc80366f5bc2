"""One training step: forward, backward, gradient clipping, optimiser; the same for one process and for several."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from speech2vec.model.speech2vec import Speech2Vec
from speech2vec.training.batches import DeviceBatch
from speech2vec.training.distributed import SINGLE_PROCESS, World
from speech2vec.training.presets import OptimiserSettings


class BatchLoss(nn.Module):
    """Squared error of a model on a batch: the module that is differentiated, and wrapped for several processes.

    Parameters
    ----------
    model : Speech2Vec
    settings : OptimiserSettings
        Of these, `precision` (with `bfloat16` the model computes in bfloat16 and its weights stay in float32) and
        `reduction` (what the squared error is divided by).
    longest : int
        Frames of the longest word, to which targets are padded (reduction `padded`).
    """

    def __init__(self, model: Speech2Vec, settings: OptimiserSettings, longest: int) -> None:
        super().__init__()
        self.model, self.longest = model, longest
        self.precision, self.reduction = settings.precision, settings.reduction
        if self.precision == "bfloat16":
            # Weight gradients are sums over millions of rows: on a GPU their partial sums must stay in float32 too.
            torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False

    def forward(self, batch: DeviceBatch) -> tuple[Tensor, int, int]:
        """Compute the loss of a batch in parts, since processes share a batch.

        Returns
        -------
        squared_error : Tensor [shape=()]
            Summed over all frames and coefficients (there is no padding).
        n_values : int
            Number of these values.
        divisor : int
            What turns the squared error into the loss.
        """
        if not batch.n_pairs:  # a process without a share must have gradients too, all zero
            return torch.stack([0.0 * weights.sum() for weights in self.parameters()]).sum(), 0, 0
        words = batch.words
        if self.precision == "float32":
            decoded = self.model(words, batch.centre, batch.context, batch.n_rows, batch.running)
        else:
            rounded = {name: weights.bfloat16() for name, weights in self.model.named_parameters()}
            words = dataclasses.replace(words, frames=words.frames.bfloat16())
            arguments = (words, batch.centre, batch.context, batch.n_rows, batch.running)
            decoded = torch.func.functional_call(self.model, rounded, arguments)
            decoded = dataclasses.replace(decoded, predicted=decoded.predicted.float(), target=decoded.target.float())
        return decoded.squared_error(), decoded.target.numel(), decoded.divisor(self.reduction, self.longest)


def wrap_ddp(loss: BatchLoss, world: World) -> nn.Module:
    """Wrap the loss in `DistributedDataParallel` where there are several processes."""
    return loss if world.size == 1 else DistributedDataParallel(loss)


def make_optimiser(model: nn.Module, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """The optimiser that the settings name."""
    if settings.name == "sgd":
        return torch.optim.SGD(model.parameters(), lr=settings.learning_rate)
    # Fused: on a GPU, launching a kernel per weight would take longer than the computation.
    return torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)


def learning_rate(settings: OptimiserSettings, done: float) -> float:
    """Learning rate after a fraction `done` of the training: half a cosine from the initial to the final one."""
    low, high = settings.final_learning_rate, settings.learning_rate
    return low + (high - low) * (1 + math.cos(math.pi * min(done, 1.0))) / 2


def train_step(
    loss: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: DeviceBatch,
    settings: OptimiserSettings,
    world: World = SINGLE_PROCESS,
) -> Tensor:
    """Update the weights from one batch, of which each process has a share.

    The loss is a mean over the whole batch, so its divisor is summed over the processes first; shares may differ in
    size.

    Parameters
    ----------
    loss : nn.Module
        A `BatchLoss`, passed through `wrap_ddp`.
    optimiser : torch.optim.Optimizer
    batch : DeviceBatch
        This process's share.
    settings : OptimiserSettings
    world : World

    Returns
    -------
    Tensor [shape=(4,)], float64
        Of the whole batch: squared error, number of values that it sums, number of pairs, norm of the gradient before
        clipping. It stays on the device; reading it waits for the step.
    """
    squared_error, n_values, divisor = loss(batch)
    counts = (n_values, divisor, batch.n_pairs)
    sums = squared_error.new_empty(4, dtype=torch.float64)
    sums[0] = squared_error.detach()
    for place, count in enumerate(counts, start=1):
        sums[place].fill_(count)
    world.sum(sums)
    total_divisor = sums[2].to(squared_error.dtype)
    optimiser.zero_grad(set_to_none=True)
    # DistributedDataParallel averages gradients over the processes; here they must be summed.
    with world.collective_errors():
        (squared_error / (total_divisor / world.size)).backward()
    norm = nn.utils.clip_grad_norm_(loss.parameters(), settings.gradient_clip or math.inf)
    optimiser.step()
    return torch.stack([sums[0], sums[1], sums[3], norm.detach().double()])
