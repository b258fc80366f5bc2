"""TODO"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator

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

from speech2vec.runtime.console import T

log = logging.getLogger("speech2vec")


def set_up_logging(quiet: bool) -> None:
    """Log lines go to standard error, so that standard output holds results only; of libraries, warnings only."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr, level=logging.WARNING, force=True)
    log.setLevel(logging.WARNING if quiet else logging.INFO)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.1f} {task.fields.get('unit', '')}/s" if speed else "", style="dim")


class _Elapsed:
    """Plain progress lines for logs and pipes: at most one every `every` seconds."""

    def __init__(self, description: str, total: int | None, unit: str, every: float = 15.0) -> None:
        self.description, self.total, self.unit, self.every = description, total, unit, every
        self.started = self.last = time.monotonic()
        self.done = 0

    def advance(self, steps: int = 1) -> None:
        self.done += steps
        now = time.monotonic()
        if now - self.last >= self.every:
            self.last = now
            self.line(now)

    def line(self, now: float) -> None:
        rate = self.done / max(now - self.started, 1e-9)
        left = f", {(self.total - self.done) / rate:,.0f} s left" if self.total and rate else ""
        total = f" of {self.total:,}" if self.total else ""
        log.info("%s: %s%s %s, %.1f/s%s", self.description, f"{self.done:,}", total, self.unit, rate, left)


class Tracker:
    """Progress with rate and time left: a bar on a terminal, plain lines elsewhere, nothing when quiet.

    Examples
    --------
    >>> with Tracker("aligning", total=3, unit="utterances", quiet=True) as tracker:
    ...     for _ in range(3):
    ...         tracker.advance()
    """

    def __init__(self, description: str, total: int | None, unit: str = "", quiet: bool = False) -> None:
        self._bar: Progress | None = None
        self._lines: _Elapsed | None = None
        if quiet:
            return
        console = Console(stderr=True)
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                _Rate(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=console,
            )
            self._task = self._bar.add_task(description, total=total, unit=unit, note="")
        else:
            self._lines = _Elapsed(description, total, unit)

    def __enter__(self) -> Tracker:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """Count `steps` more; `note` is shown at the end of the bar (a running loss, say)."""
        if self._bar:
            self._bar.advance(self._task, steps)
            if note is not None:
                self._bar.update(self._task, note=note)
        elif self._lines:
            self._lines.advance(steps)


def track(items: Iterable[T], description: str, total: int, unit: str = "", quiet: bool = False) -> Iterator[T]:
    """`items`, with progress shown."""
    with Tracker(description, total, unit, quiet) as tracker:
        for item in items:
            yield item
            tracker.advance()
