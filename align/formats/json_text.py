"""JSON that a stranger may have written: within limits, its numbers checked."""

from __future__ import annotations

import json
from typing import Any

from align.formats.tracks import FormatError, shorten

# In memory a bracket of JSON takes a hundred bytes and more, so they are counted before they are built.
_MAX_JSON_BRACKETS = 1_000_000
_MAX_JSON_COMMAS = 4_000_000
_MAX_JSON_CHARACTERS = 64 * 2**20


def load_json(text: str) -> Any:
    """JSON that cannot take the memory or the stack.

    Raises
    ------
    FormatError
        If it is no JSON, is nested too deeply or holds too much.
    """
    if (
        len(text) > _MAX_JSON_CHARACTERS
        or text.count("[") + text.count("{") > _MAX_JSON_BRACKETS
        or text.count(",") + text.count(":") > _MAX_JSON_COMMAS
    ):
        raise FormatError("JSON too long for the words of one recording")
    try:
        # As a float, an integer of a million digits takes no time.
        return json.loads(text, parse_int=float)
    except ValueError as error:
        raise FormatError(f"is no JSON: {error}") from error
    except RecursionError as error:
        raise FormatError("is JSON nested too deeply") from error


def json_number(value: object, what: str) -> float:
    """A number in JSON; `what` names it in the message.

    Raises
    ------
    FormatError
        If it is not a number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FormatError(f"{what} is {shorten(json.dumps(value)[:60])}, not a number")
    return float(value)
