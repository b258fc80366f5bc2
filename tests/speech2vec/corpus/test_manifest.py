"""utterances.jsonl and words.parquet: what is written is read again, and what is wrong is named by line."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech2vec.corpus.manifest import (
    WORDS_SCHEMA,
    Utterance,
    Word,
    iterate_utterances,
    read_utterances,
    read_words,
    words_table,
    write_utterances,
    write_words,
)
from speech2vec.runtime.errors import UserError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
GOOD = {"utterance_id": "a", "audio": "a.wav", "text": "hello", "speaker": "s"}


@st.composite
def utterances(draw: st.DrawFn) -> Utterance:
    start = draw(st.none() | st.floats(0, 100))
    return Utterance(
        utterance_id=draw(names),
        audio=Path("/audio") / draw(names.filter(lambda name: name not in (".", ".."))),
        text=draw(texts),
        speaker=draw(texts),
        start=start,
        end=draw(st.none() | st.floats((start or 0.0) + 0.01, 1000)),
        channel=draw(st.none() | st.integers(0, 7)),
        extras={"label": draw(texts)},
    )


@given(st.lists(utterances(), max_size=5, unique_by=lambda utterance: utterance.utterance_id))
def test_what_is_written_is_read_again(written: list[Utterance]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_utterances(Path(folder) / "utterances.jsonl", written)
        assert read_utterances(Path(folder)) == written


@given(st.one_of(json_values, st.fixed_dictionaries({key: st.text(max_size=5) | json_values for key in GOOD})))
def test_any_json_is_an_utterance_or_an_error_that_names_its_line(row: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "u.jsonl"
        file.write_text(json.dumps(GOOD) + "\n\n" + json.dumps(row) + "\n")
        try:
            found = read_utterances(file)
        except UserError as error:
            assert str(error).startswith(f"{file}, line 3: ")
        else:
            assert len(found) == 2
            write_utterances(file, found)
            assert read_utterances(file) == found


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_in_one_line(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "u.jsonl"
        file.write_bytes(content)
        try:
            read_utterances(file)
        except UserError as error:
            assert str(file) in str(error)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"text": None}, "'text' is missing or is not a string"),
        ({"audio": 3}, "'audio' is missing"),
        ({"audio": ""}, "'audio' is empty"),
        ({"audio": "a\0.wav"}, "null character"),
        ({"utterance_id": ""}, "'utterance_id' is empty"),
        ({"utterance_id": "\ud800"}, "surrogates not allowed"),
        ({"session": ["\ud800"]}, "surrogates not allowed"),
        ({"start": -1}, "'start' must be a non-negative number of seconds"),
        ({"start": float("nan")}, "'start' must be a non-negative number of seconds"),
        ({"end": float("inf")}, "'end' must be a non-negative number of seconds"),
        ({"end": True}, "'end' must be a non-negative number of seconds"),
        ({"start": 2.0, "end": 1.0}, "must be after 'start'"),
        ({"end": 0}, "must be after 'start'"),
        ({"channel": 1.5}, "'channel' must be a non-negative integer"),
        ({"channel": -1}, "'channel' must be a non-negative integer"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: dict[str, object], told: str) -> None:
    file = tmp_path / "utterances.jsonl"
    file.write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(UserError, match=r"line 1: ") as caught:
        read_utterances(file)
    assert told in str(caught.value)


def test_nested_beyond_reason_is_an_error_of_its_line(tmp_path: Path) -> None:
    file = tmp_path / "utterances.jsonl"
    file.write_text("[" * 200_000)
    with pytest.raises(UserError, match="line 1"):
        read_utterances(file)


def test_an_id_that_comes_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "utterances.jsonl"
    file.write_text(2 * (json.dumps(GOOD) + "\n"))
    with pytest.raises(UserError, match="line 2: utterance_id 'a' is duplicated"):
        read_utterances(file)


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    file = tmp_path / "utterances.jsonl"
    file.write_text(json.dumps(GOOD), encoding="utf-8-sig")
    assert [utterance.utterance_id for utterance in read_utterances(file)] == ["a"]


def test_not_utf8_says_so(tmp_path: Path) -> None:
    file = tmp_path / "utterances.jsonl"
    file.write_bytes(json.dumps(GOOD).replace("hello", "h\xe4llo").encode("latin-1") + b"\xe4\xff")
    with pytest.raises(UserError, match="not UTF-8"):
        read_utterances(file)


def test_audio_is_found_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "utterances.jsonl").write_text(json.dumps(GOOD))
    assert read_utterances(tmp_path)[0].audio == tmp_path / "a.wav"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"utterances\.jsonl cannot be read: No such file"):
        list(iterate_utterances(tmp_path / "utterances.jsonl"))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "utterances.jsonl"
    write_utterances(file, [Utterance("a", Path("a.wav"), "x", "s")])
    before = file.read_bytes()
    with pytest.raises(TypeError):
        write_utterances(file, [Utterance("b", Path("b.wav"), "x", "s", extras={"bad": object()})])
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


@given(
    st.lists(
        st.builds(
            Word,
            utterance_id=names,
            word=names,
            start=st.floats(0, 100),
            end=st.floats(0, 100),
            score=st.none() | st.floats(-1e6, 1e6, width=32),
        ),
        max_size=6,
    )
)
def test_words_are_read_as_they_were_written(words: list[Word]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_words(Path(folder) / "words.parquet", words)
        table = read_words(Path(folder))
    assert table.schema.equals(WORDS_SCHEMA)
    assert [Word(**row) for row in table.to_pylist()] == words


def test_words_of_another_writer_are_cast(tmp_path: Path) -> None:
    """Pandas writes large or dictionary strings, whole seconds as integers, and columns of its own."""
    table = pa.table(
        {
            "note": pa.array(["x"]),
            "score": pa.array([1.0], pa.float64()),
            "end": pa.array([2]),
            "start": pa.array([1]),
            "word": pa.array(["hi"]).dictionary_encode(),
            "utterance_id": pa.array(["u"], pa.large_string()),
        }
    )
    pq.write_table(table, tmp_path / "words.parquet")
    assert read_words(tmp_path).to_pylist() == [
        {"utterance_id": "u", "word": "hi", "start": 1.0, "end": 2.0, "score": 1.0}
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"start": pa.array(["soon"])}, "column of the wrong type"),
        ({"start": pa.array([np.nan])}, "row 0: 'start' is not a number"),
        ({"end": pa.array([np.inf])}, "row 0: 'end' is not a number"),
        ({"word": pa.array([None], pa.string())}, "a row without 'word'"),
        ({"start": None}, "lacks the column"),
    ],
)
def test_a_table_that_is_not_of_words_is_refused(tmp_path: Path, change: dict[str, pa.Array], told: str) -> None:
    table = words_table([Word("u", "hi", 0.0, 1.0)])
    columns = {name: table[name] for name in table.column_names} | change
    pq.write_table(pa.table({k: v for k, v in columns.items() if v is not None}), tmp_path / "words.parquet")
    with pytest.raises(UserError, match=told):
        read_words(tmp_path)


def test_a_truncated_table_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "words.parquet"
    write_words(file, [Word("u", "hi", 0.0, 1.0)] * 100)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match="not a readable Parquet file"):
        read_words(file)
    with pytest.raises(UserError, match="is missing: 'speech2vec-align run'"):
        read_words(tmp_path / "other")
