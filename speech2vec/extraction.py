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
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from speech2vec import audio
from speech2vec.config import fingerprint
from speech2vec.console import Tracker
from speech2vec.corpora import is_synthetic
from speech2vec.errors import UserError
from speech2vec.manifest import REPORT_FILE, WORDS_FILE, Utterance, read_utterances, read_words
from speech2vec.mfcc import MfccSettings, frame_span, mfcc
from speech2vec.runs import atomic_path, write_json
from speech2vec.store import STORE_SCHEMA, write_store

PARTS = "parts"
PLAN_FILE = "plan.json"
# Utterances to a part: some minutes of speech, a second of work.
_PART = 64


@dataclass(frozen=True)
class Part:
    """The utterances of one part, and their words (``words.parquet`` rows, in the same order)."""

    file: Path
    utterances: list[Utterance]
    words: list[pa.Table]
    settings: MfccSettings


@dataclass
class Extraction:
    """What became of an extraction (or of a shard of one)."""

    n_words: int = 0
    n_frames: int = 0
    seconds: float = 0.0
    short_words: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)
    finished: bool = False


def extract(
    aligned: Path,
    store: Path,
    settings: MfccSettings,
    jobs: int = 1,
    shard: tuple[int, int] | None = None,
    quiet: bool = False,
) -> Extraction:
    """Extract the features of an ALIGNED folder into a store; parts that are already there are kept.

    Parameters
    ----------
    aligned, store : Path
    settings : MfccSettings
    jobs : int
        Processes.
    shard : (K, N) or None
        Only the K-th of N interleaved shares of the parts, from 1; `merge` makes the store of all of them.
    quiet : bool

    Returns
    -------
    Extraction
        With every utterance of which nothing, or not all, could be used.
    """
    parts = list(_plan(aligned, store, settings))
    plan = {
        "fingerprint": fingerprint(settings),
        "settings": settings.model_dump(mode="json"),
        "aligned": hashlib.sha256((Path(aligned) / WORDS_FILE).read_bytes()).hexdigest(),
        "n_parts": len(parts),
        "shard": list(shard or (1, 1)),
        "synthetic": bool(parts) and is_synthetic(parts[0].utterances[0].audio),
    }
    _claim_plan(store / PARTS / PLAN_FILE, plan)
    k, n = shard or (1, 1)
    mine = parts[k - 1 :: n]
    left = [part for part in mine if not part.file.exists()]
    with Tracker("features", sum(len(p.utterances) for p in left), "utterances", quiet) as tracker:
        for done in _run(left, jobs):
            tracker.advance(done)
    files = [part.file for part in mine]
    if shard is not None:
        result, _ = _read_notes(files)
        return result
    return _finish(store, files, plan, store / PARTS)


def merge(shards: Sequence[Path], store: Path) -> Extraction:
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
        plans.append(json.loads(file.read_text(encoding="utf-8")))
    first = plans[0]
    for shard, plan in zip(shards, plans, strict=True):
        if any(plan[key] != first[key] for key in ("fingerprint", "aligned", "n_parts")) or plan["shard"][1] != len(
            shards
        ):
            raise UserError(
                f"{shard} (shard {plan['shard'][0]}/{plan['shard'][1]}) and {shards[0]} are not of one extraction "
                f"into {len(shards)} shards"
            )
    given = sorted(plan["shard"][0] for plan in plans)
    if given != list(range(1, len(shards) + 1)):
        raise UserError(f"shards {given} were given; each of 1..{len(shards)} is needed once")
    folder_of = {plan["shard"][0]: shard for shard, plan in zip(shards, plans, strict=True)}
    files = [
        folder_of[number % len(shards) + 1] / PARTS / f"{number:06d}.parquet" for number in range(first["n_parts"])
    ]
    missing = [str(file.parent.parent) for file in files if not file.exists()]
    if missing:
        raise UserError(f"{missing[0]} is not finished: run its 'speech2vec features ... --resume' to the end first")
    return _finish(store, files, first, None)


def _plan(aligned: Path, store: Path, settings: MfccSettings) -> Iterator[Part]:
    """Cut the aligned utterances into parts."""
    words = read_words(aligned)
    utterances = {utterance.utterance_id: utterance for utterance in read_utterances(aligned)}
    if not len(words):
        raise UserError(f"{aligned} holds no aligned words: its {REPORT_FILE} says why")
    ids = words["utterance_id"].to_numpy(zero_copy_only=False)
    begins = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    ends = np.append(begins[1:], len(ids))
    if len(set(ids[begins])) != len(begins):
        raise UserError(f"{aligned / WORDS_FILE}: the words of an utterance do not lie together")
    unknown = [name for name in ids[begins] if name not in utterances]
    if unknown:
        raise UserError(f"{aligned / WORDS_FILE} names utterances that utterances.jsonl lacks, '{unknown[0]}' for one")
    for number, chunk in enumerate(range(0, len(begins), _PART)):
        spans = list(zip(begins[chunk : chunk + _PART], ends[chunk : chunk + _PART], strict=True))
        yield Part(
            file=store / PARTS / f"{number:06d}.parquet",
            utterances=[utterances[ids[begin]] for begin, _ in spans],
            words=[words.slice(begin, end - begin) for begin, end in spans],
            settings=settings,
        )


def _claim_plan(file: Path, plan: dict[str, object]) -> None:
    if file.exists():
        if json.loads(file.read_text(encoding="utf-8")) != plan:
            raise UserError(
                f"{file.parent.parent} holds parts of another extraction (other settings, words or shard); "
                "--force starts anew"
            )
    else:
        write_json(file, plan)


def _run(parts: list[Part], jobs: int) -> Iterator[int]:
    """Extract parts; yields the number of utterances of each as it is done."""
    if jobs <= 1 or len(parts) <= 1:
        for part in parts:
            yield extract_part(part)
        return
    with ProcessPoolExecutor(min(jobs, len(parts))) as pool:
        for future in as_completed([pool.submit(extract_part, part) for part in parts]):
            yield future.result()


def extract_part(part: Part) -> int:
    """Write one part: ``NNNNNN.npy`` (raw frames), then ``NNNNNN.parquet`` (its words; failures in its metadata)."""
    result = Extraction()
    frames: list[np.ndarray] = [np.zeros((0, part.settings.n_mfcc), np.float32)]
    tables: list[pa.Table] = [STORE_SCHEMA.empty_table()]
    for utterance, words in zip(part.utterances, part.words, strict=True):
        try:
            table, cut = _cut(utterance, words, part.settings, result)
        except audio.AudioError as error:
            result.failed.append(_failure(utterance, "unreadable audio", str(error)))
            continue
        table = table.set_column(
            table.schema.get_field_index("first_frame"),
            "first_frame",
            pc.add(table["first_frame"], sum(len(block) for block in frames)),
        )
        frames.append(cut)
        tables.append(table)
    with atomic_path(part.file.with_suffix(".npy")) as temporary, temporary.open("wb") as out:
        np.save(out, np.concatenate(frames))
    notes = {"seconds": result.seconds, "short_words": result.short_words, "failed": result.failed}
    table = pa.concat_tables(tables).replace_schema_metadata({"notes": json.dumps(notes)})
    with atomic_path(part.file) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    return len(part.utterances)


def _failure(utterance: Utterance, reason: str, detail: str) -> dict[str, str]:
    return {"utterance_id": utterance.utterance_id, "reason": reason, "detail": detail}


def _cut(
    utterance: Utterance, words: pa.Table, settings: MfccSettings, result: Extraction
) -> tuple[pa.Table, np.ndarray]:
    """The rows of an utterance's words and their frames, one word after the other."""
    samples = audio.load(utterance.audio, utterance.start, utterance.end, settings.sampling_rate, utterance.channel)
    frames = mfcc(samples, settings)
    offset = utterance.start or 0.0
    start, end = words["start"].to_numpy() - offset, words["end"].to_numpy() - offset
    first, last = frame_span(start, end, settings)
    usable = (first < len(frames)) & (start > -settings.frame_shift) & (end >= start)
    if not np.isfinite(frames).all():
        usable[:] = False
    if not usable.all():
        outside = words["word"].filter(pa.array(~usable)).to_pylist()
        duration = len(samples) / settings.sampling_rate
        detail = f"{len(outside)} of {len(words)} words lie outside its {duration:.2f} s: {', '.join(outside[:5])}"
        result.failed.append(_failure(utterance, "words outside audio", detail))
        words = words.filter(pa.array(usable))
        first, last, start, end = first[usable], last[usable], start[usable], end[usable]
    n_frames = np.minimum(last, len(frames)) - first
    starts = np.cumsum(n_frames) - n_frames
    cut = frames[np.repeat(first - starts, n_frames) + np.arange(n_frames.sum())]
    result.seconds += len(samples) / settings.sampling_rate
    result.short_words += int((end - start < settings.frame_shift).sum())
    columns = {name: words[name] for name in ("utterance_id", "word", "start", "end", "score")}
    columns["speaker"] = pa.array([utterance.speaker] * len(words), pa.string())
    columns["first_frame"] = pa.array(starts, pa.int64())
    columns["n_frames"] = pa.array(n_frames, pa.int32())
    return pa.table(columns).select(STORE_SCHEMA.names).cast(STORE_SCHEMA), cut


def _read_notes(files: list[Path]) -> tuple[Extraction, list[pa.Table]]:
    result, tables = Extraction(), []
    for file in files:
        table = pq.read_table(file)
        notes = json.loads(table.schema.metadata[b"notes"])
        tables.append(table.replace_schema_metadata())
        result.seconds += notes["seconds"]
        result.short_words += notes["short_words"]
        result.failed += notes["failed"]
        result.n_words += len(table)
        result.n_frames += int(pc.sum(table["n_frames"]).as_py() or 0)
    return result, tables


def _finish(store: Path, files: list[Path], plan: dict[str, object], used_up: Path | None) -> Extraction:
    """Normalise the parts into a store; `used_up` (the parts' own folder) is removed once the store is whole."""
    result, tables = _read_notes(files)
    if not result.n_words:
        raise UserError(f"no word could be used: {result.failed[0]['detail'] if result.failed else 'no parts'}")
    settings = MfccSettings.model_validate(plan["settings"])
    groups, names = _groups(pa.concat_tables(tables).unify_dictionaries(), settings)
    if settings.normalise == "none":
        mean, deviation = np.zeros((1, settings.n_mfcc), np.float32), np.ones((1, settings.n_mfcc), np.float32)
    else:
        mean, deviation = _moments(files, tables, groups, len(names), settings.n_mfcc)
    offsets = np.cumsum([0, *(int(pc.sum(t["n_frames"]).as_py() or 0) for t in tables)])
    column = STORE_SCHEMA.get_field_index("first_frame")
    tables = [
        t.set_column(column, "first_frame", pc.add(t["first_frame"], int(offset)))
        for t, offset in zip(tables, offsets, strict=False)
    ]

    def blocks() -> Iterator[np.ndarray]:
        begin = 0
        for file, table in zip(files, tables, strict=True):
            group = np.repeat(groups[begin : begin + len(table)], table["n_frames"].to_numpy())
            yield (np.load(file.with_suffix(".npy")) - mean[group]) / deviation[group]
            begin += len(table)

    normalisation = {
        name: {"mean": m.tolist(), "deviation": d.tolist()} for name, m, d in zip(names, mean, deviation, strict=True)
    }
    write_store(
        store,
        pa.concat_tables(tables).unify_dictionaries(),
        blocks(),
        settings.n_mfcc,
        settings.model_dump(mode="json"),
        synthetic=plan["synthetic"],
        seconds_of_audio=result.seconds,
        short_words=result.short_words,
        failed=result.failed,
        # An utterance's moments are of no use to another recording; a speaker's are.
        normalisation=normalisation if settings.normalise in ("speaker", "corpus") else {},
    )
    if used_up is not None:
        shutil.rmtree(used_up)
    result.finished = True
    return result


def _groups(words: pa.Table, settings: MfccSettings) -> tuple[np.ndarray, list[str]]:
    """The normalisation group of each word [shape=(n_words,)], and the groups' names."""
    if settings.normalise in ("corpus", "none"):
        return np.zeros(len(words), dtype=np.int32), ["corpus"]
    column = words["speaker" if settings.normalise == "speaker" else "utterance_id"].combine_chunks()
    return column.indices.to_numpy(), column.dictionary.to_pylist()


def _moments(
    files: list[Path], tables: list[pa.Table], groups: np.ndarray, n_groups: int, n_mfcc: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each group's frames, [shape=(n_groups, n_mfcc)] float32, summed in float64."""
    count = np.zeros(n_groups)
    total, squares = np.zeros((n_groups, n_mfcc)), np.zeros((n_groups, n_mfcc))
    begin = 0
    for file, table in zip(files, tables, strict=True):
        if not len(table):
            continue
        frames = np.load(file.with_suffix(".npy")).astype(np.float64)
        group = groups[begin : begin + len(table)]
        begin += len(table)
        first = table["first_frame"].to_numpy()
        np.add.at(count, group, table["n_frames"].to_numpy())
        np.add.at(total, group, np.add.reduceat(frames, first))
        np.add.at(squares, group, np.add.reduceat(frames**2, first))
    mean = total / np.maximum(count, 1)[:, None]
    variance = squares / np.maximum(count, 1)[:, None] - mean**2
    # A coefficient that never varies stays zero instead of exploding.
    deviation = np.sqrt(np.where(variance > 1e-8, variance, 1.0))
    return mean.astype(np.float32), deviation.astype(np.float32)
