"""One step of training: loss, gradients, clipping, the optimiser; the same for one process and for many."""

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
    """The squared error of a model on a batch: what is differentiated, and what processes share out.

    Parameters
    ----------
    model : Speech2Vec
    settings : OptimiserSettings
        Its precision: `float32`, or `bfloat16`: weights are kept in float32 and used in bfloat16, in which the model
        computes. Its reduction: what the error is divided by.
    longest : int
        Frames of the longest word, to which targets are padded (reduction `padded`).
    """

    def __init__(self, model: Speech2Vec, settings: OptimiserSettings, longest: int) -> None:
        super().__init__()
        self.model, self.longest = model, longest
        self.precision, self.reduction = settings.precision, settings.reduction
        if self.precision == "bfloat16":
            # Gradients of weights are sums over millions of rows: parts of them stay in float32 on a GPU too.
            torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False

    def forward(self, batch: DeviceBatch) -> tuple[Tensor, int, int]:
        """Squared error summed over all real frames and coefficients; how many values that are; the loss's divisor."""
        if not batch.n_pairs:  # a rank without a share has gradients too, all of them zero
            return torch.stack([0.0 * weights.sum() for weights in self.parameters()]).sum(), 0, 0
        words = batch.words
        if self.precision == "float32":
            decoded = self.model(words, batch.centre, batch.context, batch.n_rows, batch.running)
        else:
            rounded = {name: weights.bfloat16() for name, weights in self.model.named_parameters()}
            given = (
                dataclasses.replace(words, frames=words.frames.bfloat16()),
                batch.centre,
                batch.context,
                batch.n_rows,
                batch.running,
            )
            decoded = torch.func.functional_call(self.model, rounded, given)
            decoded = dataclasses.replace(decoded, predicted=decoded.predicted.float(), target=decoded.target.float())
        return decoded.squared_error(), decoded.target.numel(), decoded.divisor(self.reduction, self.longest)


def wrap_ddp(error: BatchLoss, ranks: World) -> nn.Module:
    """`error` with weights and gradients that are the same in all processes."""
    return error if ranks.size == 1 else DistributedDataParallel(error)


def make_optimiser(model: nn.Module, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """The optimiser that the settings name."""
    if settings.name == "sgd":
        return torch.optim.SGD(model.parameters(), lr=settings.learning_rate)
    # One call for all weights: on a GPU the launches of a call for each would take longer than the numbers.
    return torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)


def learning_rate(settings: OptimiserSettings, done: float) -> float:
    """The learning rate after a share `done` of all steps: half a cosine from the first to the final one."""
    low, high = settings.final_learning_rate, settings.learning_rate
    return low + (high - low) * (1 + math.cos(math.pi * min(done, 1.0))) / 2


def train_step(
    error: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: DeviceBatch,
    settings: OptimiserSettings,
    ranks: World = SINGLE_PROCESS,
) -> Tensor:
    """Change the weights by one batch, of which each process has its share.

    The loss is a mean over the whole batch, so the processes first agree how much there is; shares may differ in size.

    Parameters
    ----------
    error : nn.Module
        A `BatchLoss`, `wrap_ddp`.
    optimiser : torch.optim.Optimizer
    batch : DeviceBatch
        This process' share.
    settings : OptimiserSettings
    ranks : Ranks

    Returns
    -------
    Tensor [shape=(4,)], float64
        Squared error, values that it sums, pairs (all of the whole batch), norm of the gradient before clipping. It
        stays on the device: reading it is what waits for the step.
    """
    squared_error, n_values, divisor = error(batch)
    counts = (n_values, divisor, batch.n_pairs)
    sums = squared_error.new_empty(4, dtype=torch.float64)
    sums[0] = squared_error.detach()
    for place, count in enumerate(counts, start=1):
        sums[place].fill_(count)
    ranks.sum(sums)
    over = sums[2].to(squared_error.dtype)
    optimiser.zero_grad(set_to_none=True)
    # Gradients are averaged over the processes, and are to be summed.
    with ranks.collective_errors():
        (squared_error / (over / ranks.size)).backward()
    norm = nn.utils.clip_grad_norm_(error.parameters(), settings.gradient_clip or math.inf)
    optimiser.step()
    return torch.stack([sums[0], sums[1], sums[3], norm.detach().double()])
