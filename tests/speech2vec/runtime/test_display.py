"""Results as text and as HTML."""

from __future__ import annotations

from speech2vec.runtime.display import Displayed, Table

TABLE = Table([["", "score"], ["<b>", "0.5"], ["longer name", "-0.25"]], "A & B", widths=(0, 8), indent="  ")


class Shown(Displayed):
    def display_parts(self) -> list[str | Table]:
        return ["a < b", TABLE]


def test_columns_are_aligned() -> None:
    assert TABLE.text().splitlines() == [
        "A & B",
        "                  score",
        "  <b>               0.5",
        "  longer name     -0.25",
    ]


def test_rows_may_be_shorter_than_the_header() -> None:
    assert Table([["", "x", "y"], ["a", "1"]]).text().splitlines() == ["   x  y", "a  1"]


def test_html_is_escaped() -> None:
    shown = Shown()._repr_html_()
    assert "<p>a &lt; b</p>" in shown and "&lt;b&gt;" in shown and "<b>" not in shown and "A &amp; B" in shown
    assert shown.count("<tr>") == 3 and shown.count("<th ") == 2 and shown.count("<td ") == 4


def test_paragraphs_and_tables_are_set_apart_in_text() -> None:
    assert str(Shown()) == f"a < b\n\n{TABLE.text()}"
