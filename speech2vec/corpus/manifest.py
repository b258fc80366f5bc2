"""The data format that all steps share: utterances (utterances.jsonl) and aligned words (words.parquet)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path, read_json_as, shortened
from speech2vec.runtime.guarded import open_utf8, read_parquet

UTTERANCES_FILE = "utterances.jsonl"

WORDS_FILE = "words.parquet"

REPORT_FILE = "report.json"

WORDS_SCHEMA = pa.schema(
    [
        pa.field("utterance_id", pa.string(), nullable=False),
        pa.field("word", pa.string(), nullable=False),
        pa.field("start", pa.float64(), nullable=False),
        pa.field("end", pa.float64(), nullable=False),
        pa.field("score", pa.float32()),
    ]
)


@dataclass(frozen=True)
class Utterance:
    """A segment of speech by one speaker, with its transcript.

    Parameters
    ----------
    utterance_id : str
        Unique in its corpus.
    audio : Path
        The audio file; in ``utterances.jsonl`` the path may be relative to its folder.
    text : str
        The transcript in its original spelling; may be empty.
    speaker : str
    start, end : float or None, seconds
        The segment of the file; None is the start or end of the file.
    channel : int or None
        The channel, counted from 0; None averages all channels.
    extras : mapping
        Further columns (label, session, ...), kept unchanged.
    """

    utterance_id: str
    audio: Path
    text: str
    speaker: str
    start: float | None = None
    end: float | None = None
    channel: int | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "utterance_id": self.utterance_id,
            "audio": str(self.audio),
            "text": self.text,
            "speaker": self.speaker,
        }
        for name in ("start", "end", "channel"):
            if getattr(self, name) is not None:
                row[name] = getattr(self, name)
        return {**row, **self.extras}


@dataclass(frozen=True)
class Word:
    """A word with its start and end time.

    Parameters
    ----------
    utterance_id : str
    word : str
        Lower case, apostrophes kept.
    start, end : float, seconds
        From the start of the audio file (not of the utterance).
    score : float or None
        Confidence of the aligner, in its own unit; higher is better.
    """

    utterance_id: str
    word: str
    start: float
    end: float
    score: float | None = None


_KNOWN_KEYS = {"utterance_id", "audio", "text", "speaker", "start", "end", "channel"}


def _is_time(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf


def _utterance_from_json(row: object, folder: Path) -> Utterance:
    if not isinstance(row, dict):
        raise ValueError("a line must be a JSON object")
    for key in ("utterance_id", "audio", "text", "speaker"):
        if not isinstance(row.get(key), str):
            raise ValueError(f"'{key}' is missing or is not a string")
    json.dumps(row, ensure_ascii=False).encode()  # raises on a lone surrogate ("\\ud800"), which no file can store
    for key in ("utterance_id", "audio"):
        if not row[key] or "\0" in row[key]:
            raise ValueError(f"'{key}' is empty or contains a null character")
    for key in ("start", "end"):
        value = row.get(key)
        if value is not None and not _is_time(value):
            raise ValueError(f"'{key}' must be a non-negative number of seconds, not {shortened(value)}")
    channel = row.get("channel")
    if channel is not None and (isinstance(channel, bool) or not isinstance(channel, int) or channel < 0):
        raise ValueError(f"'channel' must be a non-negative integer, not {shortened(channel)}")
    start, end = row.get("start") or 0.0, row.get("end")
    if end is not None and end <= start:
        raise ValueError(f"'end' ({shortened(end)}) must be after 'start' ({shortened(start)})")
    return Utterance(
        utterance_id=row["utterance_id"],
        audio=folder / row["audio"],  # an absolute path stays as it is
        text=row["text"],
        speaker=row["speaker"],
        start=row.get("start"),
        end=row.get("end"),
        channel=channel,
        extras={key: value for key, value in row.items() if key not in _KNOWN_KEYS},
    )


def iterate_utterances(path: Path) -> Iterator[Utterance]:
    """Read an ``utterances.jsonl`` line by line; relative audio paths are relative to its folder.

    Raises
    ------
    UserError
        Naming the file and the line, if a line is invalid or an id is duplicated.
    """
    path = Path(path)
    seen: set[str] = set()
    with open_utf8(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                utterance = _utterance_from_json(json.loads(line), path.parent)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{path}, line {number}: {error}") from error
            if utterance.utterance_id in seen:
                raise UserError(f"{path}, line {number}: utterance_id '{utterance.utterance_id}' is duplicated")
            seen.add(utterance.utterance_id)
            yield utterance


def read_utterances(path: Path) -> list[Utterance]:
    """Read an ``utterances.jsonl``, given its path or its folder."""
    path = Path(path)
    return list(iterate_utterances(path / UTTERANCES_FILE if path.is_dir() else path))


def write_utterances(path: Path, utterances: Iterable[Utterance]) -> None:
    """Write an ``utterances.jsonl`` atomically."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as out:
        for utterance in utterances:
            out.write(json.dumps(utterance.to_json(), ensure_ascii=False) + "\n")


class _FailedUtterance(BaseModel):
    utterance_id: str
    reason: str
    detail: str = ""


class _Report(BaseModel):
    """What is read from ``report.json``; the imports and reports made before may lack what has a default."""

    failed: list[_FailedUtterance]
    asked: int = 0
    aligned: int = 0
    words: int = 0
    guessed_pronunciations: int = 0
    guessed_words: dict[str, str] = {}
    words_left_out: dict[str, int] = {}
    settings: dict[str, Any] | None = None
    fingerprint: str = ""
    shard: str | None = None


def read_report(folder: Path) -> dict[str, Any]:
    """Read the report of an ALIGNED folder.

    Raises
    ------
    UserError
        If the folder has no report (it is not an ALIGNED folder, or its run was not finished), or the file is not the
        report of an alignment.
    """
    path = Path(folder) / REPORT_FILE
    if not path.exists():
        raise UserError(f"{folder} is not a finished alignment: it has no {REPORT_FILE}")
    report: dict[str, Any] = read_json_as(path, _Report, "the report of an alignment")
    return report


def words_table(words: Iterable[Word]) -> pa.Table:
    """Words as a table with the columns of `WORDS_SCHEMA`."""
    rows = list(words)
    columns = {name: [getattr(word, name) for word in rows] for name in WORDS_SCHEMA.names}
    return pa.table(columns, schema=WORDS_SCHEMA)


def write_words(path: Path, words: pa.Table | Iterable[Word]) -> None:
    """Write a ``words.parquet`` atomically."""
    table = words if isinstance(words, pa.Table) else words_table(words)
    with atomic_path(path) as temporary:
        pq.write_table(table.select(WORDS_SCHEMA.names).cast(WORDS_SCHEMA), temporary, compression="zstd")


def read_words(path: Path) -> pa.Table:
    """Read a ``words.parquet``, given its path or its folder, with the columns of `WORDS_SCHEMA`.

    Raises
    ------
    UserError
        If the file is missing, is not such a table, or contains a word without its utterance or times.
    """
    path = Path(path)
    path = path / WORDS_FILE if path.is_dir() else path
    table = read_parquet(path, WORDS_SCHEMA, "'speech2vec-align run' or 'import' makes it")
    for name in ("start", "end"):
        finite = np.isfinite(table[name].to_numpy())
        if not finite.all():
            raise UserError(f"{path}, row {int(finite.argmin())}: '{name}' is not a number of seconds")
    return table
