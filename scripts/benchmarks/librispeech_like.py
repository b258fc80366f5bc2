"""Stores as large as LibriSpeech, with made-up frames: the speed of training does not depend on their values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from speech2vec.corpus.manifest import WORDS_FILE
from speech2vec.features.mfcc import MfccSettings
from speech2vec.features.store import FRAMES_FILE, META_FILE, STORE_SCHEMA, Store, write_store
from speech2vec.runtime.config import fingerprint
from speech2vec.runtime.files import write_json
from speech2vec.runtime.seeds import generator

# train-clean-100, train-clean-360, dev-clean and test-clean.
HOURS, UTTERANCES, WORDS, FRAMES, SPEAKERS, TYPES = 475, 137_876, 4.8e6, 170e6, 1253, 68_000
WINDOW, EPOCHS = 3, 500  # as published
PAIRS = 2 * sum(WORDS - offset * UTTERANCES for offset in range(1, WINDOW + 1))  # in an epoch
_FRAMES_PER_BLOCK = 1_000_000


def utterances_of(hours: float) -> int:
    """Number of utterances in so many hours of LibriSpeech."""
    return max(2, round(hours / HOURS * UTTERANCES))


def projected_hours(frames_per_second: float) -> float:
    """Hours for 500 epochs of the 475 h, if training decodes so many frames per second."""
    return EPOCHS * PAIRS * FRAMES / WORDS / frames_per_second / 3600


def librispeech_like(path: Path, n_utterances: int, n_mfcc: int = 13, zeros: bool = False) -> Store:
    """Write a store with the lengths of LibriSpeech's utterances (34.8 words) and words (35.4 frames of 10 ms).

    Word lengths are drawn from a gamma distribution of shape 2.4, which has the spread of real words (their 5th, 50th
    and 95th percentiles are 0.27, 0.87 and 2.2 times the mean), up to 1.3 s.

    Parameters
    ----------
    path : Path
    n_utterances : int
    n_mfcc : int
    zeros : bool
        Write frames of zeros as a sparse file, which takes no disk space, instead of random frames (a block of a
        million frames, repeated).
    """
    draw, share = generator(0), n_utterances / UTTERANCES
    n_words = np.clip(draw.normal(34.8, 10, n_utterances), 2, 80).round().astype(int)
    n_frames = np.clip(draw.gamma(2.4, 35.4 / 2.4, n_words.sum()), 3, 130).round().astype(np.int32)
    n_speakers, n_types = max(5, round(share * SPEAKERS)), max(100, int(share**0.5 * TYPES))
    first, total = np.cumsum(n_frames, dtype=np.int64) - n_frames, int(n_frames.sum())
    utterance = np.repeat(np.arange(n_utterances), n_words)
    columns = {
        "utterance_id": _labels("u", utterance),
        "speaker": _labels("s", utterance * n_speakers // n_utterances),
        "word": _labels("w", np.minimum(draw.zipf(1.1, len(n_frames)), n_types)),
        "start": first / 100,
        "end": (first + n_frames) / 100,
        "score": np.zeros(len(n_frames), dtype=np.float32),
        "first_frame": first,
        "n_frames": n_frames,
    }
    table = pa.table([pa.array(columns[field.name]).cast(field.type) for field in STORE_SCHEMA], schema=STORE_SCHEMA)
    settings = MfccSettings(n_mfcc=n_mfcc).model_dump(mode="json")
    if zeros:
        path.mkdir(parents=True)
        np.lib.format.open_memmap(path / FRAMES_FILE, mode="w+", dtype=np.float32, shape=(total, n_mfcc))
        pq.write_table(table, path / WORDS_FILE, compression="zstd")
        counts = {"n_words": len(table), "n_frames": total}
        header = {"settings": settings, "fingerprint": fingerprint(settings), **counts, "synthetic": True}
        write_json(path / META_FILE, header)
    else:
        block = draw.standard_normal((min(_FRAMES_PER_BLOCK, total), n_mfcc), dtype=np.float32)
        blocks = (block[: total - begin] for begin in range(0, total, len(block)))
        write_store(path, table, blocks, n_mfcc, settings, synthetic=True)
    return Store.open(path)


def _labels(prefix: str, numbers: np.ndarray) -> pa.Array:
    used, index = np.unique(numbers, return_inverse=True)
    return pa.DictionaryArray.from_arrays(index.astype(np.int32), [f"{prefix}{number}" for number in used])
