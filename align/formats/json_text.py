"""Parse JSON from untrusted files: limited in size and depth, numbers checked."""

from __future__ import annotations

import json
from typing import Any

from align.formats.tracks import FormatError, shorten

# Each bracket takes a hundred bytes or more in memory, so they are counted before parsing.
_MAX_JSON_BRACKETS = 1_000_000
_MAX_JSON_COMMAS = 4_000_000
_MAX_JSON_CHARACTERS = 64 * 2**20


def load_json(text: str) -> Any:
    """Parse JSON without exhausting the memory or the stack.

    Raises
    ------
    FormatError
        If it is not JSON, is nested too deeply or is too long.
    """
    if (
        len(text) > _MAX_JSON_CHARACTERS
        or text.count("[") + text.count("{") > _MAX_JSON_BRACKETS
        or text.count(",") + text.count(":") > _MAX_JSON_COMMAS
    ):
        raise FormatError("JSON too long for the words of one recording")
    try:
        # Parsing an int of a million digits takes quadratic time, a float does not.
        return json.loads(text, parse_int=float)
    except ValueError as error:
        raise FormatError(f"is not JSON: {error}") from error
    except RecursionError as error:
        raise FormatError("is JSON nested too deeply") from error


def json_number(value: object, what: str) -> float:
    """Check that a value is a number; `what` names it in the message.

    Raises
    ------
    FormatError
        If it is not a number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FormatError(f"{what} is {shorten(json.dumps(value)[:60])}, not a number")
    return float(value)
