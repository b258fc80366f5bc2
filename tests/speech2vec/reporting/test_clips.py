"""Recordings of words: the right moment of the right file, within a budget, and a line where there are none."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from spoken import spoken_store, tone_of, write_recordings

from speech2vec.features.store import Store
from speech2vec.reporting.clips import RATE, word_clips


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("clips")
    store = spoken_store(folder / "store", speakers=2, utterances=4, aligned_folder=str(folder / "aligned"))
    write_recordings(store, folder / "aligned")
    return store


def pitch(clip: bytes) -> tuple[float, float]:
    """Strongest frequency in Hz, and length in seconds."""
    samples, rate = sf.read(io.BytesIO(clip))
    assert rate == RATE and 0.5 < np.abs(samples).max() <= 1
    power = np.abs(np.fft.rfft(samples, 4 * RATE))
    return float(power.argmax()) / 4, len(samples) / rate


def test_a_clip_holds_the_word_of_median_length(store: Store) -> None:
    clips = word_clips(store, store.types)
    assert clips.note == "" and len(clips.of) > 20
    for word, clip in clips.of.items():
        rows = np.flatnonzero(store.word_id == store.types.index(word))
        length = store.end[rows] - store.start[rows]
        row = int(rows[np.argsort(length, kind="stable")[len(rows) // 2]])
        found, seconds = pitch(clip)
        assert found == pytest.approx(tone_of(row), abs=8)
        assert store.end[row] - store.start[row] < seconds < store.end[row] - store.start[row] + 0.25


def test_the_first_words_come_first_until_the_budget_is_full(store: Store) -> None:
    wanted = store.types[::-1]
    every = word_clips(store, wanted).of
    sizes = np.cumsum([len(clip) for clip in every.values()])
    some = word_clips(store, wanted, budget=int(sizes[5])).of
    assert list(some) == list(every)[:6] and sum(map(len, some.values())) <= sizes[5]
    assert word_clips(store, ["not a word of it"]).of == {}


def test_missing_recordings_are_named(store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = Path(store.meta["aligned_folder"])
    lost = folder / f"{store.utterance_ids[0]}.wav"
    kept = lost.read_bytes()
    lost.unlink()
    try:
        clips = word_clips(store, store.types)
        assert len(clips.of) > 10 and "words could not be read" in clips.note and "no such audio file" in clips.note
    finally:
        lost.write_bytes(kept)
    (tmp_path / "utterances.jsonl").write_text((folder / "utterances.jsonl").read_text())  # and no recordings beside it
    clips = word_clips(store, store.types, tmp_path)
    assert not clips.of and clips.note.startswith("There are no recordings of words to listen to:")


def test_a_word_late_in_a_long_recording(tmp_path: Path) -> None:
    store = spoken_store(tmp_path / "store", speakers=1, utterances=1)
    folder, later = write_recordings(store, tmp_path / "aligned"), 90.0
    samples, rate = sf.read(folder / "s0-0.wav", dtype="float32")
    sf.write(folder / "s0-0.wav", np.concatenate([np.zeros(round(later * rate), np.float32), samples]), rate)
    moved = replace(store, start=store.start + later, end=store.end + later)
    early, late = word_clips(store, store.types, folder), word_clips(moved, store.types, folder)
    assert not early.note and not late.note and len(late.of) == len(early.of) > 3
    for word, clip in late.of.items():
        rows = np.flatnonzero(moved.word_id == moved.types.index(word))
        assert any(pitch(clip)[0] == pytest.approx(tone_of(int(row)), abs=8) for row in rows)


def test_a_store_that_does_not_know_its_recordings(tmp_path: Path) -> None:
    store = spoken_store(tmp_path / "store", speakers=1, utterances=2)
    assert "--aligned" in word_clips(store, store.types).note
