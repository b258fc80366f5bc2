"""The journal of a run: a line for each utterance that is done, so that a killed run goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from align.base import Aligned, AlignmentResult, Failure, Reason
from speech2vec.corpus.manifest import Utterance, Word
from speech2vec.runtime.errors import UserError

JOURNAL_FILE = "journal.jsonl"


def _to_json(outcome: AlignmentResult) -> dict[str, Any]:
    if isinstance(outcome, Failure):
        return outcome.to_json()
    words = [[word.word, word.start, word.end, word.score] for word in outcome.words]
    return {"utterance_id": outcome.utterance_id, "words": words, "guessed": dict(outcome.guessed)}


def _from_json(row: Mapping[str, Any]) -> AlignmentResult:
    name = row["utterance_id"]
    if "words" in row:
        return Aligned(name, tuple(Word(name, *word) for word in row["words"]), row["guessed"])
    return Failure(name, Reason(row["reason"]), row["detail"])


class Journal:
    """Outcomes by utterance, on disk; what was half written when the run was killed is cut off.

    Parameters
    ----------
    path : Path
    identity : mapping
        What the outcomes depend on. A journal of another identity is refused.

    Raises
    ------
    UserError
        If the journal there belongs to another corpus or other settings.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._places: dict[str, int] = {}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+b")
        end = self._read(identity)
        self._file.truncate(end)
        if end == 0:
            self._append(dict(identity))

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __contains__(self, utterance_id: str) -> bool:
        return utterance_id in self._places

    def __len__(self) -> int:
        return len(self._places)

    def _read(self, identity: Mapping[str, Any]) -> int:
        """Note where each outcome lies; the place where the whole lines end."""
        end = 0
        self._file.seek(0)
        for number, line in enumerate(self._file):
            try:
                row = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                row = None
            if row is None:
                break
            if number == 0:
                changed = sorted(key for key in {*identity, *row} if identity.get(key) != row.get(key))
                if changed:
                    raise UserError(
                        f"{self.path.parent} was begun with another {' and '.join(changed)}: give the same again, "
                        "or --force to start anew"
                    )
            else:
                self._places[row["utterance_id"]] = end
            end += len(line)
        return end

    def _append(self, row: Mapping[str, Any]) -> int:
        place = self._file.seek(0, 2)
        self._file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
        self._file.flush()
        return place

    def add(self, outcome: AlignmentResult) -> None:
        """Write an outcome down; it survives the death of this process.

        Raises
        ------
        ValueError
            If it is in the journal already.
        """
        if outcome.utterance_id in self._places:
            raise ValueError(f"'{outcome.utterance_id}' is in the journal already")
        self._places[outcome.utterance_id] = self._append(_to_json(outcome))

    def outcomes(self, utterances: Sequence[Utterance]) -> Iterator[AlignmentResult]:
        """The outcomes of these utterances, in this order, read from disk one at a time."""
        for utterance in utterances:
            self._file.seek(self._places[utterance.utterance_id])
            yield _from_json(json.loads(self._file.readline()))

    def remove(self) -> None:
        """Close and delete the file: its outcomes are written elsewhere."""
        self._file.close()
        self.path.unlink()
