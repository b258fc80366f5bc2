"""A made-up corpus in which every phone of CMUdict has its own frames: homophones sound alike, and nothing means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile as sf

from speech2vec.corpus.manifest import Utterance, write_utterances
from speech2vec.corpus.pronunciations import first_pronunciations
from speech2vec.features.mfcc import MfccSettings
from speech2vec.features.store import STORE_SCHEMA, Store, write_store

_HOMOPHONES = """
ate eight blue blew brake break cell sell dear deer fair fare hair hare hear here hole whole
knight night made maid mail male meat meet pale pail plain plane road rode sail sale sea see waist waste
"""
_RATED = """
happy cheerful smart intelligent window door doctor nurse bottle container river water teacher student forest
winter summer gallon quart apple orange planet people music bread butter money cash street avenue
"""
HOMOPHONES, RATED = _HOMOPHONES.split(), _RATED.split()
WORDS = [*HOMOPHONES, *RATED]


def spoken_store(
    path: Path, speakers: int = 4, utterances: int = 28, seed: int = 0, topics: int = 1, **meta: object
) -> Store:
    """Utterances of eight random words each; phones last 8 to 13 frames, speakers differ by an offset.

    An utterance has one topic, and each word belongs to one: as many in a row of `WORDS` to each topic.
    """
    draw = np.random.default_rng(seed)
    dictionary = first_pronunciations()
    n_mfcc = 13
    phones = sorted({phone for word in WORDS for phone in dictionary[word]})
    sound = {phone: draw.normal(size=n_mfcc) for phone in phones}
    rows: dict[str, list[object]] = {name: [] for name in STORE_SCHEMA.names}
    frames: list[np.ndarray] = []
    total = 0
    share = len(WORDS) // topics
    for speaker in range(speakers):
        offset = draw.normal(size=n_mfcc) / 4
        for utterance in range(utterances):
            time = 0.0
            for word in draw.choice(WORDS[utterance % topics * share : (utterance % topics + 1) * share], 8):
                said = np.concatenate([np.tile(sound[p], (int(draw.integers(8, 14)), 1)) for p in dictionary[word]])
                said = said + offset + draw.normal(size=said.shape) / 3
                end = time + len(said) / 100
                values = (f"s{speaker}-{utterance}", f"s{speaker}", word, time, end, None, total, len(said))
                for name, value in zip(STORE_SCHEMA.names, values, strict=True):
                    rows[name].append(value)
                frames.append(said.astype(np.float32))
                total, time = total + len(said), end
    settings = MfccSettings(n_mfcc=n_mfcc).model_dump(mode="json")
    write_store(path, pa.table(rows, schema=STORE_SCHEMA), [np.concatenate(frames)], n_mfcc, settings, **meta)
    return Store.open(path)


def write_recordings(store: Store, folder: Path, rate: int = 8_000) -> Path:
    """An ALIGNED folder's utterances with a tone of its own for each spoken word: `tone_of` its place in the store."""
    folder.mkdir()
    utterances = []
    for number, name in enumerate(store.utterance_ids):
        rows = np.flatnonzero(store.utterance == number)
        samples = np.zeros(round((store.end[rows].max() + 0.2) * rate), dtype=np.float32)
        for row in rows:
            first, last = round(store.start[row] * rate), round(store.end[row] * rate)
            samples[first:last] = 0.3 * np.sin(2 * np.pi * tone_of(int(row)) * np.arange(last - first) / rate)
        sf.write(folder / f"{name}.wav", samples, rate)
        utterances.append(Utterance(name, Path(f"{name}.wav"), "", store.speakers[store.speaker[rows[0]]]))
    write_utterances(folder / "utterances.jsonl", utterances)
    return folder


def tone_of(row: int) -> float:
    """Hz."""
    return 300.0 + 25 * (row % 97)
