"""The journal of a run: a line for each finished utterance, so that an interrupted run can be continued."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from align.base import Aligned, AlignmentResult, Failure, Reason
from speech2vec.corpus.manifest import Utterance, Word
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import require_file

JOURNAL_FILE = "journal.jsonl"


def _to_json(result: AlignmentResult) -> dict[str, Any]:
    if isinstance(result, Failure):
        return result.to_json()
    words = [[word.word, word.start, word.end, word.score] for word in result.words]
    return {"utterance_id": result.utterance_id, "words": words, "guessed": dict(result.guessed)}


def _from_json(row: Mapping[str, Any]) -> AlignmentResult:
    name = row["utterance_id"]
    if not isinstance(name, str):
        raise TypeError("not a name")
    if "words" in row:
        return Aligned(name, tuple(_word(name, *word) for word in row["words"]), dict(row["guessed"]))
    return Failure(name, Reason(row["reason"]), str(row["detail"]))


def _word(name: str, word: object, start: object, end: object, score: object) -> Word:
    if not isinstance(word, str) or not all(isinstance(value, (int, float)) for value in (start, end, score or 0.0)):
        raise TypeError("not a word")
    return Word(name, word, start, end, score)  # type: ignore[arg-type]


class Journal:
    """Results by utterance, on disk. A last line that was only half written is dropped.

    Parameters
    ----------
    path : Path
    identity : mapping
        What the results depend on.

    Raises
    ------
    UserError
        If the file is the journal of another corpus or other settings.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._offsets: dict[str, int] = {}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            require_file(self.path)
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
        return utterance_id in self._offsets

    def __len__(self) -> int:
        return len(self._offsets)

    def _read(self, identity: Mapping[str, Any]) -> int:
        """Index the results by utterance; return where the last complete line ends."""
        end = 0
        self._file.seek(0)
        for number, line in enumerate(self._file):
            try:
                row = json.loads(line) if line.endswith(b"\n") else None
                if row is not None and number:
                    _from_json(row)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                row = None
            if not isinstance(row, dict):
                break
            if number == 0:
                changed = sorted(key for key in {*identity, *row} if identity.get(key) != row.get(key))
                if changed:
                    raise UserError(
                        f"{self.path.parent} was started with another {' and '.join(changed)}: use the same "
                        "again, or --force to start over"
                    )
            else:
                self._offsets[row["utterance_id"]] = end
            end += len(line)
        return end

    def _append(self, row: Mapping[str, Any]) -> int:
        offset = self._file.seek(0, 2)
        try:
            self._file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
            self._file.flush()
        except OSError as error:
            error.filename = error.filename or str(self.path)  # "No space left on device" names no file
            raise
        return offset

    def add(self, result: AlignmentResult) -> None:
        """Append a result; it survives a crash of this process.

        Raises
        ------
        ValueError
            If the utterance is in the journal already.
        """
        if result.utterance_id in self._offsets:
            raise ValueError(f"'{result.utterance_id}' is in the journal already")
        self._offsets[result.utterance_id] = self._append(_to_json(result))

    def results(self, utterances: Sequence[Utterance]) -> Iterator[AlignmentResult]:
        """Yield the results of these utterances, in this order, read from disk one at a time."""
        for utterance in utterances:
            self._file.seek(self._offsets[utterance.utterance_id])
            yield _from_json(json.loads(self._file.readline()))

    def remove(self) -> None:
        """Close and delete the file, once its results are stored elsewhere."""
        self._file.close()
        self.path.unlink()
