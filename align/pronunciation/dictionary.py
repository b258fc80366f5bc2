"""Pronunciations: those of the dictionary, and a guess for every word that is not in it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from align.pronunciation.g2p import JointNgram
from align.pronunciation.numerals import read_number
from speech2vec.corpus.pronunciations import dictionary_path, read_dictionary
from speech2vec.runtime.errors import UserError

_RUNS = re.compile(r"\d+(?:st|nd|rd|th)\b|\d+|[^\d']+")
_VOWELS = frozenset("aeiouy")
_VOICELESS = frozenset(("P", "T", "K", "F", "TH"))
_SIBILANTS = frozenset(("S", "Z", "SH", "ZH", "CH", "JH"))

# An abbreviation is spelled; a longer run without vowels is more often an interjection ("hmmmm").
_LONGEST_SPELLED = 5

# Letters or phones: no word of a language is longer, and learning takes time that is quadratic in them.
_LONGEST_LEARNED = 60

# For words in a script that the letter model cannot read: the acoustic model's phone for unspecific speech.
UNKNOWN_SPEECH = ("+SPN+",)


@dataclass(frozen=True)
class Pronunciation:
    """The phones of a word, and whether they were guessed (the word is not in the dictionary)."""

    phones: tuple[str, ...]
    guessed: bool


class Pronunciations:
    """A pronunciation dictionary with a guess for every word that it lacks.

    The first of these that applies: a possessive of another word; a number, read aloud; letters that are spelled out
    (no vowel); the joint n-gram model learned from this dictionary; unspecific speech.

    Parameters
    ----------
    path : Path or None
        A file for `speech2vec.corpus.pronunciations.read_dictionary`; None is PocketSphinx's English dictionary.

    Raises
    ------
    UserError
        If the file cannot be read or a line has no phones.

    Examples
    --------
    >>> dictionary = Pronunciations()
    >>> dictionary.pronounce("speech")
    Pronunciation(phones=('S', 'P', 'IY', 'CH'), guessed=False)
    >>> dictionary.pronounce("1st").phones
    ('F', 'ER', 'S', 'T')
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = dictionary_path() if path is None else Path(path)
        self.entries = _read(self.path)
        self._guesses: dict[str, tuple[str, ...]] = {}

    @property
    def model(self) -> JointNgram:
        """The letter-to-sound model, trained on first use (some seconds for 135,000 entries)."""
        return _learn(self.path)

    def __contains__(self, word: str) -> bool:
        return word in self.entries

    def pronounce(self, word: str) -> Pronunciation:
        """Return the first pronunciation of a word in the dictionary, or a guess."""
        known = self.entries.get(word)
        if known:
            return Pronunciation(known[0], False)
        if word not in self._guesses:
            self._guesses[word] = self._guess(word)
        return Pronunciation(self._guesses[word], True)

    def _guess(self, word: str) -> tuple[str, ...]:
        if word.endswith("'") and word[:-1] in self.entries:
            return self.entries[word[:-1]][0]
        if word.endswith("'s") and len(word) > 2:
            return _with_s(self.pronounce(word[:-2]).phones)
        phones: list[str] = []
        for run in _RUNS.findall(word):
            phones += self._number(run) if run[0].isdecimal() else self._letters(run)
        return tuple(phones) or UNKNOWN_SPEECH

    def _number(self, run: str) -> list[str]:
        digits = "".join(str(unicodedata.decimal(c)) for c in run if c.isdecimal())
        words = read_number(digits, ordinal=run[-1].isalpha())
        return [phone for word in words for phone in self.pronounce(word).phones]

    def _letters(self, run: str) -> Sequence[str]:
        plain = unicodedata.normalize("NFKD", run.casefold()).encode("ascii", "ignore").decode()
        plain = "".join(c for c in plain if c.isalpha())
        if plain in self.entries:
            return self.entries[plain][0]
        if not plain:  # another script than Latin: the dictionary may be in it
            return self.model.pronounce(run)
        if len(plain) <= _LONGEST_SPELLED and not _VOWELS.intersection(plain):
            return [p for letter in plain for p in self._name_of(letter)]
        return self.model.pronounce(plain)

    def _name_of(self, letter: str) -> tuple[str, ...]:
        for spelling in (f"{letter}.", letter):
            if spelling in self.entries:
                return self.entries[spelling][0]
        return self.model.pronounce(letter)


def _with_s(stem: tuple[str, ...]) -> tuple[str, ...]:
    """Append the possessive s; how it sounds depends on the last phone of the stem."""
    if stem[-1] in _SIBILANTS:
        return (*stem, "AH", "Z")
    return (*stem, "S" if stem[-1] in _VOICELESS else "Z")


_read = lru_cache(maxsize=4)(read_dictionary)


@lru_cache(maxsize=4)
def _learn(path: Path) -> JointNgram:
    entries = ((w, p) for w, all_ in _read(path).items() if w.replace("'", "").isalpha() for p in all_)
    readable = [(w, p) for w, p in entries if max(len(w), len(p)) <= _LONGEST_LEARNED]
    try:
        return JointNgram((word.replace("'", ""), phones) for word, phones in readable)
    except ValueError as error:
        raise UserError(f"dictionary {path}: {error}: add words, or those that it lacks") from error
