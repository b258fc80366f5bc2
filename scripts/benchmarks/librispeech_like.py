"""The size of LibriSpeech's 475 h, and stores of random frames with its lengths, for benchmarks of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from speech2vec.features.mfcc import MfccSettings
from speech2vec.features.store import STORE_SCHEMA, Store, write_store
from speech2vec.runtime.seeds import generator

WINDOW = 3


# train-clean-100, train-clean-360, dev-clean and test-clean: 475 h.
UTTERANCES, WORDS, FRAMES, EPOCHS = 137_876, 4.8e6, 170e6, 500


PAIRS = 2 * sum(WORDS - offset * UTTERANCES for offset in range(1, WINDOW + 1))


def librispeech_like(path: Path, n_utterances: int, n_mfcc: int = 13) -> Store:
    """Write random frames with LibriSpeech's lengths: 34.8 words an utterance, 35.4 frames (10 ms) a word on average.

    A word's length is drawn from a gamma distribution of shape 2.4, which has the spread of real words (their 5th, 50th
    and 95th percentiles are 0.27, 0.87 and 2.2 times the mean), the longest at 1.3 s.
    """
    draw = generator(0)
    n_words = np.clip(draw.normal(34.8, 10, n_utterances), 2, 80).round().astype(int)
    n_frames = np.clip(draw.gamma(2.4, 35.4 / 2.4, n_words.sum()), 3, 130).round().astype(np.int32)
    first = np.cumsum(n_frames, dtype=np.int64) - n_frames
    utterance = np.repeat(np.arange(n_utterances), n_words)
    columns = {
        "utterance_id": [f"u{i}" for i in utterance],
        "speaker": [f"s{i // 50}" for i in utterance],
        "word": [f"w{i}" for i in draw.zipf(1.3, len(n_frames))],
        "start": first / 100,
        "end": (first + n_frames) / 100,
        "score": np.zeros(len(n_frames), dtype=np.float32),
        "first_frame": first,
        "n_frames": n_frames,
    }
    table = pa.table([pa.array(columns[field.name]).cast(field.type) for field in STORE_SCHEMA], schema=STORE_SCHEMA)
    total, at_once = int(n_frames.sum()), 1_000_000
    frames = (
        draw.standard_normal((min(at_once, total - begin), n_mfcc), dtype=np.float32)
        for begin in range(0, total, at_once)
    )
    settings = MfccSettings(n_mfcc=n_mfcc).model_dump(mode="json")
    write_store(path, table, frames, n_mfcc, settings, synthetic=True)
    return Store.open(path)
