"""One part of an extraction: MFCC over its utterances, cut at the words; written whole or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from speech2vec import audio
from speech2vec.errors import UserError
from speech2vec.extraction_plan import Part
from speech2vec.files import atomic_path
from speech2vec.manifest import Utterance
from speech2vec.mfcc import MfccSettings, frame_span, mfcc
from speech2vec.ragged import rows_of_ranges
from speech2vec.store import STORE_SCHEMA, write_frames

# A word may end this much (seconds) after its audio: aligners round, and MP3 changes a file's length.
_OVERHANG = 0.1
# Samples lie in [-1, 1], in floating-point files about so; the power of these would leave float32.
_LOUDEST = 1e12


@dataclass(frozen=True)
class Cut:
    """The words of one utterance, cut out.

    Parameters
    ----------
    frames : ndarray [shape=(total_frames, n_mfcc)], float32
        Not normalised, one word after the other.
    n_frames : ndarray [shape=(n_words,)], int64
        0 for a word that lies outside its audio.
    seconds : float
        Length of the utterance.
    n_shortened : int
        Words that are longer than `max_frames`.
    """

    frames: np.ndarray
    n_frames: np.ndarray
    seconds: float
    n_shortened: int


@dataclass
class Extraction:
    """What became of an extraction (or of a shard of one)."""

    n_words: int = 0
    n_frames: int = 0
    seconds: float = 0.0
    short_words: int = 0
    shortened_words: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)


def part_file(parts: Path, number: int) -> Path:
    return parts / f"{number:06d}.parquet"


def extract_part(part: Part, settings: MfccSettings, parts: Path) -> int:
    """Write one part and return its number of utterances.

    It is ``NNNNNN.npy``, its frames as they come (not normalised), and then, which makes it whole,
    ``NNNNNN.parquet``: its words, with what failed in the metadata.
    """
    start, end = part.words["start"].to_numpy(), part.words["end"].to_numpy()
    n_frames = np.zeros(len(start), dtype=np.int64)
    frames: list[np.ndarray] = []
    failed: list[dict[str, str]] = []
    seconds, n_shortened = 0.0, 0
    ends = np.cumsum(part.n_words)
    for utterance, first, last in zip(part.utterances, ends - part.n_words, ends, strict=True):
        try:
            cut = cut_words(utterance, start[first:last], end[first:last], settings)
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
    short_words = int((end - start < settings.frame_shift - 1e-6)[used].sum())
    notes = {"seconds": seconds, "short_words": short_words, "shortened_words": n_shortened, "failed": failed}
    table = pa.table(columns).select(STORE_SCHEMA.names).cast(STORE_SCHEMA)
    file = part_file(parts, part.number)
    write_frames(file.with_suffix(".npy"), int(n_frames.sum()), settings.n_mfcc, frames)
    with atomic_path(file) as temporary:
        pq.write_table(table.replace_schema_metadata({"notes": json.dumps(notes)}), temporary, compression="zstd")
    return len(part.utterances)


def _failure(utterance: Utterance, reason: str, detail: str) -> dict[str, str]:
    return {"utterance_id": utterance.utterance_id, "reason": reason, "detail": detail}


def cut_words(utterance: Utterance, start: np.ndarray, end: np.ndarray, settings: MfccSettings) -> Cut:
    """Compute MFCC over an utterance, and cut its words out.

    Parameters
    ----------
    utterance : Utterance
    start, end : ndarray [shape=(n_words,)], seconds
        From the start of the audio file.
    settings : MfccSettings

    Raises
    ------
    AudioError
        If the audio cannot be read, or its samples are too large for features in float32.
    """
    samples = audio.load(utterance.audio, utterance.start, utterance.end, settings.sampling_rate, utterance.channel)
    peak = float(np.abs(samples).max())
    if peak > _LOUDEST:
        raise audio.AudioError(f"{utterance.audio}: samples too large to compute features (up to {peak:.1e}, not 1)")
    frames = mfcc(samples, settings)
    seconds = len(samples) / settings.sampling_rate
    offset = utterance.start or 0.0
    start, end = start - offset, end - offset
    inside = (start > -settings.frame_shift) & (start < seconds) & (end < seconds + _OVERHANG) & (end >= start)
    first, last = frame_span(start[inside], end[inside], settings)
    first = np.minimum(first, len(frames) - 1)
    whole = np.clip(last, first + 1, len(frames)) - first
    lengths = np.minimum(whole, settings.max_frames or len(frames))
    n_frames = np.zeros(len(start), dtype=np.int64)
    n_frames[inside] = lengths
    return Cut(frames[rows_of_ranges(first, lengths)], n_frames, seconds, int((lengths < whole).sum()))


def read_parts(files: list[Path]) -> tuple[Extraction, list[pa.Table]]:
    """What became of the parts together, and the words of each."""
    result, tables = Extraction(), []
    for file in files:
        try:
            table = pq.read_table(file)
            notes = json.loads(table.schema.metadata[b"notes"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise _damaged(file) from error
        tables.append(table.replace_schema_metadata())
        result.seconds += notes["seconds"]
        result.short_words += notes["short_words"]
        result.shortened_words += notes["shortened_words"]
        result.failed += notes["failed"]
        result.n_words += len(table)
        result.n_frames += int(table["n_frames"].to_numpy().sum())
    return result, tables


def read_frames(file: Path, words: pa.Table) -> np.ndarray:
    """The frames of a part [shape=(n_frames, n_mfcc)], float32, not normalised."""
    file = file.with_suffix(".npy")
    try:
        frames = np.load(file)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(file) from error
    if len(frames) != words["n_frames"].to_numpy().sum():
        raise _damaged(file)
    return frames


def _damaged(file: Path) -> UserError:
    return UserError(f"{file} is missing or damaged (copied in part?): copy it again, or extract again with --force")
