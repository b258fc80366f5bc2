"""What the functions of `align` return: dataclasses that print as a table and show as one in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from align.aligned import read_failures
from align.base import Failure
from speech2vec.corpus.manifest import REPORT_FILE
from speech2vec.runtime.display import Displayed, Table
from speech2vec.runtime.errors import clear_line

_SHOWN = 20
_MANY_GUESSES = 0.2  # of the words


@dataclass(frozen=True)
class AlignmentReport(Displayed):
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

    def display_parts(self) -> list[str | Table]:
        """What the command prints."""
        summary = f"{self.folder}: {self.aligned:,} of {self.asked:,} utterances aligned, {self.words:,} words"
        if self.guessed_pronunciations:
            summary += f", {self.guessed_pronunciations:,} with a guessed pronunciation"
        lines = [*self.notes, summary]
        if self.guessed_pronunciations > _MANY_GUESSES * self.words:
            lines.append(
                f"many words ({self.guessed_pronunciations / self.words:.0%}) are not in the English dictionary: is "
                "the corpus in another language? Alternatives: --aligner mfa with --set dictionary=... and --set "
                "acoustic_model=..., or --aligner ctc --set bundle=MMS_FA"
            )
        for failure in self.failed[:_SHOWN]:
            detail = f" ({failure.detail})" if failure.detail else ""
            lines.append(clear_line(f"not aligned: {failure.utterance_id}: {failure.reason.value}{detail}"))
        if len(self.failed) > _SHOWN:
            lines.append(f"... and {len(self.failed) - _SHOWN:,} more: {self.folder / REPORT_FILE} lists them all")
        return ["\n".join(lines)]
