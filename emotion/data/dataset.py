"""A prepared corpus on disk: utterances.jsonl, features.npy, index.parquet, meta.json, report.json.

``features.npy`` is a memory map of the windows of all utterances, concatenated; ``index.parquet`` holds each
utterance's range of windows and its metadata. ``utterances.jsonl`` and the index list the same utterances in the same
order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field

from speech2vec.corpus.manifest import REPORT_FILE, UTTERANCES_FILE, Utterance, read_utterances, write_utterances
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import read_json_as, shortened, write_json
from speech2vec.runtime.guarded import read_array, read_parquet
from speech2vec.runtime.output import FolderContents

FEATURES_FILE = "features.npy"
INDEX_FILE = "index.parquet"
META_FILE = "meta.json"
CACHE = "cache"  # a folder for what classifiers compute from the audio; it can always be computed again
PREPARED_CONTENTS = FolderContents(
    marks=(META_FILE,), others=(FEATURES_FILE, INDEX_FILE, UTTERANCES_FILE, REPORT_FILE, f"{CACHE}/*")
)
FORMAT = 1

# Markers in the name of a corpus that is not natural speech. The name is part of every run, table and prediction.
SYNTHETIC, COMPOSITE = "SYNTHETIC", "COMPOSITE"
_WARNINGS = {
    COMPOSITE: "its texts were not spoken in its audio; scores compare with no published result",
    SYNTHETIC: "no human spoke it; performance on real speech is unknown",
}

INDEX_SCHEMA = pa.schema(
    [
        pa.field("utterance_id", pa.string(), nullable=False),
        pa.field("first_window", pa.int64(), nullable=False),
        pa.field("n_windows", pa.int32(), nullable=False),
        pa.field("duration", pa.float64()),
        pa.field("label", pa.string(), nullable=False),
        pa.field("label_full", pa.string(), nullable=False),
        pa.field("speaker", pa.string(), nullable=False),
        pa.field("session", pa.string()),
        pa.field("style", pa.string()),
        pa.field("dialogue", pa.string()),
        pa.field("text", pa.string(), nullable=False),
    ]
)


def data_warning(name: str) -> str:
    """A caution to show with every result on the corpus of this name; "" for natural speech.

    Examples
    --------
    >>> data_warning("SYNTHETIC-mine")
    'no human spoke it; performance on real speech is unknown'
    """
    return "; ".join(warning for marker, warning in _WARNINGS.items() if marker in name)


_REMEDY = "copy it again, or prepare the corpus again"


class _Meta(BaseModel):
    """What is read from ``meta.json``; corpora prepared before may lack what has a default."""

    kind: str = ""
    name: str = ""
    labels: list[str] = Field(min_length=1)
    features: dict[str, Any] = {}
    fingerprint: str = ""
    counts: dict[str, Any] = {}
    sampling_rates: dict[str, int] = {}


@dataclass(frozen=True)
class Prepared:
    """A prepared corpus; features stay on disk until they are accessed.

    Parameters
    ----------
    folder : Path
    features : ndarray [shape=(total_windows, n_features)], float32
        A memory map, not normalised; 0 rows if the corpus is text only.
    utterance_id, label, label_full, speaker, session, style, dialogue, text : ndarray [shape=(n_utterances,)], object
        Strings; ``session``, ``style`` ("improvised" or "scripted") and ``dialogue`` are None if the corpus does not
        define them. ``label`` is one of `labels`; ``label_full`` is the corpus' own label.
    first_window : ndarray [shape=(n_utterances,)], int64
    n_windows : ndarray [shape=(n_utterances,)], int32
        0 for text-only utterances.
    duration : ndarray [shape=(n_utterances,)], float64, seconds
        NaN for text-only utterances.
    meta : dict
        ``kind``, ``name``, ``labels``, ``features`` (settings), ``fingerprint``, ``counts``, ...
    """

    folder: Path
    features: np.ndarray
    utterance_id: np.ndarray
    first_window: np.ndarray
    n_windows: np.ndarray
    duration: np.ndarray
    label: np.ndarray
    label_full: np.ndarray
    speaker: np.ndarray
    session: np.ndarray
    style: np.ndarray
    dialogue: np.ndarray
    text: np.ndarray
    meta: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Prepared:
        """Open the output folder of ``speech2vec-emotion prepare``.

        Raises
        ------
        UserError
            A file is missing, unreadable, of another format, or inconsistent with the others.
        """
        folder = Path(folder)
        meta = _read_meta(folder)
        table = read_parquet(folder / INDEX_FILE, INDEX_SCHEMA, _REMEDY)
        features = read_array(folder / FEATURES_FILE, np.float32, (None, None), _REMEDY)
        columns = {name: table[name].to_numpy(zero_copy_only=False) for name in INDEX_SCHEMA.names}
        for name, field in zip(INDEX_SCHEMA.names, INDEX_SCHEMA, strict=True):
            if pa.types.is_string(field.type):
                columns[name] = np.array(table[name].to_pylist(), dtype=object)
        ends = columns["first_window"] + columns["n_windows"]
        lowest = min(columns["first_window"].min(initial=0), columns["n_windows"].min(initial=0))
        if lowest < 0 or ends.max(initial=0) > len(features):
            raise UserError(f"{folder}: {INDEX_FILE} refers to windows that {FEATURES_FILE} does not contain")
        unknown = sorted(set(columns["label"]) - set(meta["labels"]))
        if unknown:
            raise UserError(f"{folder}: label(s) {', '.join(unknown)} are not among {', '.join(meta['labels'])}")
        return cls(folder=folder, features=features, meta=meta, **columns)

    def __len__(self) -> int:
        return len(self.utterance_id)

    def segment(self, i: int) -> np.ndarray:
        """Features of utterance `i` [shape=(n_windows_i, n_features)], a view into the memory map."""
        first = int(self.first_window[i])
        return self.features[first : first + int(self.n_windows[i])]

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of every confusion matrix."""
        return tuple(self.meta["labels"])

    @property
    def label_index(self) -> np.ndarray:
        """Each utterance's class as an index into `labels` [shape=(n_utterances,)], int64."""
        index_of = {label: i for i, label in enumerate(self.labels)}
        return np.array([index_of[label] for label in self.label], dtype=np.int64)

    @property
    def name(self) -> str:
        """The name of this corpus in tables and reports."""
        return str(self.meta["name"])

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the feature settings."""
        return str(self.meta["fingerprint"])

    def utterances(self) -> list[Utterance]:
        """The rows of ``utterances.jsonl``, with audio paths, in the order of the index.

        Raises
        ------
        UserError
            They do not match the index.
        """
        found = read_utterances(self.folder / UTTERANCES_FILE)
        fault = ""
        if len(found) != len(self):
            fault = f"{UTTERANCES_FILE} has {len(found):,} utterances, {INDEX_FILE} has {len(self):,}"
        elif [utterance.utterance_id for utterance in found] != self.utterance_id.tolist():
            fault = f"{UTTERANCES_FILE} and {INDEX_FILE} list different utterances"
        if fault:
            raise UserError(f"{self.folder}: {fault}: prepare it again")
        return found


def _read_meta(folder: Path) -> dict[str, Any]:
    path = folder / META_FILE
    if not path.exists():
        raise UserError(f"{folder} is not a prepared corpus (no {META_FILE}): run 'speech2vec-emotion prepare' first")
    meta: dict[str, Any] = read_json_as(path, dict[str, Any], "the description of a prepared corpus")
    if meta.get("format") != FORMAT:
        found = shortened(meta.get("format"))
        raise UserError(f"{folder} has format {found}, this version reads {FORMAT}: prepare it again")
    read_json_as(path, _Meta, "the description of a prepared corpus")
    return meta


class PreparedWriter:
    """Write a prepared corpus utterance by utterance; features are not kept in memory.

    Parameters
    ----------
    folder : Path
        An empty folder (see `speech2vec.runtime.files.atomic_folder`).
    n_features : int

    Examples
    --------
    >>> with PreparedWriter(folder, n_features=34) as writer:  # doctest: +SKIP
    ...     writer.add(utterance, windows, duration=3.2, label="neu")
    ...     writer.finish({"kind": "table", "name": "mine", "labels": ["neu"]}, {})
    """

    def __init__(self, folder: Path, n_features: int) -> None:
        self.folder, self.n_features = Path(folder), n_features
        self.utterances: list[Utterance] = []
        self._rows: list[dict[str, Any]] = []
        self._n_windows = 0
        self._out: BinaryIO = (self.folder / FEATURES_FILE).open("wb")
        self._write_header()

    def __enter__(self) -> PreparedWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._out.close()

    def _write_header(self) -> None:
        # numpy pads the header so that the first axis can grow in place (numpy.lib.format, GROWTH_AXIS_MAX_DIGITS).
        self._out.seek(0)
        shape = (self._n_windows, self.n_features)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._out, header)

    def add(self, utterance: Utterance, windows: np.ndarray | None, duration: float | None, label: str) -> None:
        """Append one utterance.

        Parameters
        ----------
        utterance : Utterance
            Its extras hold ``label_full`` and, if the corpus defines them, ``session``, ``style``, ``dialogue`` and
            ``sex``.
        windows : ndarray [shape=(n_windows, n_features)] or None
            None for a text-only utterance.
        duration : float or None, seconds
        label : str
            The target class.
        """
        extras = {**utterance.extras, "label": label}
        n_windows = 0 if windows is None else len(windows)
        if windows is not None:
            self._out.write(np.ascontiguousarray(windows, dtype="<f4").tobytes())
        row = {name: extras.get(name) for name in ("label", "label_full", "session", "style", "dialogue")}
        self._rows.append(
            {
                "utterance_id": utterance.utterance_id,
                "first_window": self._n_windows,
                "n_windows": n_windows,
                "duration": duration,
                "speaker": utterance.speaker,
                "text": utterance.text,
                **row,
            }
        )
        self.utterances.append(replace(utterance, extras=extras))
        self._n_windows += n_windows

    def finish(self, meta: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
        """Write index, utterances, meta (with counts added) and report; return the meta."""
        self._write_header()
        self._out.close()
        table = pa.Table.from_pylist(self._rows, schema=INDEX_SCHEMA)
        pq.write_table(table, self.folder / INDEX_FILE, compression="zstd")
        write_utterances(self.folder / UTTERANCES_FILE, self.utterances)
        whole = {"format": FORMAT, **meta, "counts": count_rows(self._rows, meta["labels"])}
        write_json(self.folder / META_FILE, whole)
        write_json(self.folder / REPORT_FILE, report)
        return whole


def count_rows(rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> dict[str, Any]:
    """Count utterances, seconds and windows, and utterances by label, session and style."""
    sessions = sorted({row["session"] for row in rows if row["session"] is not None})
    by_session = {s: Counter(row["label"] for row in rows if row["session"] == s) for s in sessions}
    by_label = Counter(row["label"] for row in rows)
    by_style = Counter(row["style"] for row in rows if row["style"] is not None)
    return {
        "utterances": len(rows),
        "seconds": round(sum(row["duration"] or 0.0 for row in rows), 3),
        "windows": sum(row["n_windows"] for row in rows),
        "text_only": sum(row["n_windows"] == 0 for row in rows),
        "without_words": sum(not tokenize(row["text"]) for row in rows),
        "speakers": len({row["speaker"] for row in rows}),
        "by_label": {label: by_label[label] for label in labels},
        "by_session": {s: {label: by_session[s][label] for label in labels} for s in sessions},
        "by_style": dict(sorted(by_style.items())),
    }
