"""Log lines and progress on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

T = TypeVar("T")

log = logging.getLogger("speech2vec")

_SECONDS_BETWEEN_LINES = 15.0


def set_up_logging(quiet: bool) -> None:
    """Send log messages to standard error, so that standard output holds results only; warnings only from libraries."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr, level=logging.WARNING, force=True)
    log.setLevel(logging.WARNING if quiet else logging.INFO)


class Tracker:
    """Progress with rate and time left: a bar on a terminal, log lines every 15 s elsewhere, nothing when quiet.

    Examples
    --------
    >>> with Tracker("aligning", total=3, unit="utterances", quiet=True) as tracker:
    ...     for _ in range(3):
    ...         tracker.advance()
    """

    def __init__(self, description: str, total: int | None, unit: str = "", quiet: bool = False) -> None:
        console = Console(stderr=True)
        self._quiet, self._lines = quiet, not console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=quiet or self._lines,
            get_time=time.monotonic,
        )
        self._id = self._progress.add_task(description, total=total, unit=unit, note="")
        self._logged = time.monotonic()

    def __enter__(self) -> Tracker:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """Count `steps` more; `note` is shown at the end of the bar (the current loss, for example)."""
        if self._quiet:
            return
        self._progress.advance(self._id, steps)
        if note is not None:
            self._progress.update(self._id, note=note)
        if self._lines and time.monotonic() - self._logged >= _SECONDS_BETWEEN_LINES:
            self._logged = time.monotonic()
            _log(self._progress.tasks[0])


def track(items: Iterable[T], description: str, total: int, unit: str = "", quiet: bool = False) -> Iterator[T]:
    """Yield `items` and show the progress."""
    with Tracker(description, total, unit, quiet) as tracker:
        for item in items:
            yield item
            tracker.advance()


class _Rate(ProgressColumn):
    """Items per second: rich's own columns show it for bytes, or only where there is no total."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.1f} {task.fields['unit']}/s" if speed else "", style="dim")


def _log(task: Task) -> None:
    rate = task.completed / max(task.elapsed or 0.0, 1e-9)
    total = f" of {task.total:,}" if task.total else ""
    left = f", {(task.total - task.completed) / rate:,.0f} s left" if task.total and rate else ""
    log.info("%s: %s%s %s, %.1f/s%s", task.description, f"{task.completed:,}", total, task.fields["unit"], rate, left)
