"""The one error that a user's input raises: a line that says what, where, and what to do."""

from __future__ import annotations


class UserError(Exception):
    """The input is at fault; the message is one line for the person who gave it (no traceback, exit code 2)."""
