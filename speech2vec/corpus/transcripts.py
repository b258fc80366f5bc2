"""Transcripts to words: the one place that says what a word is."""

from __future__ import annotations

import re
import unicodedata

# Tags such as [LAUGHTER], <noise>, {cough} or ((inaudible)) are not words that were said.
_TAG = re.compile(r"\[[^\]]*\]|<[^>]*>|\(\([^)]*\)\)|\{[^}]*\}")


# A letter or digit with what is written above or below it, where no single character holds both.
_LETTERS = r"(?:[^\W_][\u0300-\u036f]*)+"


_WORD = re.compile(rf"{_LETTERS}(?:'{_LETTERS})*'?|'{_LETTERS}")


_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "`": "'"})


def tokenize(text: str) -> list[str]:
    """The words of a transcript: lower case, apostrophes kept, hyphens part words, punctuation and tags dropped.

    Examples
    --------
    >>> tokenize("Don't -- [LAUGHTER] say: quick-brown FOX's!")
    ["don't", 'say', 'quick', 'brown', "fox's"]
    >>> tokenize("'Twas the dogs' bone.")
    ["'twas", 'the', "dogs'", 'bone']
    """
    text = _TAG.sub(" ", text.translate(_APOSTROPHES)).lower()
    return _WORD.findall(unicodedata.normalize("NFC", text))


def tags(text: str) -> list[str]:
    """The tags of a transcript, in its own spelling.

    Examples
    --------
    >>> tags("[LAUGHTER] yes <noise>")
    ['[LAUGHTER]', '<noise>']
    """
    return _TAG.findall(text)
