"""Splitting transcripts into words: the only definition of a word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Tags such as [LAUGHTER], <noise>, {cough} or ((inaudible)) are not spoken words.
_CLOSING = {"[": "]", "<": ">", "((": "))", "{": "}"}

_OPENING = re.compile(r"[\[<{]|\(\(")

# Letters or digits with combining accents, for which there is no single character.
_LETTERS = r"(?:[^\W_][\u0300-\u036f]*)+"

_WORD = re.compile(rf"{_LETTERS}(?:'{_LETTERS})*'?|'{_LETTERS}")

# At most so many accents follow each other in the Stream-Safe Text Format (Unicode Standard Annex 15, section 13).
_MAX_ACCENTS = 30

_MANY_ACCENTS = re.compile(rf"[^\w\x00-\x7f]{{{_MAX_ACCENTS + 1}}}")  # or other symbols, rarely

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
    text = text.translate(_APOSTROPHES)
    spoken, end = [], 0
    for first, last in _find_tags(text):
        spoken.append(text[end:first])
        end = last
    spoken.append(text[end:])
    return _WORD.findall(_normalize(" ".join(spoken).lower()))


def tags(text: str) -> list[str]:
    """The tags of a transcript, as they are written.

    Examples
    --------
    >>> tags("[LAUGHTER] yes <noise>")
    ['[LAUGHTER]', '<noise>']
    """
    return [text[first:last] for first, last in _find_tags(text)]


def _normalize(text: str) -> str:
    """The text in NFC, without accents beyond the 30th on one letter: they are sorted in quadratic time."""
    if _MANY_ACCENTS.search(text):
        kept, n_accents = [], 0
        for character in text:
            n_accents = n_accents + 1 if unicodedata.combining(character) else 0
            if n_accents <= _MAX_ACCENTS:
                kept.append(character)
        text = "".join(kept)
    return unicodedata.normalize("NFC", text)


def _find_tags(text: str) -> Iterator[tuple[int, int]]:
    """Where each tag begins and ends. Linear in the text: a regular expression would search the rest of the text for
    the end of each ``[`` that has none.
    """
    at = 0
    closing: dict[str, int] = {}  # where the next closing bracket of each kind is
    while opening := _OPENING.search(text, at):
        kind, inside = opening[0], opening.end()
        if closing.get(kind, -1) < inside:
            found = text.find(_CLOSING[kind][0], inside)
            closing[kind] = found if found >= 0 else len(text)
        if text.startswith(_CLOSING[kind], closing[kind]):
            at = closing[kind] + len(_CLOSING[kind])
            yield opening.start(), at
        else:
            at = opening.start() + 1
