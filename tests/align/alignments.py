"""Utterances, alignment files, and what an import made of them: for the tests of import and export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from align.base import Aligned, AlignmentResult, Failure, Reason
from align.formats import textgrid
from align.formats.tracks import Interval
from align.importing import ImportSettings, Tally, read_alignments
from speech2vec.corpus.manifest import Utterance


def utterance(name: str, text: str = "one two", **more: object) -> Utterance:
    return Utterance(name, Path(f"/corpus/{name}.wav"), text, "speaker", **more)  # type: ignore[arg-type]


def write_textgrid(path: Path, *labels: str, step: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    words = [Interval(k * step, (k + 1) * step, label) for k, label in enumerate(labels)]
    path.write_text(textgrid.write(words, 0.0), encoding="utf-8")


def run(
    utterances: Sequence[Utterance], source: Path, tally: Tally | None = None, format_name: str | None = None
) -> dict[str, AlignmentResult]:
    """All outcomes by utterance; each utterance has exactly one."""
    found = list(read_alignments(utterances, source, ImportSettings(format=format_name), tally or Tally()))
    names = [outcome.utterance_id for outcome in found]
    assert sorted(names) == sorted(u.utterance_id for u in utterances)
    return dict(zip(names, found, strict=True))


def times(outcome: AlignmentResult) -> list[tuple[str, float, float]]:
    assert isinstance(outcome, Aligned), outcome
    return [(word.word, word.start, word.end) for word in outcome.words]


def reason(outcome: AlignmentResult) -> Reason:
    assert isinstance(outcome, Failure), outcome
    return outcome.reason
