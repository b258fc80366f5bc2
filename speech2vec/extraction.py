"""From an ALIGNED folder to a store: MFCC over whole utterances, cut at the words, normalised, in several processes.

The work is cut into parts of some utterances. A worker writes each part whole or not at all, so an interrupted
extraction goes on where it stopped, and the parts that several machines made (``--shard K/N``) are joined by `merge`.
Normalisation needs all words of a speaker, so it comes last, when the parts are copied into the store.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from speech2vec import audio
from speech2vec.config import fingerprint, validate_settings
from speech2vec.console import Tracker, claim_output
from speech2vec.corpora import is_synthetic
from speech2vec.errors import UserError
from speech2vec.manifest import REPORT_FILE, UTTERANCES_FILE, WORDS_FILE, Utterance, read_utterances, read_words
from speech2vec.mfcc import MfccSettings, frame_span, mfcc
from speech2vec.processes import in_processes
from speech2vec.runs import atomic_path, read_json, write_json
from speech2vec.store import META_FILE, STORE_SCHEMA, read_meta, write_store

PARTS = "parts"
PLAN_FILE = "plan.json"
# Utterances to a part: some minutes of speech, a second of work.
_PART = 64
# A word may end this much (seconds) after its audio: aligners round, and MP3 changes a file's length.
_OVERHANG = 0.1
# Samples lie in [-1, 1], in floating-point files about so; the power of these would leave float32.
_LOUDEST = 1e12


@dataclass(frozen=True)
class Part:
    """The utterances of one part, and their words.

    Parameters
    ----------
    number : int
    utterances : list of Utterance
    words : pyarrow.Table
        Rows of ``words.parquet``, those of one utterance after those of the other.
    n_words : list of int
        Of each utterance.
    """

    number: int
    utterances: list[Utterance]
    words: pa.Table
    n_words: list[int]


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
    """

    frames: np.ndarray
    n_frames: np.ndarray
    seconds: float


@dataclass
class Extraction:
    """What became of an extraction (or of a shard of one)."""

    n_words: int = 0
    n_frames: int = 0
    seconds: float = 0.0
    short_words: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)


class Plan:
    """What is to be extracted, cut into parts.

    Parameters
    ----------
    aligned : Path

    Raises
    ------
    UserError
        If the folder holds no words, or words that do not fit its utterances.
    """

    def __init__(self, aligned: Path) -> None:
        self._words = read_words(aligned)
        if not len(self._words):
            raise UserError(f"{aligned} holds no aligned words: its {REPORT_FILE} says why")
        utterances = {utterance.utterance_id: utterance for utterance in read_utterances(aligned)}
        ids = self._words["utterance_id"].combine_chunks().dictionary_encode()
        index = ids.indices.to_numpy()
        changes = np.flatnonzero(index[1:] != index[:-1]) + 1
        self._begins = np.concatenate([[0], changes, [len(index)]])
        names = ids.dictionary.to_pylist()
        if len(names) != len(self._begins) - 1:
            raise UserError(f"{aligned / WORDS_FILE}: the words of an utterance do not lie together")
        unknown = [name for name in names if name not in utterances]
        if unknown:
            raise UserError(
                f"{aligned / WORDS_FILE} names utterances that {UTTERANCES_FILE} lacks, '{unknown[0]}' for one"
            )
        start = self._words["start"].to_numpy()
        backwards = (start[1:] < start[:-1]) & (index[1:] == index[:-1])
        if backwards.any():
            name = names[index[int(backwards.argmax())]]
            raise UserError(f"{aligned / WORDS_FILE}: the words of utterance '{name}' are not in order of time")
        self._utterances = [utterances[name] for name in names]
        self.synthetic = any(is_synthetic(folder / "any") for folder in {u.audio.parent for u in self._utterances})
        self.hash = hashlib.sha256()
        for name in (WORDS_FILE, UTTERANCES_FILE):
            with (aligned / name).open("rb") as file:
                while block := file.read(2**20):
                    self.hash.update(block)

    def __len__(self) -> int:
        """The number of parts."""
        return -(-len(self._utterances) // _PART)

    def n_utterances(self, number: int) -> int:
        return len(self._utterances[number * _PART : (number + 1) * _PART])

    def part(self, number: int) -> Part:
        utterances = self._utterances[number * _PART : (number + 1) * _PART]
        begins = self._begins[number * _PART : number * _PART + len(utterances) + 1]
        # `take` copies: a slice would carry the whole table along to another process.
        words = self._words.take(np.arange(begins[0], begins[-1]))
        return Part(number, utterances, words, np.diff(begins).tolist())

    def describe(self, settings: MfccSettings, shard: tuple[int, int]) -> dict[str, Any]:
        """What the parts in a folder are of; those of other settings, words or shard do not belong with them."""
        return {
            "fingerprint": fingerprint(settings),
            "settings": settings.model_dump(mode="json"),
            "aligned": self.hash.hexdigest(),
            "n_parts": len(self),
            "shard": list(shard),
            "synthetic": self.synthetic,
        }


def extract(
    aligned: Path,
    store: Path,
    settings: MfccSettings,
    jobs: int = 1,
    shard: tuple[int, int] | None = None,
    quiet: bool = False,
    force: bool = False,
    resume: bool = False,
) -> Extraction:
    """Extract the features of an ALIGNED folder into a store.

    Parameters
    ----------
    aligned, store : Path
    settings : MfccSettings
    jobs : int
        Processes.
    shard : (K, N) or None
        Only the K-th of N interleaved shares of the parts, from 1; `merge` makes the store of all of them.
    quiet : bool
    force, resume : bool
        What becomes of what is already there: it goes, or its parts are kept and the others added.

    Returns
    -------
    Extraction
        With every utterance of which nothing, or not all, could be used.

    Raises
    ------
    UserError
        Before anything is written or removed, if the input cannot be used; also if no word of it could be.
    """
    plan = Plan(aligned)
    described = plan.describe(settings, shard or (1, 1))
    claim_output(store, force, resume, inputs=[aligned])
    if resume and (whole := _resumed(store, described, shard)):
        return whole
    parts = store / PARTS
    if not (parts / PLAN_FILE).exists():
        write_json(parts / PLAN_FILE, described)
    k, n = shard or (1, 1)
    numbers = range(k - 1, len(plan), n)
    left = [number for number in numbers if not _part_file(parts, number).exists()]
    with Tracker("features", sum(map(plan.n_utterances, left)), "utterances", quiet) as tracker:
        work = partial(extract_part, settings=settings, parts=parts)
        for done in in_processes(work, map(plan.part, left), min(jobs, len(left))):
            tracker.advance(done)
    files = [_part_file(parts, number) for number in numbers]
    if shard is not None:
        return _read_parts(files)[0]
    result = _finish(store, files, described)
    shutil.rmtree(parts)
    return result


def merge(shards: Sequence[Path], store: Path, force: bool = False) -> Extraction:
    """Join the shards of one extraction into a store.

    Raises
    ------
    UserError
        If a folder is no shard, a shard is missing or doubled, or they are of different extractions.
    """
    plans = []
    for shard in shards:
        file = shard / PARTS / PLAN_FILE
        if not file.exists():
            raise UserError(
                f"{shard} is no shard of a feature extraction ('speech2vec features --shard K/N' makes one)"
            )
        plans.append(_read_plan(file))
    first = plans[0]
    for shard, plan in zip(shards, plans, strict=True):
        if any(plan[key] != first[key] for key in ("fingerprint", "aligned", "n_parts")):
            raise UserError(f"{shard} and {shards[0]} are not shards of one extraction (other settings or words)")
        if plan["shard"][1] != len(shards):
            raise UserError(
                f"{shard} is shard {plan['shard'][0]} of {plan['shard'][1]}, but {len(shards)} folder(s) were given"
            )
    given = sorted(plan["shard"][0] for plan in plans)
    if given != list(range(1, len(shards) + 1)):
        raise UserError(f"shards {given} were given; each of 1..{len(shards)} is needed once")
    folder_of = {plan["shard"][0]: shard for shard, plan in zip(shards, plans, strict=True)}
    files = [_part_file(folder_of[i % len(shards) + 1] / PARTS, i) for i in range(first["n_parts"])]
    for file in files:
        if not file.exists():
            raise UserError(
                f"{file.parent.parent} is not finished: run its 'speech2vec features ... --resume' to the end first"
            )
    claim_output(store, force, inputs=shards)
    return _finish(store, files, first)


def _part_file(parts: Path, number: int) -> Path:
    return parts / f"{number:06d}.parquet"


def _read_plan(file: Path) -> dict[str, Any]:
    plan = read_json(file)
    if not isinstance(plan, dict) or not {"fingerprint", "settings", "aligned", "n_parts", "shard"} <= plan.keys():
        raise UserError(f"{file} is not the plan of a feature extraction")
    return plan


def _resumed(store: Path, described: dict[str, Any], shard: tuple[int, int] | None) -> Extraction | None:
    """What is at `store` already: all of it, or a part that can be gone on with (None), or else an error."""
    plan = store / PARTS / PLAN_FILE
    if plan.exists():
        if _read_plan(plan) != described:
            raise UserError(
                f"{store} holds parts of another extraction (other settings, words or shard); --force starts anew"
            )
        # What a killed run was writing; its processes ended with it.
        for half in (*store.glob(".*.tmp"), *plan.parent.glob(".*.tmp")):
            half.unlink()
        return None
    if (store / META_FILE).exists():
        meta = read_meta(store)
        if shard is not None or any(meta.get(key) != described[key] for key in ("fingerprint", "aligned")):
            raise UserError(f"{store} is a store made with other settings or words; --force starts anew")
        return Extraction(
            meta["n_words"], meta["n_frames"], meta["seconds_of_audio"], meta["short_words"], meta["failed"]
        )
    if store.exists() and any(entry.name != PARTS for entry in store.iterdir()):
        raise UserError(f"{store} holds no extraction to resume; --force replaces what is there")
    return None


def extract_part(part: Part, settings: MfccSettings, parts: Path) -> int:
    """Write one part and return its number of utterances.

    It is ``NNNNNN.npy``, its frames as they come (not normalised), and then, which makes it whole,
    ``NNNNNN.parquet``: its words, with what failed in the metadata.
    """
    start, end = part.words["start"].to_numpy(), part.words["end"].to_numpy()
    n_frames = np.zeros(len(start), dtype=np.int64)
    frames: list[np.ndarray] = [np.zeros((0, settings.n_mfcc), np.float32)]
    failed: list[dict[str, str]] = []
    seconds = 0.0
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
    short_words = int((end - start < settings.frame_shift)[used].sum())
    notes = {"seconds": seconds, "short_words": short_words, "failed": failed}
    table = pa.table(columns).select(STORE_SCHEMA.names).cast(STORE_SCHEMA)
    file = _part_file(parts, part.number)
    with atomic_path(file.with_suffix(".npy")) as temporary, temporary.open("wb") as out:
        np.save(out, np.concatenate(frames))
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
    lengths = np.clip(last, first + 1, len(frames)) - first
    n_frames = np.zeros(len(start), dtype=np.int64)
    n_frames[inside] = lengths
    rows = np.repeat(first - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
    return Cut(frames[rows], n_frames, seconds)


def _read_parts(files: list[Path]) -> tuple[Extraction, list[pa.Table]]:
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
        result.failed += notes["failed"]
        result.n_words += len(table)
        result.n_frames += int(table["n_frames"].to_numpy().sum())
    return result, tables


def _read_frames(file: Path, words: pa.Table) -> np.ndarray:
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


def _finish(store: Path, files: list[Path], plan: dict[str, Any]) -> Extraction:
    """Normalise the parts into a store."""
    result, tables = _read_parts(files)
    if not result.n_words:
        raise UserError(f"no word could be used: {result.failed[0]['detail'] if result.failed else 'no parts'}")
    settings = validate_settings(MfccSettings, plan["settings"])
    words = pa.concat_tables(tables).unify_dictionaries()
    n_frames = words["n_frames"].to_numpy().astype(np.int64)
    column = words.schema.get_field_index("first_frame")
    words = words.set_column(column, "first_frame", pa.array(np.cumsum(n_frames) - n_frames))
    groups, names = _groups(words, settings)
    ends = np.cumsum([len(table) for table in tables])
    groups_of = np.split(groups, ends[:-1])
    if settings.normalise == "none":
        mean, deviation = np.zeros((1, settings.n_mfcc), np.float32), np.ones((1, settings.n_mfcc), np.float32)
    else:
        mean, deviation = _moments(files, tables, groups_of, len(names), settings.n_mfcc)

    def blocks() -> Iterator[np.ndarray]:
        for file, table, group in zip(files, tables, groups_of, strict=True):
            group_of_frame = np.repeat(group, table["n_frames"].to_numpy())
            frames = _read_frames(file, table)
            frames -= mean[group_of_frame]
            frames /= deviation[group_of_frame]
            yield frames

    # An utterance's moments are of no use to another recording; a speaker's are.
    kept = zip(names, mean, deviation, strict=True) if settings.normalise in ("speaker", "corpus") else ()
    write_store(
        store,
        words,
        blocks(),
        settings.n_mfcc,
        plan["settings"],
        aligned=plan["aligned"],
        synthetic=plan["synthetic"],
        normalisation={name: {"mean": m.tolist(), "deviation": d.tolist()} for name, m, d in kept},
        seconds_of_audio=result.seconds,
        short_words=result.short_words,
        failed=result.failed,
    )
    return result


def _groups(words: pa.Table, settings: MfccSettings) -> tuple[np.ndarray, list[str]]:
    """The normalisation group of each word [shape=(n_words,)], and the groups' names."""
    if settings.normalise in ("corpus", "none"):
        return np.zeros(len(words), dtype=np.int32), ["corpus"]
    column = words["speaker" if settings.normalise == "speaker" else "utterance_id"].combine_chunks()
    return column.indices.to_numpy(), column.dictionary.to_pylist()


def _moments(
    files: list[Path], tables: list[pa.Table], groups_of: list[np.ndarray], n_groups: int, n_mfcc: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each group's frames, [shape=(n_groups, n_mfcc)] float32, summed in float64."""
    count = np.zeros((n_groups, 1))
    total, squares = np.zeros((n_groups, n_mfcc)), np.zeros((n_groups, n_mfcc))
    for file, table, group in zip(files, tables, groups_of, strict=True):
        if not len(table):
            continue
        frames = _read_frames(file, table).astype(np.float64)
        # Words of one group lie together, so that sums over runs of them are few.
        runs = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
        first = table["first_frame"].to_numpy()[runs]
        np.add.at(count, group[runs], np.diff(np.append(first, len(frames)))[:, None])
        np.add.at(total, group[runs], np.add.reduceat(frames, first))
        np.add.at(squares, group[runs], np.add.reduceat(frames**2, first))
    mean = total / np.maximum(count, 1)
    variance = squares / np.maximum(count, 1) - mean**2
    # A coefficient that never varies stays zero instead of exploding.
    deviation = np.sqrt(np.where(variance > 1e-8, variance, 1.0))
    return mean.astype(np.float32), deviation.astype(np.float32)
