"""How results appear: as text where they are printed, as an HTML table in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


class Displayed:
    """A result that prints as the command prints it; a notebook shows the same text with its columns aligned."""

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns, two spaces apart; the first row is the header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def html_table(rows: Sequence[Sequence[str]]) -> str:
    """The same as an HTML table, with every cell escaped."""
    header, *body = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    lines = [f"<tr>{header.replace('td>', 'th>')}</tr>", *(f"<tr>{cells}</tr>" for cells in body)]
    return f"<table>{''.join(lines)}</table>"
