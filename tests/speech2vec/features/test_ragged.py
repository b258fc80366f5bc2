"""Runs and ranges of rows, against loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from speech2vec.features.store import rows_of_ranges, starts_of_runs


@given(st.lists(st.integers(0, 2), max_size=20))
def test_a_run_starts_where_the_value_changes(values: list[int]) -> None:
    expected = [i for i in range(len(values)) if i == 0 or values[i] != values[i - 1]]
    assert starts_of_runs(np.array(values, dtype=np.int64)).tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=10))
def test_the_rows_of_ranges_are_those_of_each(ranges: list[tuple[int, int]]) -> None:
    first, lengths = (np.array([row[side] for row in ranges], dtype=np.int64) for side in (0, 1))
    assert rows_of_ranges(first, lengths).tolist() == [row for start, n in ranges for row in range(start, start + n)]
