"""How results are shown: as aligned text by `print`, as HTML in a notebook, from one description of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import zip_longest


@dataclass(frozen=True)
class Table:
    """Cells in rows, the first row a header; the first column is left-aligned, the others are right-aligned.

    Parameters
    ----------
    rows : sequence of sequences of str
    title : str
    widths : sequence of int
        Minimum width of each column of the text.
    indent : str
        Before each row of the text.
    """

    rows: Sequence[Sequence[str]]
    title: str = ""
    widths: Sequence[int] = ()
    indent: str = ""

    def text(self) -> str:
        """The table for a terminal."""
        widths = [max(map(len, cells)) for cells in zip_longest(*self.rows, fillvalue="")]
        widths = [max(both) for both in zip_longest(widths, self.widths, fillvalue=0)]
        lines = [self.title] if self.title else []
        for row in self.rows:
            cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=False)]
            cells[0] = row[0].ljust(widths[0])
            lines.append((self.indent + "  ".join(cells)).rstrip())
        return "\n".join(lines)

    def html(self) -> str:
        """The table for a notebook."""
        header, *body = (
            "".join(
                f'<{tag} style="text-align:{"right" if i else "left"}">{escape(cell)}</{tag}>'
                for i, cell in enumerate(row)
            )
            for tag, row in zip(["th"] + ["td"] * (len(self.rows) - 1), self.rows, strict=True)
        )
        caption = f"<caption>{escape(self.title)}</caption>" if self.title else ""
        rows = "".join(f"<tr>{row}</tr>" for row in body)
        return f"<table>{caption}<thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>"


class Displayed:
    """A result that is shown as paragraphs and tables, which a subclass gives in `display_parts`."""

    def display_parts(self) -> list[str | Table]:
        """Paragraphs and tables, in order."""
        raise NotImplementedError

    def __str__(self) -> str:
        return "\n\n".join(part.text() if isinstance(part, Table) else part for part in self.display_parts())

    def _repr_html_(self) -> str:
        return "\n".join(
            part.html() if isinstance(part, Table) else f"<p>{escape(part.strip())}</p>"
            for part in self.display_parts()
        )
