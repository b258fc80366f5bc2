"""What a part of `gpu_check` has measured, on the disk after every row; and how much of its time is left."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speech2vec.runtime.files import write_json

Row = dict[str, Any]


def _finite(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


@dataclass
class Results:
    """Rows of tables, and whether something of the part failed.

    Parameters
    ----------
    path : Path
        The JSON file that holds them.
    seconds : float
        The part's time limit.
    """

    path: Path
    seconds: float
    rows: list[Row] = field(default_factory=list)
    failed: bool = False
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds of the part's time that are left."""
        return self.seconds - (time.monotonic() - self.began)

    def add(self, table: str, **values: Any) -> Row:
        """Add a row to a table and write all."""
        row = {"table": table, **{key: _finite(value) for key, value in values.items()}}
        self.rows.append(row)
        write_json(self.path, self.rows)
        return row

    def attempt(self, table: str, what: Row, measure: Callable[[], Row]) -> Row | None:
        """Add what `measure` returns; if it fails, print its traceback, add the error and go on (None)."""
        try:
            values = measure()
        except Exception as error:
            print(f"\n{table}, {what}:", flush=True)
            traceback.print_exc()
            self.failed = True
            self.add(table, **what, error=f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")
            return None
        return self.add(table, **what, **values)
