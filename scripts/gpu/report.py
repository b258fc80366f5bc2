"""The report of `gpu_check`: the measurements as tables, and the decision of the rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.gpu.results import Row

# An engine stays only if it is measured to win (docs/performance.md).
TIMES_STEPS = 1.3
SLICES = "steps of a full-size epoch, by the clock"


def best(rows: Sequence[Row], **wanted: str) -> Row | None:
    """The fastest slice of an epoch among the rows with these values."""
    measured = [
        row
        for row in rows
        if row["table"] == SLICES and "pairs/s" in row and all(row[key] == value for key, value in wanted.items())
    ]
    return max(measured, key=lambda row: float(row["pairs/s"]), default=None)


def verdict(rows: Sequence[Row]) -> list[str]:
    """The decisions of the rule, as far as part 3 has measured both sides."""
    lines = []
    triton, steps = best(rows, engine="triton"), best(rows, engine="steps")
    if triton and steps:
        ratio = triton["pairs/s"] / steps["pairs/s"]
        decision = "keep it" if ratio >= TIMES_STEPS else "remove it, with its tests"
        lines.append(
            f"Triton at its best is {ratio:.2f} times single steps at their best"
            f" (the rule asks for {TIMES_STEPS}): {decision}."
        )
    half, single = best(rows, precision="bfloat16"), best(rows, precision="float32")
    if half and single:
        ratio = half["pairs/s"] / single["pairs/s"]
        decision = "keep it" if ratio > 1 else "remove it"
        lines.append(f"bfloat16 at its best is {ratio:.2f} times float32 at its best: {decision}.")
    return lines or ["No decision: part 3 has not measured both sides."]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def table(rows: Sequence[Row]) -> list[str]:
    """Rows as a Markdown table, with a column for every key of any row."""
    keys = list(dict.fromkeys(key for row in rows for key in row if key != "table"))
    lines = [f"| {' | '.join(keys)} |", "|" + "---|" * len(keys)]
    return lines + [f"| {' | '.join(_text(row.get(key, '')) for key in keys)} |" for row in rows]


def markdown(machine: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> str:
    """The whole report.

    Parameters
    ----------
    machine : mapping
        Names and values of what it ran on.
    parts : sequence of mapping
        The state of each part that has started: `number`, `title`, `status`, `seconds`, `limit`, `rows`, `traceback`.
    """
    lines = ["# GPU check", "", *(f"- {key}: {value}" for key, value in machine.items()), ""]
    for part in parts:
        lines += [f"## {part['number']}. {part['title']}: {part['status']}", ""]
        lines += [f"{part['seconds']:.0f} s of {part['limit']:.0f} s", ""]
        for name in dict.fromkeys(row["table"] for row in part["rows"]):
            lines += [f"### {name[0].upper()}{name[1:]}", ""]
            lines += [*table([row for row in part["rows"] if row["table"] == name]), ""]
        if part["traceback"]:
            lines += ["```", part["traceback"], "```", ""]
    lines += ["## The rule (docs/performance.md)", ""]
    lines += [f"- {line}" for line in verdict([row for part in parts for row in part["rows"]])]
    return "\n".join(lines) + "\n"
