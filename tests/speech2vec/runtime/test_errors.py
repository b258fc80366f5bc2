"""Whatever is read into a message, it stays one line of at most 300 characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech2vec.runtime.errors import LONGEST_LINE, UserError, clear_line


@given(st.text(st.characters(), max_size=50), st.integers(1, 200))
def test_a_message_is_one_printable_line(text: str, times: int) -> None:
    line = clear_line(text * times)
    assert len(line) <= LONGEST_LINE and line.isprintable() and line == clear_line(line)
    assert str(UserError(text * times)) == line


@pytest.mark.parametrize("text", ["", "a b", "x" * LONGEST_LINE, "“é”: 'a'"])
def test_a_clear_line_stays_as_it_is(text: str) -> None:
    assert clear_line(text) == text


def test_of_a_long_message_the_beginning_and_the_end_are_kept() -> None:
    line = clear_line(f"file.json is not valid: {'x' * 30_000_000}: copy it again")
    assert line.startswith("file.json is not valid: xxx") and line.endswith("xxx: copy it again") and " ... " in line
