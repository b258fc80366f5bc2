"""Errors of a script's user in one line, as the programs show them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from speech2vec.runtime.console import exit_with_error
from speech2vec.runtime.errors import UserError


@contextmanager
def in_one_line() -> Iterator[None]:
    """End the program with one line and exit code 2 for a `UserError`."""
    try:
        yield
    except UserError as error:
        exit_with_error(str(error))
