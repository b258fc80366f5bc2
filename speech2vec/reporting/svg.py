"""Layout of the report's charts: values as percentages of a plot, which the templates draw at any width."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import matplotlib.image
import numpy as np
from matplotlib.ticker import MaxNLocator


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: its position in per cent, and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """A series of points; `style` is the class of `style.css` that sets its colour and dash.

    `intervals` are (x, low, high) of points that have one; these are drawn as dots.
    """

    name: str
    style: str
    points: list[tuple[float, float]]
    intervals: list[tuple[float, float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class LineChart:
    """A line chart laid out.

    Parameters
    ----------
    paths : list of (Line, str)
        Each line and its SVG points in a square of 1000 x 1000.
    bars : list of (str, str)
        Style and SVG path of each interval, in the same square.
    x_ticks, y_ticks : list of Tick
    x_title, y_title : str
    """

    paths: list[tuple[Line, str]]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    x_title: str
    y_title: str
    bars: list[tuple[str, str]] = field(default_factory=list)

    def to_dict(self) -> dict[str, object]:
        """The values that the script shows at the pointer."""
        return {
            "x": self.x_title,
            "lines": [{"name": line.name, "style": line.style, "points": line.points} for line, _ in self.paths],
        }


@dataclass(frozen=True)
class Dot:
    """A value with an interval, or without one if low and high are None."""

    name: str
    style: str
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True)
class DotRow:
    """One measure, with a dot for each encoder or run."""

    label: str
    note: str
    dots: list[Dot]
    strong: bool = False


@dataclass(frozen=True)
class DotChart:
    """A chart of estimates with their intervals, a row for each measure."""

    rows: list[DotRow]
    low: float
    high: float
    ticks: list[Tick]
    title: str

    def place(self, value: float) -> float:
        """Position in per cent of the plot's width, clipped to it."""
        return round(100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low))), 2)

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Name and style of all series, in the order of their first dot."""
        return list({dot.name: (dot.name, dot.style) for row in self.rows for dot in row.dots}.values())


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers that cover [low, high] in at most `most` steps: the first at or below, the last at or above.

    Examples
    --------
    >>> nice_ticks(0.13, 0.98)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        margin = abs(low) * 0.1 or 1.0
        low, high = low - margin, high + margin
    values = MaxNLocator(nbins=most, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(f"{value:.12g}") + 0.0 for value in values]  # 0.6 for 0.6000000000000001, and no -0.0


def tick_texts(values: Sequence[float]) -> list[str]:
    """The numbers, with the decimals that their step needs."""
    step = values[1] - values[0]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{value:,.{digits}f}".replace("-", "\u2212") for value in values]


def line_chart(lines: Sequence[Line], x_title: str, y_title: str, include: Sequence[float] = ()) -> LineChart | None:
    """Lay out lines over shared axes, of which the vertical one includes the values of `include`.

    Lines without points are left out; None if no line is left.
    """
    kept = [line for line in lines if line.points]
    if not kept:
        return None
    xs = [x for line in kept for x, _ in line.points]
    ys = [y for line in kept for _, y in line.points]
    ys += [end for line in kept for _, *ends in line.intervals for end in ends]
    x_low, x_high = min(xs), max(xs)
    if x_low == x_high:
        x_high = x_low + 1
    x_values = [value for value in nice_ticks(x_low, x_high, 6) if x_low <= value <= x_high and value == int(value)]
    y_values = nice_ticks(min([*ys, *include]), max([*ys, *include]), 5)
    y_low, y_high = y_values[0], y_values[-1]

    def across(x: float) -> float:
        return (x - x_low) / (x_high - x_low)

    def up(y: float) -> float:
        return (y - y_low) / (y_high - y_low)

    return LineChart(
        paths=[
            (line, " ".join(f"{1000 * across(x):.1f},{1000 - 1000 * up(y):.1f}" for x, y in line.points))
            for line in kept
        ],
        x_ticks=[Tick(round(100 * across(value), 2), f"{value:,.0f}") for value in x_values],
        y_ticks=[
            Tick(round(100 * up(value), 2), text) for value, text in zip(y_values, tick_texts(y_values), strict=True)
        ],
        x_title=x_title,
        y_title=y_title,
        bars=[
            (line.style, f"M{1000 * across(x):.1f},{1000 - 1000 * up(low):.1f}V{1000 - 1000 * up(high):.1f}")
            for line in kept
            for x, low, high in line.intervals
        ],
    )


def dot_chart(rows: Sequence[DotRow], title: str, include: Sequence[float] = ()) -> DotChart | None:
    """Lay out estimates on an axis that includes the values of `include`; None if there is no dot."""
    kept = [row for row in rows if row.dots]
    if not kept:
        return None
    ends = [end for row in kept for dot in row.dots for end in (dot.value, dot.low, dot.high) if end is not None]
    values = nice_ticks(min([*ends, *include]), max([*ends, *include]), 6)
    low, high = values[0], values[-1]
    texts = tick_texts(values)
    ticks = [
        Tick(round(100 * (value - low) / (high - low), 2), text) for value, text in zip(values, texts, strict=True)
    ]
    return DotChart(kept, low, high, ticks, title)


def heat_image(values: np.ndarray, low: float, high: float) -> str:
    """A matrix as a PNG in a data URI, one pixel for each value, the first row at the bottom.

    Parameters
    ----------
    values : ndarray [shape=(n_rows, n_columns)]
    low, high : float
        Values at the ends of the colour map.
    """
    if not high > low:
        high = low + 1.0
    out = io.BytesIO()
    matplotlib.image.imsave(
        out, np.asarray(values, dtype=float), vmin=low, vmax=high, cmap="cividis", origin="lower", format="png"
    )
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")
