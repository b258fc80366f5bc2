"""Pronunciations of English words: the CMUdict in PocketSphinx's wheel, and the word pairs that follow from it."""

from __future__ import annotations

import importlib.util
import os
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from pathlib import Path

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.guarded import open_utf8

Phones = tuple[str, ...]

_SHORTEST = 3  # phones: one phone of two is half of the word
_VARIANT = re.compile(r"\(\d+\)$")


def without_variant(entry: str) -> str:
    """The word of a dictionary entry: second and later pronunciations carry a number in parentheses.

    Examples
    --------
    >>> without_variant("a(2)"), without_variant("a")
    ('a', 'a')
    """
    return _VARIANT.sub("", entry)


def dictionary_path() -> Path:
    """The CMUdict in the model folder of PocketSphinx, found without importing it.

    Raises
    ------
    UserError
        If PocketSphinx is not installed.
    """
    models = os.environ.get("POCKETSPHINX_PATH")  # PocketSphinx's own variable for another model folder
    if models is None:
        package = importlib.util.find_spec("pocketsphinx")
        if package is None or package.origin is None:
            raise UserError("the pronunciations of PocketSphinx are needed: pip install pocketsphinx")
        models = str(Path(package.origin).with_name("model"))
    return Path(models) / "en-us" / "cmudict-en-us.dict"


def read_dictionary(path: str | Path | None = None) -> dict[str, list[Phones]]:
    """The pronunciations of each word (lower case), in the order of the dictionary.

    Parameters
    ----------
    path : Path or None
        A dictionary in CMUdict's format (``word PH O NES``, later pronunciations as ``word(2) ...``, comments after
        ``;;;`` or ``#``); None is the CMUdict of PocketSphinx.

    Raises
    ------
    UserError
        If the file cannot be read, contains no words, or has a line with a word but no phones.
    """
    path = dictionary_path() if path is None else Path(path)
    pronunciations: dict[str, list[Phones]] = {}
    with open_utf8(path) as lines:
        for number, line in enumerate(lines, start=1):
            content = line.partition(" #")[0].split()
            if not content or line.startswith((";;;", "#")):
                continue
            spelled, *phones = content
            if not phones:
                raise UserError(f"{path}, line {number}: '{spelled}' has no phones")
            pronunciations.setdefault(without_variant(spelled).lower(), []).append(tuple(phones))
    if not pronunciations:
        raise UserError(f"pronunciation dictionary {path} is empty")
    return pronunciations


def first_pronunciations(path: str | Path | None = None) -> dict[str, Phones]:
    """The first pronunciation of each word, without stress marks; later ones (``a(2) EY``) are rarer."""
    return {word: _unstressed(listed[0]) for word, listed in _read_once(path).items()}


def all_pronunciations(path: str | Path | None = None) -> dict[str, frozenset[Phones]]:
    """All pronunciations of each word, without stress marks."""
    return {word: frozenset(map(_unstressed, listed)) for word, listed in _read_once(path).items()}


def _unstressed(phones: Phones) -> Phones:
    return tuple(phone.rstrip("012") for phone in phones)


def _read_once(path: str | Path | None) -> Mapping[str, list[Phones]]:
    """`read_dictionary`, again only if the file has changed: one program asks for pronunciations several times."""
    path = dictionary_path() if path is None else Path(path)
    try:
        state = path.stat()
    except OSError:
        return read_dictionary(path)  # which says what is wrong
    return _read_state(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1)
def _read_state(path: Path, modified: int, size: int) -> Mapping[str, list[Phones]]:
    return read_dictionary(path)


def homophone_groups(words: Iterable[str], pronunciations: Mapping[str, Hashable]) -> list[list[str]]:
    """Groups of words with the same pronunciation, or the same pronunciations, but different spellings.

    Spellings that differ only in apostrophes (dogs, dog's) are forms of one word, not homophones: the first of them in
    `words` represents all.
    """
    by_sound: dict[Hashable, dict[str, str]] = defaultdict(dict)
    for word in words:
        sound = pronunciations.get(word)
        if sound is not None:
            by_sound[sound].setdefault(word.replace("'", ""), word)
    return [list(group.values()) for group in by_sound.values() if len(group) > 1]


def one_phone_apart(words: Sequence[str], pronunciations: Mapping[str, Phones]) -> list[tuple[str, str]]:
    """Pairs of words of three phones or more whose pronunciations differ by one substituted phone, not the last.

    Insertions and changes of the last phone are excluded because most of them are inflections (walk, walked, walks),
    which are similar in meaning as well as in sound.
    """
    masked: dict[Phones, list[str]] = defaultdict(list)
    for word in words:
        phones = pronunciations.get(word, ())
        if len(phones) >= _SHORTEST:
            for position in range(len(phones) - 1):
                key = (*phones[:position], "_", *phones[position + 1 :])
                masked[key].append(word)
    return [
        (first, second)
        for group in masked.values()
        for first, second in combinations(group, 2)
        if pronunciations[first] != pronunciations[second]
    ]
