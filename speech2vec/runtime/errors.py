"""The one error that a user's input raises: a line that says what, where, and what to do."""

from __future__ import annotations


class UserError(Exception):
    """The input is at fault; the message is one line for the person who gave it (no traceback, exit code 2)."""


DONE, DONE_WITH_FAILURES, USER_ERROR, BUG, INTERRUPTED = 0, 1, 2, 70, 130
