"""Several processes, one training: what `torchrun` starts, and how they agree.

Each process (rank) has a share of every batch and a copy of the model; gradients are summed over all. Only the first
writes files, logs and shows progress. Without `torchrun` there is one process, and none of this costs anything.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from speech2vec.features.store import starts_of_runs
from speech2vec.runtime.errors import INTERRUPTED, UserError

T = TypeVar("T")


# The others wait as long as the first measures the held-out loss and evaluates.
_PATIENCE = timedelta(hours=2)


# Seconds that a failing process gives the first one to say the same.
_PAUSE = 20.0


@dataclass(frozen=True)
class World:
    """A process among those of a training.

    Parameters
    ----------
    rank : int
    size : int
        Processes in all.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes, logs and measures."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """`values` summed over all processes, in place."""
        if self.size > 1:
            with _said_clearly():
                dist.all_reduce(values)
        return values

    @contextlib.contextmanager
    def collective_errors(self) -> Iterator[None]:
        """Around an exchange that torch makes: if another process is lost there, say so in a line."""
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or not (isinstance(error, dist.DistError) or "gloo" in str(error)):
                raise
            raise _lost(error) from error

    def broadcast(self, value: T) -> T:
        """What the first process has; it may be anything that can be pickled."""
        if self.size == 1:
            return value
        box: list[T] = [value]
        with _said_clearly():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def share(self, group: np.ndarray) -> slice:
        """The centres of a batch that are this rank's: whole groups, about as many centres for each rank.

        Parameters
        ----------
        group : ndarray [shape=(n_centres,)]
            What is kept together (an utterance); a group's centres lie together.

        Returns
        -------
        slice
            Empty for some where a batch has fewer groups than there are ranks.

        Examples
        --------
        >>> World(1, 2).share(np.array([7, 7, 7, 3, 3, 5]))
        slice(3, 6, None)
        """
        begin = starts_of_runs(group)
        bounds = np.append(begin, len(group))
        owner = (bounds[:-1] + bounds[1:]) * self.size // (2 * len(group))  # the rank in whose part the middle lies
        return slice(*(int(bounds[np.searchsorted(owner, rank)]) for rank in (self.rank, self.rank + 1)))


SINGLE_PROCESS = World()


def local_device(device: torch.device) -> torch.device:
    """The device of this process: each process on a machine has a GPU of its own.

    Raises
    ------
    UserError
        If `torchrun` started more processes than there are GPUs.
    """
    if device.type != "cuda" or "LOCAL_RANK" not in os.environ:
        return device
    number, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if number >= count:
        raise UserError(f"process {number} of a machine with {count} GPU(s) has none: --nproc-per-node {count} at most")
    return torch.device("cuda", number)


@contextlib.contextmanager
def init_distributed(device: torch.device) -> Iterator[World]:
    """Join the processes that `torchrun` started: over nccl where they compute on GPUs, gloo elsewhere.

    Raises
    ------
    UserError
        If the others cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield SINGLE_PROCESS
        return
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        backend = "nccl"
    with _said_clearly():
        dist.init_process_group(backend, timeout=_PATIENCE)
    yield World(dist.get_rank(), dist.get_world_size())
    dist.destroy_process_group()  # after an error the process ends, and does not wait for others that may hang


@contextlib.contextmanager
def report_once() -> Iterator[None]:
    """What goes wrong in all processes is said once, by the first; what goes wrong in another alone, by that one.

    A process other than the first waits before it fails: if the first fails too, `torchrun` ends the others meanwhile.
    """
    rank = int(os.environ.get("RANK", "0"))
    try:
        yield
    except KeyboardInterrupt:
        if rank:
            raise SystemExit(INTERRUPTED) from None
        raise
    except UserError as error:
        if rank:
            time.sleep(_PAUSE)
            raise UserError(f"process {rank}: {error}") from error
        raise
    except Exception:
        if rank:
            time.sleep(_PAUSE)
        raise


@contextlib.contextmanager
def _said_clearly() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise _lost(error) from error


def _lost(error: Exception) -> UserError:
    reason = str(error).splitlines()[0]
    return UserError(f"another process of this training ended or cannot be reached ({reason})")
