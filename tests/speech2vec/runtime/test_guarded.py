"""Files of other programs and of strangers: what is wrong with one is one line with its path."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.guarded import (
    guarded_cell,
    parsing,
    read_array,
    read_csv,
    read_parquet,
    read_text,
    without_guard,
)

SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("n", pa.int32(), nullable=False),
        pa.field("score", pa.float32()),
        pa.field("speaker", pa.dictionary(pa.int32(), pa.string())),
    ]
)
GOOD = {"name": ["a", "b"], "n": [1, 2], "score": [0.5, None], "speaker": ["x", "x"]}


@pytest.mark.parametrize(
    "columns",
    [
        GOOD,
        {**GOOD, "n": pa.array([1, 2], pa.int64())},
        {**GOOD, "score": pa.nulls(2)},
        {**GOOD, "speaker": pa.array(["x", "y"]).dictionary_encode()},
        {**GOOD, "more": [[1], [2]]},
    ],
)
def test_columns_that_fit_are_cast(tmp_path: Path, columns: dict[str, object]) -> None:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    table = read_parquet(tmp_path / "a.parquet", SCHEMA)
    assert table.schema.equals(SCHEMA) and table["name"].to_pylist() == ["a", "b"]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({**GOOD, "name": ["a", None]}, "a row without 'name'"),
        ({**GOOD, "n": ["1", "2"]}, "'n' is 'string', not int32"),
        ({**GOOD, "n": [2**40, 1]}, "'n' is 'int64', not int32"),
        ({**GOOD, "n": [1.0, 2.0]}, "'n' is 'double', not int32"),
        ({**GOOD, "name": [["a"], ["b"]]}, "wrong type: 'name'"),
        ({**GOOD, "name": [1, 2]}, "'name' is 'int64', not string"),
        ({"name": ["a"]}, "lacks the column"),
    ],
)
def test_columns_that_do_not_fit_are_named(tmp_path: Path, columns: dict[str, object], told: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=told):
        read_parquet(tmp_path / "a.parquet", SCHEMA)


@pytest.mark.parametrize("rows", [20_000_000, 500_000])
def test_few_bytes_do_not_become_many_rows(tmp_path: Path, rows: int) -> None:
    pq.write_table(pa.table({"n": pa.repeat(1, rows)}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=f"claims {rows:,} rows, too many for its size"):
        read_parquet(tmp_path / "a.parquet", pa.schema([("n", pa.int64())]))


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda p: np.save(p, np.zeros((2, 3))), "float64 of shape"),
        (lambda p: np.save(p, np.zeros((2, 4), np.float32)), "not float32 of any x 3"),
        (lambda p: np.savez(p.open("wb"), np.zeros(3)), "an archive"),
        (lambda p: np.save(p, np.array([{}]), allow_pickle=True), "is not a complete array"),
        (lambda p: p.write_bytes(b""), "is not a complete array"),
        (lambda p: None, "is missing: make it"),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path: Path, write, told: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a.npy"
    write(path)
    with pytest.raises(UserError, match=told):
        read_array(path, np.float32, (None, 3), "make it")


def test_a_header_claims_no_memory(tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 3), }".ljust(117) + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(UserError, match="is not a complete array"):
        read_array(tmp_path / "a.npy", np.float32, (None, 3))


def test_whatever_a_library_raises_is_told_and_our_own_errors_stay(tmp_path: Path) -> None:
    for error in (KeyError("x"), AttributeError(), RecursionError(), MemoryError(), OSError(28, "No space left")):
        with pytest.raises(UserError, match=rf"^{tmp_path}/a "), parsing(tmp_path / "a", "a file"):
            raise error
    with pytest.raises(UserError, match=r"^as it is$"), parsing(tmp_path / "a", "a file"):
        raise UserError("as it is")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8), min_size=1, max_size=5))
def test_cells_come_back_and_are_no_formulas(tmp_path_factory: pytest.TempPathFactory, cells: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "cells.csv"
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([["x", "y"], *([guarded_cell(cell), "1"] for cell in cells)])
    _, rows = read_csv(path)
    for cell, (_, row) in zip(cells, rows, strict=True):
        assert row["x"] == cell or cell[:1] == "'"  # an apostrophe before a formula was written by somebody else
        assert not str(guarded_cell(cell)).startswith(("=", "@"))
        assert without_guard(str(guarded_cell(cell))) == cell or cell[:1] == "'"


@pytest.mark.parametrize("cell", ["-1.5", "+1e3", "-inf", "hello", "'twas", "", 7, None, 0.5])
def test_what_is_no_formula_stays(cell: object) -> None:
    assert guarded_cell(cell) == cell


def test_a_table_of_an_older_program_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("a;b\ncaf\xe9;'=1\n".encode("latin-1"))
    assert read_csv(tmp_path / "a.csv", ",;") == (["a", "b"], [(2, {"a": "caf\xe9", "b": "=1"})])
    assert read_text(tmp_path / "a.csv").startswith("a;b")
    (tmp_path / "b.csv").write_text("a\n" + "x" * 140_000)
    with pytest.raises(UserError, match=r"b\.csv, line 1: field larger than field limit"):
        read_csv(tmp_path / "b.csv")
