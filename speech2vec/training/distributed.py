"""Training in several processes, started by `torchrun`.

Each process has a copy of the model and a share of every batch; gradients are summed over all processes. Only the first
writes files, logs and shows progress. Without `torchrun` there is one process, and all of this is skipped.
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

from speech2vec.features.rows import starts_of_runs
from speech2vec.runtime.errors import INTERRUPTED, UserError

T = TypeVar("T")

_TIMEOUT = timedelta(hours=2)  # the others wait while the first measures the held-out loss and evaluates
_REPORT_DELAY = 20.0  # seconds that a failing process leaves the first one to report the same failure


@dataclass(frozen=True)
class World:
    """The processes of a training run, as one of them sees them.

    Parameters
    ----------
    rank : int
        Of this process.
    size : int
        Number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files, logs and evaluates."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Sum `values` over all processes, in place."""
        if self.size > 1:
            with _explain_lost_process():
                dist.all_reduce(values)
        return values

    @contextlib.contextmanager
    def collective_errors(self) -> Iterator[None]:
        """Explain in one line that another process was lost, around a collective operation that torch starts itself.

        Raises
        ------
        UserError
            In place of torch's error.
        """
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or not (isinstance(error, dist.DistError) or "gloo" in str(error)):
                raise
            raise _process_lost(error) from error

    def broadcast(self, value: T) -> T:
        """Send the first process's value (anything that can be pickled) to all processes."""
        if self.size == 1:
            return value
        box: list[T] = [value]
        with _explain_lost_process():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def share(self, group: np.ndarray) -> slice:
        """The share of this process in the centres of a batch: whole groups, about as many centres in each process.

        Parameters
        ----------
        group : ndarray [shape=(n_centres,)]
            The group (utterance) of each centre; those of a group are adjacent, and stay in one process.

        Returns
        -------
        slice
            Empty in some processes where a batch has fewer groups than there are processes.

        Examples
        --------
        >>> World(1, 2).share(np.array([7, 7, 7, 3, 3, 5]))
        slice(3, 6, None)
        """
        begin = starts_of_runs(group)
        bounds = np.append(begin, len(group))
        owner = (bounds[:-1] + bounds[1:]) * self.size // (2 * len(group))  # the process whose part holds its middle
        return slice(*(int(bounds[np.searchsorted(owner, rank)]) for rank in (self.rank, self.rank + 1)))


SINGLE_PROCESS = World()


def local_device(device: torch.device) -> torch.device:
    """The device of this process: where `torchrun` started it, a GPU of its own.

    Raises
    ------
    UserError
        If there are more processes than GPUs.
    """
    if device.type != "cuda" or "LOCAL_RANK" not in os.environ:
        return device
    number, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if number >= count:
        raise UserError(f"no GPU for process {number}: this machine has {count}; use --nproc-per-node {count} or fewer")
    return torch.device("cuda", number)


@contextlib.contextmanager
def init_distributed(device: torch.device) -> Iterator[World]:
    """Join the processes that `torchrun` started, over NCCL on GPUs and Gloo elsewhere.

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
    with _explain_lost_process():
        dist.init_process_group(backend, timeout=_TIMEOUT)
    yield World(dist.get_rank(), dist.get_world_size())
    dist.destroy_process_group()  # not after an error: it would wait for processes that may hang


@contextlib.contextmanager
def report_once() -> Iterator[None]:
    """Report a failure of all processes once, from the first; a failure of one of the others from that one.

    The others wait before they fail: if the first fails too, `torchrun` ends them in the meantime.
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
            time.sleep(_REPORT_DELAY)
            raise UserError(f"process {rank}: {error}") from error
        raise
    except Exception:
        if rank:
            time.sleep(_REPORT_DELAY)
        raise


@contextlib.contextmanager
def _explain_lost_process() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise _process_lost(error) from error


def _process_lost(error: Exception) -> UserError:
    reason = str(error).splitlines()[0]
    return UserError(f"another process of this training run ended or cannot be reached ({reason})")
