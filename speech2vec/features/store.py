"""The feature store: the frames of all words in one memory-mapped array, with an index of the words.

``frames.npy`` [shape=(total_frames, n_mfcc)], float32 (float16 of a pretrained encoder), normalised: the frames of
words only, word after word.
``words.parquet``: one row per word instance, in corpus order. ``meta.json``: settings, fingerprint, normalisation;
written last, so that a folder without it is not (yet) a store.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, Field, FiniteFloat, model_validator

from speech2vec.corpus.manifest import WORDS_FILE
from speech2vec.features.rows import rows_of_ranges
from speech2vec.runtime.config import fingerprint
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path, read_json_as, write_json
from speech2vec.runtime.guarded import read_array, read_parquet

FRAMES_FILE = "frames.npy"
META_FILE = "meta.json"
FRAME_TYPES = (np.float32, np.float16)

_NAME = pa.dictionary(pa.int32(), pa.string())
STORE_SCHEMA = pa.schema(
    [
        ("utterance_id", _NAME),
        ("speaker", _NAME),
        ("word", _NAME),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("score", pa.float32()),
        ("first_frame", pa.int64()),
        ("n_frames", pa.int32()),
    ]
)

# As it is read: only a score may be missing.
READ_SCHEMA = pa.schema([field if field.name == "score" else field.with_nullable(False) for field in STORE_SCHEMA])


class _FeatureSettings(BaseModel):
    """Of `MfccSettings`, or of `PretrainedSettings`, which names an encoder."""

    encoder: str | None = None
    n_mfcc: int | None = Field(None, ge=1)
    n_components: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _has_a_size(self) -> _FeatureSettings:
        if (self.n_mfcc if self.encoder is None else self.n_components) is None:
            raise ValueError("the number of features is missing")
        return self


class _Meta(BaseModel):
    """What is read from ``meta.json``; stores made before may lack what has a default."""

    settings: _FeatureSettings
    fingerprint: str
    aligned: str = ""
    aligned_folder: str = ""
    n_words: int = 0
    n_frames: int = 0
    seconds_of_audio: FiniteFloat = 0.0
    short_words: int = 0
    shortened_words: int = 0
    failed: list[dict[str, str]] = []


@dataclass(frozen=True, eq=False)
class Store:
    """A store opened for reading; the frames are read from disk on access.

    Parameters
    ----------
    path : Path
    frames : ndarray [shape=(total_frames, n_mfcc)], float32 or float16
        Memory-mapped, normalised.
    types : list of str
        The vocabulary, sorted by descending frequency, then alphabetically.
    counts : ndarray [shape=(n_types,)], int64
    word_id, utterance, speaker : ndarray [shape=(n_words,)], int32
        Indices into `types`, `utterance_ids` and `speakers`; the words of an utterance are contiguous, in time order.
    start, end : ndarray [shape=(n_words,)], seconds
    first_frame : ndarray [shape=(n_words,)], int64
    n_frames : ndarray [shape=(n_words,)], int32
    utterance_ids, speakers : list of str
    settings : dict
        The `MfccSettings` or `PretrainedSettings` that made it.
    fingerprint : str
    meta : dict
        The contents of meta.json.
    """

    path: Path
    frames: np.ndarray
    types: list[str]
    counts: np.ndarray
    word_id: np.ndarray
    utterance: np.ndarray
    speaker: np.ndarray
    start: np.ndarray
    end: np.ndarray
    first_frame: np.ndarray
    n_frames: np.ndarray
    utterance_ids: list[str]
    speakers: list[str]
    settings: dict[str, Any]
    fingerprint: str
    meta: dict[str, Any]

    @property
    def n_words(self) -> int:
        return len(self.word_id)

    @property
    def n_mfcc(self) -> int:
        return int(self.frames.shape[1])

    @property
    def synthetic(self) -> bool:
        """Whether the speech is synthetic, in which case all results must be labelled so."""
        return bool(self.meta.get("synthetic"))

    def segment(self, index: int) -> np.ndarray:
        """The frames of one word [shape=(n_frames, n_mfcc)], float32, as a view if they are stored so."""
        first = int(self.first_frame[index])
        return self.frames[first : first + int(self.n_frames[index])].astype(np.float32, copy=False)

    def gather(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The frames of some words, word after word [shape=(total_frames, n_mfcc)], float32, copied (to `out`).

        Contiguous words are prefetched in one request, and read-ahead is off: words and utterances are drawn at random
        from a file that may be larger than memory.
        """
        n, first = self.n_frames[rows].astype(np.int64), self.first_frame[rows]
        self._prefetch(first, first + n)
        index = rows_of_ranges(first, n)
        if self.frames.dtype == np.float32:
            taken: np.ndarray = np.take(self._random_access_frames, index, axis=0, out=out, mode="clip")
            return taken
        out = np.empty((len(index), self.n_mfcc), np.float32) if out is None else out
        out[:] = self._random_access_frames[index]
        return out

    def _prefetch(self, first: np.ndarray, end: np.ndarray) -> None:
        """Announce to the system the frames to be read, from `first` to `end` [shape=(n_words,)]."""
        mapped = self._random_access_frames.base
        if not len(first) or not isinstance(mapped, mmap.mmap) or not hasattr(mmap, "MADV_WILLNEED"):
            return
        apart = first[1:] != end[:-1]
        first, end = first[np.append(True, apart)], end[np.append(apart, True)]
        row = self.frames.strides[0]
        header = len(mapped) - len(self.frames) * row
        page = (header + first * row) // mmap.PAGESIZE * mmap.PAGESIZE
        for begin, length in zip(page.tolist(), (header + end * row - page).tolist(), strict=True):
            mapped.madvise(mmap.MADV_WILLNEED, begin, length)

    @cached_property
    def _random_access_frames(self) -> np.ndarray:
        """A second memory map of the frames, without read-ahead."""
        frames: np.ndarray = np.load(self.path / FRAMES_FILE, mmap_mode="r")
        if isinstance(frames.base, mmap.mmap) and hasattr(mmap, "MADV_RANDOM"):
            frames.base.madvise(mmap.MADV_RANDOM)
        return frames

    def find_non_finite(self, block_size: int = 1_000_000) -> int | None:
        """Index of the first word with NaN or infinity in its frames, or None. Reads all frames."""
        for begin in range(0, len(self.frames), block_size):
            non_finite = np.flatnonzero(~np.isfinite(self.frames[begin : begin + block_size]).all(axis=1))
            if len(non_finite):
                frame = begin + int(non_finite[0])
                inside = (self.first_frame <= frame) & (frame < self.first_frame + self.n_frames)
                return int(inside.argmax())
        return None

    def explain_non_finite(self) -> str | None:
        """Which word is the first with NaN or infinity in its frames, and what to do; None if there is none."""
        row = self.find_non_finite()
        if row is None:
            return None
        word = self.types[self.word_id[row]]
        return f"the store {self.path} holds NaN or infinite frames, first in '{word}' (row {row}): rebuild it"

    def words(self) -> list[str]:
        """The spelling of each word instance."""
        return [self.types[i] for i in self.word_id]

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open a store.

        Raises
        ------
        UserError
            If the folder is not a complete store, or its files do not match.
        """
        path = Path(path)
        meta = read_meta(path)
        remedy = f"'speech2vec features ALIGNED -o {path} --force' rebuilds the store"
        frames = read_array(path / FRAMES_FILE, FRAME_TYPES, (None, n_features(meta["settings"])), remedy)
        table = read_parquet(path / WORDS_FILE, READ_SCHEMA, remedy)
        n_frames = table["n_frames"].to_numpy().astype(np.int32, copy=False)
        first_frame = table["first_frame"].to_numpy()
        if len(n_frames) == 0:
            raise UserError(f"store {path} contains no words")
        if n_frames.min() < 1:
            word = table["word"][int(n_frames.argmin())].as_py()
            raise UserError(f"store {path}: the word '{word}' in row {int(n_frames.argmin())} has no frames")
        if first_frame.min() < 0 or int((first_frame + n_frames).max()) > len(frames):
            raise UserError(f"store {path}: {WORDS_FILE} points beyond the {len(frames)} frames of {FRAMES_FILE}")
        spelled, word_ids = _dictionary(table["word"])
        counts = np.bincount(word_ids, minlength=len(spelled))
        order = np.lexsort((np.array(spelled), -counts))
        order = order[counts[order] > 0]
        rank = np.empty(len(spelled), dtype=np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        utterance_ids, utterance = _dictionary(table["utterance_id"])
        speakers, speaker = _dictionary(table["speaker"])
        return cls(
            path=path,
            frames=frames,
            types=[spelled[i] for i in order],
            counts=counts[order],
            word_id=rank[word_ids],
            utterance=utterance,
            speaker=speaker,
            start=table["start"].to_numpy(),
            end=table["end"].to_numpy(),
            first_frame=first_frame,
            n_frames=n_frames,
            utterance_ids=utterance_ids,
            speakers=speakers,
            settings=meta["settings"],
            fingerprint=meta["fingerprint"],
            meta=meta,
        )


def read_meta(path: Path) -> dict[str, Any]:
    """The meta.json of a store; a `UserError` says why the folder is not a store."""
    file = path / META_FILE
    if not file.exists():
        reason = "no such folder" if not path.exists() else f"it contains no {META_FILE}"
        raise UserError(f"{path} is not a store ({reason}); 'speech2vec features ALIGNED -o STORE' makes one")
    meta: dict[str, Any] = read_json_as(file, _Meta, f"the {META_FILE} of a store")
    if fingerprint(meta["settings"]) != meta["fingerprint"]:
        raise UserError(f"{file}: its settings do not match its fingerprint: it was edited by hand; extract again")
    return meta


def n_features(settings: dict[str, Any]) -> int:
    """Numbers in a frame of a store of these settings (of `MfccSettings` or `PretrainedSettings`)."""
    return int(settings["n_components" if "encoder" in settings else "n_mfcc"])


def _dictionary(column: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # for a column of no or several chunks, depending on the version
        array = array.unify_dictionaries().combine_chunks() if array.num_chunks > 1 else array.chunk(0)
    return array.dictionary.to_pylist(), array.indices.to_numpy().astype(np.int32, copy=False)


def write_store(
    path: Path,
    words: pa.Table,
    frames: Iterable[np.ndarray],
    n_features: int,
    settings: dict[str, Any],
    dtype: str = "<f4",
    **meta: Any,
) -> None:
    """Write a store, ``meta.json`` last; the one of an older store is removed first.

    Parameters
    ----------
    path : Path
    words : pyarrow.Table
        Columns of `STORE_SCHEMA`.
    frames : iterable of ndarray [shape=(n, n_features)]
        Consecutive blocks.
    n_features : int
    settings : dict
    dtype : {"<f4", "<f2"}
        Of the frames on disk.
    **meta
        Further entries of meta.json.
    """
    path.mkdir(parents=True, exist_ok=True)
    (path / META_FILE).unlink(missing_ok=True)
    total = int(pc.sum(words["n_frames"]).as_py() or 0)
    write_frames(path / FRAMES_FILE, total, n_features, frames, dtype)
    with atomic_path(path / WORDS_FILE) as temporary:
        pq.write_table(words.select(STORE_SCHEMA.names).cast(STORE_SCHEMA), temporary, compression="zstd")
    header = {"settings": settings, "fingerprint": fingerprint(settings), "n_words": len(words), "n_frames": total}
    write_json(path / META_FILE, {**header, **meta})


def write_frames(file: Path, n_frames: int, n_features: int, blocks: Iterable[np.ndarray], dtype: str = "<f4") -> None:
    """Write a ``.npy`` file [shape=(n_frames, n_features)] from consecutive blocks.

    Raises
    ------
    OSError
        If the disk is full. (Writing through a memory map would crash, and `numpy.save` hides the reason.)
    """
    header = {"descr": dtype, "fortran_order": False, "shape": (n_frames, n_features)}
    written = 0
    with atomic_path(file) as temporary, temporary.open("wb") as out:
        np.lib.format.write_array_header_1_0(out, header)
        for block in blocks:
            out.write(np.ascontiguousarray(block, dtype=dtype).data)
            written += len(block)
        if written != n_frames:
            raise ValueError(f"{written} frames were given, the words have {n_frames}")
