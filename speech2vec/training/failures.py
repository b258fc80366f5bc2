"""Failures of a training run, each explained in one line: what happened, which checkpoint is left, what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch

from speech2vec.features.store import Store
from speech2vec.runtime.errors import UserError
from speech2vec.training.distributed import World
from speech2vec.training.methods import PUBLISHED
from speech2vec.training.metrics import DivergedError
from speech2vec.training.presets import TrainSettings
from speech2vec.training.run import LAST, checkpoint_file, device_name


@contextlib.contextmanager
def explain_failures(
    store: Store, run: Path, settings: TrainSettings, device: torch.device, world: World
) -> Iterator[None]:
    """Turn divergence, a full GPU and a full disk into errors for the user.

    Raises
    ------
    UserError
        In place of `DivergedError`, torch's out-of-memory errors, and `OSError`.
    """
    try:
        yield
    except DivergedError as diverged:
        reason = store.explain_non_finite() if world.first else None
        advice = "; try a smaller optimiser.learning_rate" if settings.method == PUBLISHED else ""
        reason = reason or f"training has diverged{advice}"
        raise UserError(f"{diverged}: {reason}; {checkpoint_left(run)}") from diverged
    except RuntimeError as full:  # of torch's allocator, or of CUDA where another program has filled the GPU
        if "out of memory" not in str(full):
            raise
        smaller = f"optimiser.batch_size below {settings.optimiser.batch_size}"
        if settings.method != PUBLISHED:
            smaller = f"smaller {settings.method} settings"
        raise UserError(
            f"{device_name(device)} is out of memory: start a new run with {smaller}, or stop other programs that use "
            f"its memory; {checkpoint_left(run)}"
        ) from full
    except OSError as failed:
        raise UserError(f"{run} cannot be written ({failed.strerror or failed}); {checkpoint_left(run)}") from failed


def checkpoint_left(run: Path) -> str:
    """The end of an error message: which checkpoint there is to resume from."""
    last = checkpoint_file(run, LAST)
    return f"the last good checkpoint is {last}" if last.exists() else "no checkpoint has been written yet"
