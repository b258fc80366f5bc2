"""Layout of the report's charts."""

from __future__ import annotations

import pytest

from speech2vec.reporting.svg import Dot, DotRow, Line, dot_chart, line_chart, nice_ticks, tick_texts


@pytest.mark.parametrize("ends", [(0.0, 0.0), (0.3, 0.3), (1.0, 1.0 + 1e-13), (-0.2, 1.0), (0.964, 1.006), (3.0, 7e4)])
def test_ticks_cover_the_values_in_few_round_steps(ends: tuple[float, float]) -> None:
    ticks = nice_ticks(*ends, most=6)
    assert ticks[0] <= ends[0] and ticks[-1] >= ends[1] and 2 <= len(ticks) <= 8
    assert len(set(tick_texts(ticks))) == len(ticks)


def test_a_line_of_equal_values_is_drawn() -> None:
    chart = line_chart([Line("flat", "s0", [(0, 0.5), (10, 0.5)]), Line("none", "s1", [])], "epoch", "loss")
    assert chart is not None and [line.name for line, _ in chart.paths] == ["flat"]
    assert chart.paths[0][1] == "0.0,500.0 1000.0,500.0"
    assert [tick.text for tick in chart.x_ticks] == ["0", "2", "4", "6", "8", "10"]
    assert line_chart([Line("none", "s1", [])], "epoch", "loss") is None


def test_dots_are_placed_within_the_plot() -> None:
    chart = dot_chart([DotRow("a", "", [Dot("x", "s0", 0.25, 0.1, 0.4)]), DotRow("empty", "", [])], "AUC", (0.0, 1.0))
    assert chart is not None and [row.label for row in chart.rows] == ["a"]
    assert [chart.place(value) for value in (-1.0, 0.25, 2.0)] == [0.0, 25.0, 100.0]
    assert dot_chart([DotRow("empty", "", [])], "AUC") is None
