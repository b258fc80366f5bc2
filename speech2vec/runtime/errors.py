"""The error for invalid user input, and the exit codes of all commands."""

from __future__ import annotations


class UserError(Exception):
    """The user's input is invalid: one line that says what, where and what to do (no traceback, exit code 2)."""


DONE, DONE_WITH_FAILURES, USER_ERROR, BUG, INTERRUPTED = 0, 1, 2, 70, 130
