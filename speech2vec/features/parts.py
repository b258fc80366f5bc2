"""The parts of a feature extraction: planned from an ALIGNED folder, computed one by one, read back together.

A part is some utterances with their words. Processes and machines share the parts; each is written completely or not at
all. `extract_part` computes the frames of whole utterances and cuts the words out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field, FiniteFloat

from speech2vec.corpus import audio
from speech2vec.corpus.manifest import REPORT_FILE, UTTERANCES_FILE, WORDS_FILE, Utterance, read_utterances, read_words
from speech2vec.corpus.readers import is_synthetic
from speech2vec.features.frontend import FeatureSettings, FrontEnd
from speech2vec.features.mfcc import frame_span
from speech2vec.features.rows import rows_of_ranges
from speech2vec.features.store import FRAME_TYPES, READ_SCHEMA, STORE_SCHEMA, write_frames
from speech2vec.runtime.config import fingerprint
from speech2vec.runtime.display import Displayed, Table
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path, is_utf8, read_json_as
from speech2vec.runtime.guarded import parsing, read_array, read_parquet
from speech2vec.runtime.seeds import PROJECTION, generator

PLAN_FILE = "plan.json"
UTTERANCES_PER_PART = 64  # some minutes of speech, about a second of work

# Seconds by which a word may end after its audio: aligners round, and MP3 changes the length of a file.
_OVERHANG = 0.1
_REMEDY = "copy it again, or extract again with --force"
# Samples lie in [-1, 1], in floating-point files roughly so; the power of larger ones would overflow float32.
_MAX_SAMPLE = 1e12


@dataclass(frozen=True)
class Part:
    """The utterances of one part, with their words.

    Parameters
    ----------
    number : int
        Counted from 0.
    utterances : list of Utterance
    words : pyarrow.Table
        Rows of ``words.parquet``, grouped by utterance.
    n_words : list of int
        Number of words of each utterance.
    """

    number: int
    utterances: list[Utterance]
    words: pa.Table
    n_words: list[int]


class Plan:
    """The division of an ALIGNED folder into parts.

    Parameters
    ----------
    aligned : Path

    Raises
    ------
    UserError
        If the folder contains no words, or words that do not match its utterances.
    """

    def __init__(self, aligned: Path) -> None:
        self.folder = aligned
        self._words = read_words(aligned)
        if not len(self._words):
            raise UserError(f"{aligned} contains no aligned words: see its {REPORT_FILE} for the reasons")
        utterances = {utterance.utterance_id: utterance for utterance in read_utterances(aligned)}
        ids = self._words["utterance_id"].combine_chunks().dictionary_encode()
        index = ids.indices.to_numpy()
        changes = np.flatnonzero(index[1:] != index[:-1]) + 1
        self._offsets = np.concatenate([[0], changes, [len(index)]])
        names = ids.dictionary.to_pylist()
        if len(names) != len(self._offsets) - 1:
            raise UserError(f"{aligned / WORDS_FILE}: the words of an utterance are not contiguous")
        unknown = [name for name in names if name not in utterances]
        if unknown:
            raise UserError(
                f"{aligned / WORDS_FILE} has words of utterances that {UTTERANCES_FILE} lacks, such as '{unknown[0]}'"
            )
        start = self._words["start"].to_numpy()
        backwards = (start[1:] < start[:-1]) & (index[1:] == index[:-1])
        if backwards.any():
            name = names[index[int(backwards.argmax())]]
            raise UserError(f"{aligned / WORDS_FILE}: the words of utterance '{name}' are not in time order")
        self._utterances = [utterances[name] for name in names]
        self.synthetic = any(is_synthetic(folder) for folder in {u.audio.parent for u in self._utterances})
        self.hash = hashlib.sha256()
        for name in (WORDS_FILE, UTTERANCES_FILE):
            with (aligned / name).open("rb") as file:
                while block := file.read(2**20):
                    self.hash.update(block)

    def __len__(self) -> int:
        """The number of parts."""
        return -(-len(self._utterances) // UTTERANCES_PER_PART)

    def n_utterances(self, number: int) -> int:
        return len(self._utterances[number * UTTERANCES_PER_PART : (number + 1) * UTTERANCES_PER_PART])

    def part(self, number: int) -> Part:
        utterances = self._utterances[number * UTTERANCES_PER_PART : (number + 1) * UTTERANCES_PER_PART]
        offsets = self._offsets[number * UTTERANCES_PER_PART : number * UTTERANCES_PER_PART + len(utterances) + 1]
        # `take` copies; pickling a slice would send the whole table to the other process.
        words = self._words.take(np.arange(offsets[0], offsets[-1]))
        return Part(number, utterances, words, np.diff(offsets).tolist())

    def sample(self, n_utterances: int) -> Part:
        """Some utterances, always the same of the same folder."""
        chosen = np.sort(generator(0, PROJECTION).permutation(len(self._utterances))[:n_utterances])
        first, n_words = self._offsets[chosen], np.diff(self._offsets)[chosen]
        words = self._words.take(rows_of_ranges(first, n_words))
        return Part(0, [self._utterances[i] for i in chosen], words, n_words.tolist())

    def describe(self, settings: FeatureSettings, shard: tuple[int, int]) -> dict[str, Any]:
        """The contents of plan.json: only parts of equal settings, words and shard belong together.

        Where the words lie is noted too, for whoever wants to listen to them.
        """
        return {
            "fingerprint": fingerprint(settings),
            "settings": settings.model_dump(mode="json"),
            "aligned": self.hash.hexdigest(),
            "aligned_folder": folder if is_utf8(folder := str(self.folder.resolve())) else "",
            "n_parts": len(self),
            "shard": list(shard),
            "synthetic": self.synthetic,
        }


class _PlanFile(BaseModel):
    fingerprint: str
    settings: dict[str, Any]
    aligned: str
    aligned_folder: str = ""
    n_parts: int = Field(ge=0)
    shard: tuple[int, int] | list[int] = Field(min_length=2, max_length=2)
    synthetic: bool = False


class _Notes(BaseModel):
    """What a part's Parquet file tells in its metadata beside its words."""

    seconds: FiniteFloat
    short_words: int
    shortened_words: int
    failed: list[dict[str, str]]


def read_plan(file: Path) -> dict[str, Any]:
    """Read a plan.json, which `Plan.describe` made when the extraction was started."""
    plan: dict[str, Any] = read_json_as(file, _PlanFile, "the plan of a feature extraction")
    return plan


@dataclass
class Extraction(Displayed):
    """Result of an extraction (or of one shard of it): counts, and the utterances that failed or lost words."""

    n_words: int = 0
    n_frames: int = 0
    seconds: float = 0.0
    short_words: int = 0
    shortened_words: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The counts and failures, for JSON."""
        return asdict(self)

    def display_parts(self) -> list[str | Table]:
        """The counts, then a line for each failure."""
        text = (
            f"{self.n_words:,} words, {self.n_frames:,} frames of {self.seconds / 3600:.2f} h of audio; "
            f"{self.short_words} words shorter than a frame"
        )
        if self.shortened_words:
            text += f"\n  {self.shortened_words:,} words are longer than max_frames and were cut"
        for failure in self.failed:
            text += f"\n  not (wholly) used: {failure['utterance_id']}: {failure['reason']} ({failure['detail']})"
        return [text]


def part_file(parts: Path, number: int) -> Path:
    return parts / f"{number:06d}.parquet"


def extract_part(part: Part, front_end: FrontEnd, parts: Path) -> int:
    """Compute and write one part; returns its number of utterances.

    The frames, not normalised, go to ``NNNNNN.npy``. The words, with the failures in the metadata, go to
    ``NNNNNN.parquet``, which is written last and marks the part as complete.
    """
    start, end = part.words["start"].to_numpy(), part.words["end"].to_numpy()
    n_frames = np.zeros(len(start), dtype=np.int64)
    frames: list[np.ndarray] = []
    failed: list[dict[str, str]] = []
    seconds, n_shortened = 0.0, 0
    ends = np.cumsum(part.n_words)
    for utterance, first, last in zip(part.utterances, ends - part.n_words, ends, strict=True):
        try:
            cut = cut_words(utterance, start[first:last], end[first:last], front_end)
        except audio.AudioError as error:
            failed.append(_failure(utterance, "unreadable audio", str(error)))
            continue
        frames.append(cut.frames)
        n_frames[first:last] = cut.n_frames
        seconds += cut.seconds
        n_shortened += cut.n_shortened
        outside = np.flatnonzero(cut.n_frames == 0)
        if len(outside):
            words = part.words["word"].slice(first, last - first).take(outside).to_pylist()
            failed.append(
                _failure(
                    utterance,
                    "words outside audio",
                    f"{len(words)} of {last - first} words lie outside its {cut.seconds:.2f} s "
                    f"or end before they start: {', '.join(words[:5])}",
                )
            )
    used = np.flatnonzero(n_frames)
    columns = {name: part.words[name].take(used) for name in part.words.column_names}
    speakers = np.repeat(np.array([utterance.speaker for utterance in part.utterances], object), part.n_words)
    columns["speaker"] = pa.array(speakers[used], pa.string())
    columns["first_frame"] = pa.array((np.cumsum(n_frames) - n_frames)[used])
    columns["n_frames"] = pa.array(n_frames[used])
    short_words = int((end - start < front_end.settings.frame_shift - 1e-6)[used].sum())
    notes = {"seconds": seconds, "short_words": short_words, "shortened_words": n_shortened, "failed": failed}
    table = pa.table(columns).select(STORE_SCHEMA.names).cast(STORE_SCHEMA)
    file = part_file(parts, part.number)
    write_frames(file.with_suffix(".npy"), int(n_frames.sum()), front_end.n_features, frames, front_end.dtype)
    with atomic_path(file) as temporary:
        pq.write_table(table.replace_schema_metadata({"notes": json.dumps(notes)}), temporary, compression="zstd")
    return len(part.utterances)


def _failure(utterance: Utterance, reason: str, detail: str) -> dict[str, str]:
    return {"utterance_id": utterance.utterance_id, "reason": reason, "detail": detail}


@dataclass(frozen=True)
class Cut:
    """The frames of the words of one utterance.

    Parameters
    ----------
    frames : ndarray [shape=(total_frames, n_features)], float32
        Not normalised, word after word.
    n_frames : ndarray [shape=(n_words,)], int64
        0 for a word outside the audio.
    seconds : float
        Duration of the utterance.
    n_shortened : int
        Number of words longer than `max_frames`.
    """

    frames: np.ndarray
    n_frames: np.ndarray
    seconds: float
    n_shortened: int


def cut_words(utterance: Utterance, start: np.ndarray, end: np.ndarray, front_end: FrontEnd) -> Cut:
    """Compute the frames of a whole utterance and cut its words out.

    Parameters
    ----------
    utterance : Utterance
    start, end : ndarray [shape=(n_words,)], seconds
        From the start of the audio file.
    front_end : FrontEnd

    Raises
    ------
    AudioError
        If the audio cannot be read, or its samples are too large for float32 features.
    """
    rate = front_end.settings.sampling_rate
    samples = audio.load(utterance.audio, utterance.start, utterance.end, rate, utterance.channel)
    peak = float(np.abs(samples).max())
    if peak > _MAX_SAMPLE:
        raise audio.AudioError(f"{utterance.audio}: its samples are too large (up to {peak:.1e}; the range is -1 to 1)")
    offset = utterance.start or 0.0
    return cut_samples(samples, start - offset, end - offset, front_end)


def cut_samples(samples: np.ndarray, start: np.ndarray, end: np.ndarray, front_end: FrontEnd) -> Cut:
    """As `cut_words`, for samples [shape=(n_samples,)] at ``settings.sampling_rate``; times from the first sample."""
    frames, settings = front_end.frames(samples), front_end.settings
    seconds = len(samples) / settings.sampling_rate
    inside = (start > -settings.frame_shift) & (start < seconds) & (end < seconds + _OVERHANG) & (end >= start)
    centre = front_end.first_centre
    first, last = frame_span(start[inside] - centre, end[inside] - centre, settings.frame_shift)
    first = np.minimum(first, len(frames) - 1)
    full = np.clip(last, first + 1, len(frames)) - first
    lengths = np.minimum(full, settings.max_frames or len(frames))
    n_frames = np.zeros(len(start), dtype=np.int64)
    n_frames[inside] = lengths
    return Cut(frames[rows_of_ranges(first, lengths)], n_frames, seconds, int((lengths < full).sum()))


def read_parts(files: list[Path]) -> tuple[Extraction, list[pa.Table]]:
    """The combined result of the parts, and the words of each."""
    result, tables = Extraction(), []
    for file in files:
        table = read_parquet(file, READ_SCHEMA, _REMEDY)
        with parsing(file, "a part of a feature extraction", _REMEDY):
            notes = _Notes.model_validate_json((table.schema.metadata or {})[b"notes"])
        n_frames = table["n_frames"].to_numpy().astype(np.int64)
        if n_frames.min(initial=1) < 1 or (table["first_frame"].to_numpy() != np.cumsum(n_frames) - n_frames).any():
            raise UserError(f"{file} has words whose frames are not one after the other: {_REMEDY}")
        tables.append(table.cast(STORE_SCHEMA).replace_schema_metadata())
        result.seconds += notes.seconds
        result.short_words += notes.short_words
        result.shortened_words += notes.shortened_words
        result.failed += notes.failed
        result.n_words += len(table)
        result.n_frames += int(table["n_frames"].to_numpy().sum())
    return result, tables


def read_frames(file: Path, words: pa.Table) -> np.ndarray:
    """The frames of a part [shape=(n_frames, n_features)], float32, not normalised; `file` is its words' file."""
    file = file.with_suffix(".npy")
    n_frames = int(words["n_frames"].to_numpy().sum())
    # A copy in memory, which may be changed.
    frames = np.array(read_array(file, FRAME_TYPES, (n_frames, None), _REMEDY), dtype=np.float32)
    if not np.isfinite(frames).all():
        raise UserError(f"{file} holds NaN or infinity: {_REMEDY}")
    return frames
