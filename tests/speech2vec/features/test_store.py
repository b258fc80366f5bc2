"""The store: what is written is what is read, and a folder that is not a complete store is refused in one line."""

from __future__ import annotations

import json
import resource
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from speech2vec.features.rows import rows_of_ranges, runs_of, starts_of_runs
from speech2vec.features.store import (
    FRAMES_FILE,
    META_FILE,
    STORE_SCHEMA,
    Store,
    write_store,
)
from speech2vec.runtime.config import fingerprint
from speech2vec.runtime.errors import UserError

SETTINGS = {"n_mfcc": 3, "sampling_rate": 16000}


def words_of(rows: list[tuple[str, int]]) -> pa.Table:
    """Words with these spellings and numbers of frames, three to an utterance, two utterances to a speaker."""
    n_frames = np.array([n for _, n in rows])
    start = np.arange(len(rows)) * 0.1
    columns = {
        "utterance_id": [f"u{i // 3}" for i in range(len(rows))],
        "speaker": [f"s{i // 6}" for i in range(len(rows))],
        "word": [word for word, _ in rows],
        "start": start,
        "end": start + 0.1,
        "score": [None] * len(rows),
        "first_frame": np.cumsum(n_frames) - n_frames,
        "n_frames": n_frames,
    }
    return pa.table({name: pa.array(columns[name]) for name in STORE_SCHEMA.names}).cast(STORE_SCHEMA)


def write(path: Path, rows: list[tuple[str, int]], n_blocks: int = 1, **meta: object) -> np.ndarray:
    frames = np.random.default_rng(0).standard_normal((sum(n for _, n in rows), 3)).astype(np.float32)
    write_store(path, words_of(rows), np.array_split(frames, n_blocks), 3, SETTINGS, **meta)
    return frames


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from(["the", "a", "dog's", "ünï"]), st.integers(1, 5)), min_size=1, max_size=20),
    st.integers(1, 4),
)
def test_what_is_written_is_read(tmp_path: Path, rows: list[tuple[str, int]], n_blocks: int) -> None:
    frames = write(tmp_path / "store", rows, n_blocks)
    store = Store.open(tmp_path / "store")
    np.testing.assert_array_equal(store.frames, frames)
    assert store.n_words == len(rows) and store.n_mfcc == 3
    assert store.words() == [word for word, _ in rows]
    begin = 0
    for i, (word, n) in enumerate(rows):
        np.testing.assert_array_equal(store.segment(i), frames[begin : begin + n])
        assert store.types[store.word_id[i]] == word
        assert store.utterance_ids[store.utterance[i]] == f"u{i // 3}"
        assert store.speakers[store.speaker[i]] == f"s{i // 6}"
        begin += n
    counts = Counter(word for word, _ in rows)
    assert store.types == sorted(counts, key=lambda word: (-counts[word], word))
    assert store.counts.tolist() == [counts[word] for word in store.types]
    kinds = {"word_id": np.int32, "utterance": np.int32, "speaker": np.int32, "first_frame": np.int64}
    kinds |= {"n_frames": np.int32, "start": np.float64, "end": np.float64, "counts": np.int64, "frames": np.float32}
    assert {name: getattr(store, name).dtype.type for name in kinds} == kinds


def test_frames_of_words_from_all_over_the_file(tmp_path: Path) -> None:
    rows = [("a", 1 + i % 4) for i in range(300)]
    frames = write(tmp_path / "store", rows)
    store = Store.open(tmp_path / "store")
    for chosen in (
        np.arange(10, 30),
        np.array([3, 3, 1]),
        np.zeros(0, dtype=np.int64),
        np.array([299, 0, 150]),
        np.arange(300),
    ):
        expected = [frames[store.first_frame[i] : store.first_frame[i] + store.n_frames[i]] for i in chosen]
        np.testing.assert_array_equal(store.gather(chosen), np.concatenate([np.zeros((0, 3)), *expected]))


@pytest.mark.parametrize("at_once", [1, 4, 1000])
def test_the_first_word_that_is_no_number_is_found(tmp_path: Path, at_once: int) -> None:
    rows = [("a", 1 + i % 4) for i in range(12)]
    frames = write(tmp_path, rows)
    assert Store.open(tmp_path).find_non_finite(at_once) is None
    of_row = np.repeat(np.arange(12), [n for _, n in rows])
    for row, wrong in ((9, np.inf), (7, np.nan)):
        frames[np.flatnonzero(of_row == row)[-1], 1] = wrong  # one coefficient of its last frame
        write_store(tmp_path, words_of(rows), [frames], 3, SETTINGS)
        assert Store.open(tmp_path).find_non_finite(at_once) == row


def test_segments_are_not_copied(tmp_path: Path) -> None:
    write(tmp_path, [("a", 3), ("b", 4)])
    store = Store.open(tmp_path)
    assert isinstance(store.frames, np.memmap)
    assert np.shares_memory(store.segment(1), store.frames)


def test_meta_is_carried(tmp_path: Path) -> None:
    write(tmp_path, [("a", 1)], synthetic=True, normalisation={"s0": [1.0]})
    store = Store.open(tmp_path)
    assert store.synthetic
    assert store.meta["normalisation"] == {"s0": [1.0]}
    assert (store.settings, store.fingerprint) == (SETTINGS, fingerprint(SETTINGS))
    write(tmp_path, [("a", 1)])
    assert not Store.open(tmp_path).synthetic


def test_frames_that_do_not_fit_the_words_leave_no_store(tmp_path: Path) -> None:
    write(tmp_path, [("a", 2)])
    with pytest.raises(ValueError, match="1 frames were given, the words have 2"):
        write_store(tmp_path, words_of([("a", 2)]), [np.zeros((1, 3), np.float32)], 3, SETTINGS)
    with pytest.raises(UserError, match="is not a store"):
        Store.open(tmp_path)
    assert not list(tmp_path.glob(".*"))


def test_a_full_disk_is_an_error_and_not_the_end_of_the_process(tmp_path: Path) -> None:
    """Frames are written, not mapped: where there is no room for a page of a map, a process dies without a word."""
    asked_for: list[int] = []

    def blocks() -> Iterator[np.ndarray]:
        for number in range(3):
            asked_for.append(number)
            yield np.zeros((1000, 3), np.float32)

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # bytes: the second block is too much
    try:
        with pytest.raises(OSError, match=r"frames\.npy"):
            write_store(tmp_path, words_of([("a", 3000)]), blocks(), 3, SETTINGS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert asked_for == [0, 1]
    assert not list(tmp_path.iterdir())


def test_a_write_that_is_cut_off_leaves_no_store_of_mixed_files(tmp_path: Path) -> None:
    """The old meta.json goes before the first new file comes."""
    write(tmp_path, [("a", 2)])

    def blocks():  # type: ignore[no-untyped-def]
        yield np.zeros((2, 3), np.float32)
        assert not (tmp_path / META_FILE).exists()

    write_store(tmp_path, words_of([("a", 2)]), blocks(), 3, SETTINGS)
    assert Store.open(tmp_path).n_words == 1


def change_meta(folder: Path, **change: object) -> None:
    meta = json.loads((folder / META_FILE).read_text())
    (folder / META_FILE).write_text(json.dumps({**meta, **change}))


def change_words(folder: Path, **change: pa.Array) -> None:
    table = pq.read_table(folder / "words.parquet")
    columns = {name: change.get(name, table[name]) for name in table.column_names}
    pq.write_table(pa.table(columns), folder / "words.parquet")


def cut(folder: Path, name: str, n_bytes: int) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-n_bytes])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda p: (p / META_FILE).unlink(), "is not a store .it contains no meta.json."),
        (lambda p: (p / META_FILE).write_text("{"), "is not valid JSON"),
        (lambda p: (p / META_FILE).write_text("[]"), "is not the meta.json of a store"),
        (lambda p: (p / META_FILE).write_text("{}"), "'settings': Field required"),
        (lambda p: change_meta(p, settings={"n_mfcc": 3, "sampling_rate": 8000}), "edited by hand"),
        (lambda p: change_meta(p, fingerprint="0" * 12), "edited by hand"),
        (lambda p: change_meta(p, settings={"n_mfcc": 4}, fingerprint=fingerprint({"n_mfcc": 4})), "of shape"),
        (lambda p: (p / FRAMES_FILE).unlink(), "frames.npy is missing: 'speech2vec features ALIGNED -o"),
        (lambda p: cut(p, FRAMES_FILE, 13), "frames.npy is not a complete array"),
        (lambda p: cut(p, "words.parquet", 13), "words.parquet is not a readable Parquet file"),
        (lambda p: (p / FRAMES_FILE).write_bytes(b""), "frames.npy is not a complete array"),
        (lambda p: np.save(p / FRAMES_FILE, np.zeros((4, 3), np.float32)), "points beyond the 4 frames"),
        (lambda p: np.save(p / FRAMES_FILE, np.zeros(15, np.float32)), "of shape"),
        (lambda p: np.save(p / FRAMES_FILE, np.zeros((5, 3))), "float64"),
        (
            lambda p: np.save(p / FRAMES_FILE, np.array([[object()] * 3] * 5), allow_pickle=True),
            "is not a complete array",
        ),
        (lambda p: change_words(p, n_frames=pa.array([0, 2], pa.int32())), "the word 'a' in row 0 has no frames"),
        (lambda p: change_words(p, first_frame=pa.array([-1, 2])), "points beyond"),
        (lambda p: pq.write_table(words_of([]), p / "words.parquet"), "contains no words"),
        (lambda p: pq.write_table(pa.table({"word": ["a"]}), p / "words.parquet"), "lacks the column"),
        (lambda p: change_words(p, n_frames=pa.array(["2", "3"])), "wrong type"),
    ],
)
def test_what_is_no_whole_store_is_refused(tmp_path: Path, damage, told: str) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path, [("a", 2), ("b", 3)])
    damage(tmp_path)
    with pytest.raises(UserError, match=told) as caught:
        Store.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        Store.open(tmp_path / "none")


@given(st.lists(st.integers(0, 2), max_size=20))
def test_a_run_starts_where_the_value_changes(values: list[int]) -> None:
    expected = [i for i in range(len(values)) if i == 0 or values[i] != values[i - 1]]
    assert starts_of_runs(np.array(values, dtype=np.int64)).tolist() == expected
    starts, lengths = runs_of(np.array(values, dtype=np.int64))
    assert (
        starts.tolist() == expected and np.repeat(np.array(values, dtype=np.int64)[starts], lengths).tolist() == values
    )


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=10))
def test_the_rows_of_ranges_are_those_of_each(ranges: list[tuple[int, int]]) -> None:
    first, lengths = (np.array([row[side] for row in ranges], dtype=np.int64) for side in (0, 1))
    assert rows_of_ranges(first, lengths).tolist() == [row for start, n in ranges for row in range(start, start + n)]
