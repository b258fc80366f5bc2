"""Measurements of one part of `gpu_check`, on the disk after every row; and the time that it has left."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from speech2vec.runtime.files import write_json

ENGINES = ("steps", "triton")  # Triton last: after an illegal access in a kernel nothing else runs

Row = dict[str, Any]


def reset_peak_memory(device: torch.device) -> None:
    """Give cached memory back to the GPU, and count its peak from here; nothing on a CPU."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_memory(device: torch.device) -> Row:
    """The peak of a GPU's memory, as a column of a row; empty on a CPU."""
    return {"peak memory, GB": torch.cuda.max_memory_allocated() / 1e9} if device.type == "cuda" else {}


@dataclass
class Results:
    """Rows of tables, and whether a measurement failed.

    Parameters
    ----------
    path : Path
        JSON file of the rows.
    seconds : float
        Time that the part has left.
    """

    path: Path
    seconds: float
    rows: list[Row] = field(default_factory=list)
    failed: bool = False
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds that the part has left."""
        return self.seconds - (time.monotonic() - self.started)

    def add(self, table: str, **values: Any) -> Row:
        """Add a row to a table, and write all rows."""
        row = {"table": table, **{key: _finite(value) for key, value in values.items()}}
        self.rows.append(row)
        write_json(self.path, self.rows)
        return row

    def attempt(self, table: str, what: Row, measure: Callable[[], Row]) -> Row | None:
        """Add the row that `measure` returns; if it raises, print the traceback, add the error and return None."""
        try:
            values = measure()
        except Exception as error:
            print(f"\n{table}, {what}:", flush=True)
            traceback.print_exc()
            self.failed = True
            self.add(table, **what, error=f"{type(error).__name__}: {first_line(error)}")
            return None
        return self.add(table, **what, **values)


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return str(error).strip().partition("\n")[0]


def _finite(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
