"""Any corpus described by a table: CSV, TSV or JSONL with audio, speaker and label, and text if there is any."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from emotion.corpora.base import NO_LABEL, EmotionCorpus
from speech2vec.corpus.readers import Problem
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import is_utf8, shortened
from speech2vec.runtime.guarded import read_csv, read_text

COLUMNS = ("audio", "speaker", "label")

# Common names of the four classes.
_CLASSES = {
    "neu": ("neu", "neutral"),
    "hap": ("hap", "happy", "happiness", "joy", "joyful", "exc", "excited", "excitement"),
    "sad": ("sad", "sadness"),
    "ang": ("ang", "angry", "anger"),
}
_CLASS_OF = {name: label for label, names in _CLASSES.items() for name in names}


def read_table(path: Path) -> EmotionCorpus:
    """Read a table of utterances.

    Parameters
    ----------
    path : Path
        CSV (comma, semicolon or tab) with a header, or JSONL. Columns ``audio`` (relative to the table's folder;
        empty: text only), ``speaker``, ``label``; optionally ``text``, ``utterance_id``, ``session``, ``style``,
        ``dialogue``, ``sex`` (the speaker's), ``start`` and ``end`` (seconds), ``channel``, ``composite`` ("yes" if
        the text was not spoken in the audio).

    Returns
    -------
    EmotionCorpus
        Labels in order of first occurrence; neutral, happy (excited), sad and angry under any of their common names
        map to the four classes, all other labels to None. Where no id is given, it is the shortest of the file's stem,
        its path, and its path with the times that no other row has.

    Raises
    ------
    UserError
        The table has no rows, lacks a column, or a time is not a number or a channel not a whole one.
    """
    rows = list(_json_rows(path) if path.suffix.lower() in (".jsonl", ".json") else _csv_rows(path))
    if not rows:
        raise UserError(f"{path} contains no rows")
    unwritable = {number for number, row in rows if not is_utf8("".join(map(str, row.values())))}
    rows = [(number, row) for number, row in rows if number not in unwritable]
    names = list(dict.fromkeys(_text(row, "label") for _, row in rows if _text(row, "label")))
    corpus = EmotionCorpus("table", {name: _CLASS_OF.get(name.lower()) for name in names})
    corpus.name = path.stem if is_utf8(path.stem) else ""
    ids = _ids([row for _, row in rows])
    for number in unwritable:
        corpus.problems.append(Problem(f"line{number}", "text is not UTF-8", f"{path}, line {number}: lone surrogate"))
    for (number, row), own in zip(rows, ids, strict=True):
        audio, label = _text(row, "audio"), _text(row, "label")
        name = own or f"line{number}"
        if not label:
            corpus.problems.append(Problem(name, NO_LABEL, f"{path}, line {number}, column 'label' is empty"))
            continue
        if not _text(row, "speaker"):
            corpus.problems.append(Problem(name, "no speaker", f"{path}, line {number}, column 'speaker' is empty"))
            continue
        channel = _number(row, "channel", path, number)
        if channel is not None and channel % 1:
            raise UserError(f"{path}, line {number}: 'channel' must be a whole number (from 0), not {channel:g}")
        corpus.add(
            name,
            path.parent / (audio or f"{name}.wav"),
            " ".join(_text(row, "text").split()),
            _text(row, "speaker"),
            label,
            start=_number(row, "start", path, number),
            end=_number(row, "end", path, number),
            channel=None if channel is None else int(channel),
            session=_text(row, "session") or None,
            style=_text(row, "style") or None,
            dialogue=_text(row, "dialogue") or None,
            sex=_text(row, "sex").lower() or None,
            text_only=True if not audio else None,
            composite=True if _text(row, "composite").lower() == "yes" else None,
        )
    return corpus


def _ids(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The id of each row, "" for text without one: as given, or the shortest name of its audio that is its own."""
    candidates = [_names(row) for row in rows]
    counts = Counter(name for own in candidates for name in dict.fromkeys(own))
    return [next((name for name in own if counts[name] == 1), own[-1] if own else "") for own in candidates]


def _names(row: Mapping[str, Any]) -> list[str]:
    audio, given = _text(row, "audio"), _text(row, "utterance_id")
    if given or not audio:
        return [given] if given else []
    path = Path(audio)
    names = [path.stem, "/".join(part for part in path.with_suffix("").parts if part not in ("..", path.anchor))]
    times = [_text(row, "start"), _text(row, "end")]
    return [*names, f"{names[-1]}:{times[0]}-{times[1]}"] if any(times) else names


def _check_columns(found: Mapping[str, Any], where: str) -> None:
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        names = ", ".join(" ".join(str(name).split())[:40] for name in list(found)[:20])
        raise UserError(f"{where} lacks the column(s) {', '.join(missing)}; its columns: {names or 'none'}")


def _csv_rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    columns, rows = read_csv(path, ",;\t")
    _check_columns(dict.fromkeys(columns), str(path))
    return rows


def _json_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}, line {number}: {error}") from error
        if not isinstance(row, dict):
            raise UserError(f"{path}, line {number}: not a JSON object")
        _check_columns(row, f"{path}, line {number}")
        yield number, row


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    return "" if value is None else str(value).strip()


def _number(row: Mapping[str, Any], column: str, path: Path, line: int) -> float | None:
    text = _text(row, column)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise UserError(f"{path}, line {line}: '{column}' must be a number of at least 0, not {shortened(text)}")
    return value
