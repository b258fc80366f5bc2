"""What the functions of `align` return: dataclasses that print as a table and show as one in a notebook."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from align.aligned import read_failures
from align.base import Failure
from speech2vec.corpus.manifest import REPORT_FILE

_SHOWN = 20


class Result(ABC):
    """Base of all results: ``str()`` is what the command prints, and a notebook shows `to_dict` as a table."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values that JSON can hold."""

    def _repr_html_(self) -> str:
        return html_table(self.to_dict())


def html_table(values: Mapping[str, Any]) -> str:
    """Render a mapping as an HTML table, and a list of mappings in it as a table of its own.

    Parameters
    ----------
    values : mapping
        Keys and values are escaped. Of a list, the first 20 items are shown.

    Examples
    --------
    >>> html_table({"words": 3, "detail": "<b>"})
    '<table><tr><th>words</th><td>3</td></tr><tr><th>detail</th><td>&lt;b&gt;</td></tr></table>'
    """
    return _table([f"<th>{html.escape(name)}</th><td>{_cell(value)}</td>" for name, value in values.items()])


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return html_table(value)
    if not isinstance(value, list):
        return html.escape(f"{value:.4g}" if isinstance(value, float) else str(value))
    if not value or not isinstance(value[0], Mapping):
        return "<br>".join([_cell(item) for item in value[:_SHOWN]] + _more(value))
    header = "".join(f"<th>{html.escape(name)}</th>" for name in value[0])
    rows = ["".join(f"<td>{_cell(cell)}</td>" for cell in row.values()) for row in value[:_SHOWN]]
    return _table([header, *rows, *(f"<td>{more}</td>" for more in _more(value))])


def _table(rows: Iterable[str]) -> str:
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _more(items: Sequence[object]) -> list[str]:
    return [f"and {len(items) - _SHOWN:,} more"] if len(items) > _SHOWN else []


@dataclass(frozen=True)
class AlignmentReport(Result):
    """How many utterances of a corpus were aligned, and which were not.

    Parameters
    ----------
    folder : Path
        The ALIGNED folder; its report.json holds all that is here and more.
    asked : int
        Utterances in the corpus, those that cannot be read included: `aligned` plus the length of `failed`.
    aligned : int
        Utterances that were aligned.
    words : int
        Words with times.
    guessed_pronunciations : int
        How many of the words are not in the pronunciation dictionary.
    failed : list of Failure
        The utterances that were not aligned.
    notes : list of str
        What an import noticed in the alignment files.
    """

    folder: Path
    asked: int
    aligned: int
    words: int
    guessed_pronunciations: int
    failed: list[Failure] = field(repr=False)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def from_json(cls, folder: Path, report: Mapping[str, Any], notes: Sequence[str] = ()) -> AlignmentReport:
        """Take the figures from the content of a report.json."""
        figures = {key: report.get(key, 0) for key in ("asked", "aligned", "words", "guessed_pronunciations")}
        return cls(folder, **figures, failed=read_failures(report), notes=list(notes))

    def to_dict(self) -> dict[str, Any]:
        """Return the figures under their names in report.json."""
        return {
            "folder": str(self.folder),
            "asked": self.asked,
            "aligned": self.aligned,
            "words": self.words,
            "guessed_pronunciations": self.guessed_pronunciations,
            "failed": [failure.to_json() for failure in self.failed],
            "notes": self.notes,
        }

    def __str__(self) -> str:
        summary = f"{self.folder}: {self.aligned:,} of {self.asked:,} utterances aligned, {self.words:,} words"
        if self.guessed_pronunciations:
            summary += f", {self.guessed_pronunciations:,} with a guessed pronunciation"
        lines = [*self.notes, summary]
        for failure in self.failed[:_SHOWN]:
            detail = f" ({failure.detail})" if failure.detail else ""
            lines.append(f"not aligned: {failure.utterance_id}: {failure.reason.value}{detail}")
        if len(self.failed) > _SHOWN:
            lines.append(f"... and {len(self.failed) - _SHOWN:,} more: {self.folder / REPORT_FILE} lists them all")
        return "\n".join(lines)
