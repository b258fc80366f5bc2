"""Splitting transcripts into words: the only definition of a word."""

from __future__ import annotations

import re
import unicodedata

# Tags such as [LAUGHTER], <noise>, {cough} or ((inaudible)) are not spoken words.
_TAG = re.compile(r"\[[^\]]*\]|<[^>]*>|\(\([^)]*\)\)|\{[^}]*\}")

# Letters or digits with combining accents, for which there is no single character.
_LETTERS = r"(?:[^\W_][\u0300-\u036f]*)+"

_WORD = re.compile(rf"{_LETTERS}(?:'{_LETTERS})*'?|'{_LETTERS}")

_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "`": "'"})


def tokenize(text: str) -> list[str]:
    """The words of a transcript in lower case: keeps apostrophes, splits at hyphens, drops punctuation and tags.

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
    """The tags of a transcript, as they are written.

    Examples
    --------
    >>> tags("[LAUGHTER] yes <noise>")
    ['[LAUGHTER]', '<noise>']
    """
    return _TAG.findall(text)
