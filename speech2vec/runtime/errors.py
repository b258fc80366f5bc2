"""The error for invalid user input, and the exit codes of all commands."""

from __future__ import annotations

LONGEST_LINE = 290  # characters of a message; with "error: " before it, at most 300
_KEPT_TAIL = 110  # of a longer one: its end says what to do


class UserError(Exception):
    """The user's input is invalid: one line that says what, where and what to do (no traceback, exit code 2).

    The message is kept as `clear_line` makes it, whatever was read from the input into it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(clear_line(message))


def clear_line(text: str) -> str:
    r"""A text as one line for a person: white space as single spaces, other controls escaped, long ones cut inside.

    Examples
    --------
    >>> clear_line("not a\nnumber: '\x1b'"), len(clear_line("a" * 10_000_000))
    ("not a number: '\\x1b'", 290)
    """
    if len(text) > 4 * LONGEST_LINE:  # the input, perhaps: not worth reading whole
        text = text[: 2 * LONGEST_LINE] + text[-2 * LONGEST_LINE :]
        cut = True
    else:
        cut = False
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))
    if not cut and len(line) <= LONGEST_LINE:
        return line
    return f"{line[: LONGEST_LINE - _KEPT_TAIL - 5].rstrip()} ... {line[-_KEPT_TAIL:].lstrip()}"


DONE, DONE_WITH_FAILURES, USER_ERROR, BUG, INTERRUPTED = 0, 1, 2, 70, 130
