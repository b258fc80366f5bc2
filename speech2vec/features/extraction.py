"""From an ALIGNED folder to a feature store, in several processes or on several machines.

The work is divided into parts (`features.parts`), each written completely or not at all, so that an interrupted
extraction continues where it stopped. `merge` joins the parts from several machines (``--shard K/N``). Normalisation
needs all words of a speaker, so it comes last, when the parts are copied into the store.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from speech2vec.corpus.audio import AudioError
from speech2vec.corpus.manifest import WORDS_FILE
from speech2vec.features.frontend import PROJECTION_FILE, FeatureSettings, FrontEnd, Projection, feature_settings
from speech2vec.features.mfcc import MfccSettings
from speech2vec.features.normalisation import moments_of_parts, normalisation_groups
from speech2vec.features.parts import (
    PLAN_FILE,
    Extraction,
    Plan,
    cut_words,
    extract_part,
    part_file,
    read_frames,
    read_parts,
    read_plan,
)
from speech2vec.features.store import FRAMES_FILE, META_FILE, read_meta, write_store
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import only_writer, remove_partial, write_json
from speech2vec.runtime.output import FolderContents, claim_output
from speech2vec.runtime.processes import in_processes
from speech2vec.runtime.progress import Tracker

PARTS = "parts"
_UTTERANCES_OF_PROJECTION = 200  # some 40 minutes of speech
_STORE_CONTENTS = FolderContents(
    marks=(META_FILE, PARTS),
    others=(
        *(FRAMES_FILE, WORDS_FILE, PROJECTION_FILE),
        *(f"{PARTS}/{name}" for name in (PLAN_FILE, PROJECTION_FILE, "[0-9]*.npy", "[0-9]*.parquet")),
    ),
)


def extract(
    aligned: Path,
    store: Path,
    features: FeatureSettings | FrontEnd,
    *,
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
    features : MfccSettings, PretrainedSettings or FrontEnd
        The front end of a store extracts the same features from other words.
    jobs : int
        Number of processes.
    shard : (K, N) or None
        Compute only every N-th part, starting with the K-th (from 1); `merge` builds the store from all shards.
    quiet : bool
    force, resume : bool
        Replace an existing store, or keep its parts and add the missing ones.

    Returns
    -------
    Extraction
        Including every utterance that could not be used, or only in part.

    Raises
    ------
    UserError
        If the input is invalid (before anything is written or removed), or none of its words could be used.
    """
    k, n = shard or (1, 1)
    if not 1 <= k <= n:
        raise UserError(f"a shard is (K, N) with K from 1 to N, not ({k}, {n})")
    front_end = features if isinstance(features, FrontEnd) else FrontEnd.of(features)
    plan = Plan(aligned)
    plan_json = plan.describe(front_end.settings, shard or (1, 1))
    with only_writer(store):
        claim_output(store, force=force, resume=resume, inputs=[aligned], folder=_STORE_CONTENTS)
        if resume and (finished := _resume(store, plan_json, shard)):
            return finished
        return _extract(plan, plan_json, store, front_end, jobs, shard, quiet)


def _extract(
    plan: Plan,
    plan_json: dict[str, Any],
    store: Path,
    front_end: FrontEnd,
    jobs: int,
    shard: tuple[int, int] | None,
    quiet: bool,
) -> Extraction:
    """Compute the missing parts, then build the store from all parts."""
    parts = store / PARTS
    if not (parts / PLAN_FILE).exists():
        write_json(parts / PLAN_FILE, plan_json)
    front_end = _with_projection(front_end, plan, parts)
    k, n = shard or (1, 1)
    numbers = range(k - 1, len(plan), n)
    missing = [number for number in numbers if not part_file(parts, number).exists()]
    with Tracker("features", sum(map(plan.n_utterances, missing)), "utterances", quiet) as tracker:
        work = partial(extract_part, front_end=front_end, parts=parts)
        for done in in_processes(work, map(plan.part, missing), min(jobs, len(missing))):
            tracker.advance(done)
    files = [part_file(parts, number) for number in numbers]
    if shard is not None:
        return read_parts(files)[0]
    result = _finish(store, files, _read_usable(files), plan_json, front_end)
    (parts / PLAN_FILE).unlink()  # first: with a plan, parts that a kill has left incomplete would be built from
    shutil.rmtree(parts)
    return result


def merge(shards: Sequence[str | Path], store: str | Path, *, force: bool = False) -> Extraction:
    """Join the shards of one extraction into a store.

    Parameters
    ----------
    shards : sequence of path
        The folders that `extract` wrote with `shard`, all of them.
    store : path
        Folder to write.
    force : bool
        Replace a store.

    Returns
    -------
    Extraction
        Of all shards together.

    Raises
    ------
    UserError
        If a folder is not a shard, a shard is missing, damaged or given twice, or the shards are of different
        extractions; then nothing is removed.

    Examples
    --------
    >>> print(s2v.merge(["shard1", "shard2"], "store"))  # doctest: +SKIP
    """
    folders = [Path(shard) for shard in shards]
    if not folders:
        raise UserError("no shards are given: all folders that 'speech2vec features --shard K/N' wrote are needed")
    plans = []
    for shard in folders:
        file = shard / PARTS / PLAN_FILE
        if not file.exists():
            raise UserError(
                f"{shard} is not a shard of a feature extraction ('speech2vec features --shard K/N' makes one)"
            )
        plans.append(read_plan(file))
    first = plans[0]
    for shard, plan in zip(folders, plans, strict=True):
        if any(plan[key] != first[key] for key in ("fingerprint", "aligned", "n_parts")):
            raise UserError(f"{shard} and {folders[0]} are shards of different extractions (other settings or words)")
        if plan["shard"][1] != len(folders):
            raise UserError(
                f"{shard} is shard {plan['shard'][0]} of {plan['shard'][1]}, but {len(folders)} folder(s) were given"
            )
    given = sorted(plan["shard"][0] for plan in plans)
    if given != list(range(1, len(folders) + 1)):
        raise UserError(f"shards {given} were given; each of 1 to {len(folders)} is needed once")
    folder_of = {plan["shard"][0]: shard for shard, plan in zip(folders, plans, strict=True)}
    files = [part_file(folder_of[i % len(folders) + 1] / PARTS, i) for i in range(first["n_parts"])]
    for file in files:
        if not file.exists():
            raise UserError(
                f"{file.parent.parent} is not finished: complete it first with 'speech2vec features ... --resume'"
            )
    front_end = _common_front_end(feature_settings(first["settings"]), folders)
    parts = _read_usable(files)
    with only_writer(Path(store)):
        claim_output(Path(store), force=force, inputs=folders, folder=_STORE_CONTENTS)
        return _finish(Path(store), files, parts, first, front_end)


_NOTED = ("short_words", "shortened_words", "failed")  # in an `Extraction` and in meta.json


def _resume(store: Path, plan_json: dict[str, Any], shard: tuple[int, int] | None) -> Extraction | None:
    """The result of a finished store; None if the extraction can be continued, else a `UserError`."""
    plan = store / PARTS / PLAN_FILE
    if plan.exists():
        elsewhere = {"aligned_folder": plan_json["aligned_folder"]}  # the same words may lie at another place by now
        if {**read_plan(plan), **elsewhere} != plan_json:
            raise UserError(
                f"{store} contains parts of another extraction (other settings, words or shard); --force starts over"
            )
        remove_partial(store)  # its processes ended with the one that was killed
        return None
    if (store / META_FILE).exists():
        meta = read_meta(store)
        if shard is not None or any(meta.get(key) != plan_json[key] for key in ("fingerprint", "aligned")):
            raise UserError(f"{store} is a store made with other settings or words; --force starts over")
        shutil.rmtree(store / PARTS, ignore_errors=True)  # what is left of them after a kill in the end
        shown = {"seconds": "seconds_of_audio", **{key: key for key in ("n_words", "n_frames", *_NOTED)}}
        return Extraction(**{name: meta[key] for name, key in shown.items() if key in meta})
    if store.exists() and any(entry.name != PARTS for entry in store.iterdir()):
        raise UserError(f"{store} contains no extraction to resume; --force replaces it")
    return None


def _with_projection(front_end: FrontEnd, plan: Plan, parts: Path) -> FrontEnd:
    """The front end with the projection that `parts` holds, or that is fitted to a sample of the words."""
    settings, file = front_end.settings, parts / PROJECTION_FILE
    if isinstance(settings, MfccSettings):
        return front_end
    if not file.exists():
        projection = front_end.projection or Projection.fit(_sample(front_end, plan), settings.n_components)
        projection.save(file)
    return FrontEnd(settings, Projection.load(file, settings))


def _sample(front_end: FrontEnd, plan: Plan) -> Iterator[np.ndarray]:
    """The encoder's frames of the words of some utterances, so far as they can be read."""
    part, n_frames = plan.sample(_UTTERANCES_OF_PROJECTION), 0
    start, end = part.words["start"].to_numpy(), part.words["end"].to_numpy()
    ends = np.cumsum(part.n_words)
    problem = "no word lies within its audio"
    for utterance, first, last in zip(part.utterances, ends - part.n_words, ends, strict=True):
        try:
            cut = cut_words(utterance, start[first:last], end[first:last], front_end)
        except AudioError as error:  # reported with its part
            problem = str(error)
            continue
        n_frames += len(cut.frames)
        yield cut.frames
    if not n_frames:
        raise UserError(f"no word can be used: {problem}")


def _common_front_end(settings: FeatureSettings, shards: Sequence[Path]) -> FrontEnd:
    """The front end of all shards, each of which fitted its projection to the same sample."""
    if isinstance(settings, MfccSettings):
        return FrontEnd(settings)
    first, *others = (Projection.load(shard / PARTS / PROJECTION_FILE, settings) for shard in shards)
    for shard, other in zip(shards[1:], others, strict=True):
        if not np.allclose(first.components, other.components, atol=0.01):
            raise UserError(
                f"the projections of {shards[0]} and {shard} differ: extract one of them again with the "
                f"{PROJECTION_FILE} of the other in its folder {PARTS}"
            )
    return FrontEnd(settings, first)


def _read_usable(files: list[Path]) -> tuple[Extraction, list[pa.Table]]:
    """What `read_parts` gives, if there is a word among it."""
    result, tables = read_parts(files)
    if not result.n_words:
        raise UserError(f"no word can be used: {result.failed[0]['detail'] if result.failed else 'no parts'}")
    return result, tables


def _finish(
    store: Path,
    files: list[Path],
    parts: tuple[Extraction, list[pa.Table]],
    plan: dict[str, Any],
    front_end: FrontEnd,
) -> Extraction:
    """Normalise the parts and write the store."""
    result, tables = parts
    settings, width = front_end.settings, front_end.n_features
    words = pa.concat_tables(tables).unify_dictionaries()
    n_frames = words["n_frames"].to_numpy().astype(np.int64)
    column = words.schema.get_field_index("first_frame")
    words = words.set_column(column, "first_frame", pa.array(np.cumsum(n_frames) - n_frames))
    groups, names = normalisation_groups(words, settings)
    ends = np.cumsum([len(table) for table in tables])
    groups_of = np.split(groups, ends[:-1])
    if settings.normalise == "none":
        mean, deviation = np.zeros((1, width), np.float32), np.ones((1, width), np.float32)
    else:
        mean, deviation = moments_of_parts(files, tables, groups_of, len(names), width)

    def blocks() -> Iterator[np.ndarray]:
        for file, table, group in zip(files, tables, groups_of, strict=True):
            group_of_frame = np.repeat(group, table["n_frames"].to_numpy())
            frames = read_frames(file, table)
            frames -= mean[group_of_frame]
            frames /= deviation[group_of_frame]
            yield frames

    # Stored for other recordings of a speaker or corpus; moments of an utterance apply to no other recording.
    moments = zip(names, mean, deviation, strict=True) if settings.normalise in ("speaker", "corpus") else ()
    if front_end.projection is not None:
        store.mkdir(parents=True, exist_ok=True)
        front_end.projection.save(store / PROJECTION_FILE)
    write_store(
        store,
        words,
        blocks(),
        width,
        plan["settings"],
        front_end.dtype,
        aligned=plan["aligned"],
        aligned_folder=plan.get("aligned_folder", ""),
        synthetic=plan.get("synthetic", False),
        normalisation={name: {"mean": m.tolist(), "deviation": d.tolist()} for name, m, d in moments},
        seconds_of_audio=result.seconds,
        short_words=result.short_words,
        shortened_words=result.shortened_words,
        failed=result.failed,
    )
    return result
