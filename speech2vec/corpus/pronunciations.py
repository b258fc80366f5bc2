"""Pronunciations of English words: CMUdict as it comes inside PocketSphinx's wheel, and the pairs it implies."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from speech2vec.runtime.errors import UserError

Phones = tuple[str, ...]


_VARIANT = re.compile(r"\(\d+\)$")


def without_variant(entry: str) -> str:
    """The word of an entry, or of an alignment that names its entries: further pronunciations of a word are numbered.

    Examples
    --------
    >>> without_variant("a(2)"), without_variant("a")
    ('a', 'a')
    """
    return _VARIANT.sub("", entry)


def dictionary_path() -> Path:
    """Where the wheel of PocketSphinx keeps its CMUdict."""
    import pocketsphinx  # here alone: a library, for one path

    return Path(pocketsphinx.get_model_path()) / "en-us" / "cmudict-en-us.dict"


def read_dictionary(path: Path | None = None) -> dict[str, list[Phones]]:
    """The pronunciations of each word, lower case, as they are listed.

    Parameters
    ----------
    path : Path or None
        A dictionary in CMUdict's format (``word PH O NES``, further pronunciations as ``word(2) ...``, comments after
        ``;;;`` or ``#``); None is the one of PocketSphinx.

    Raises
    ------
    UserError
        The file cannot be read, holds no words, or a line has a word without phones.
    """
    path = dictionary_path() if path is None else Path(path)
    pronunciations: dict[str, list[Phones]] = {}
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip() or line.startswith((";;;", "#")):
                    continue
                spelled, *phones = line.partition(" #")[0].split()
                if not phones:
                    raise UserError(f"{path}, line {number}: '{spelled}' has no phones")
                pronunciations.setdefault(without_variant(spelled).lower(), []).append(tuple(phones))
    except OSError as error:
        raise UserError(f"pronunciation dictionary {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        where = f"{error.reason} at byte {error.start}"
        raise UserError(f"pronunciation dictionary {path} is not UTF-8 text ({where}): convert it") from error
    if not pronunciations:
        raise UserError(f"pronunciation dictionary {path} is empty")
    return pronunciations


def first_pronunciations(path: Path | None = None) -> dict[str, Phones]:
    """The first-listed pronunciation of each word, without stress; the further ones (``a(2) EY``) are rarer."""
    return {word: tuple(phone.rstrip("012") for phone in listed[0]) for word, listed in read_dictionary(path).items()}


def homophone_groups(words: Iterable[str], pronunciations: Mapping[str, Phones]) -> list[list[str]]:
    """Words of different spelling and equal pronunciation, grouped.

    Spellings that differ only in apostrophes (dogs, dog's) are one word's forms rather than homophones: of those,
    the first in `words` stands for all.
    """
    by_sound: dict[Phones, dict[str, str]] = defaultdict(dict)
    for word in words:
        phones = pronunciations.get(word)
        if phones is not None:
            by_sound[phones].setdefault(word.replace("'", ""), word)
    return [list(group.values()) for group in by_sound.values() if len(group) > 1]


def one_phone_apart(
    words: Sequence[str], pronunciations: Mapping[str, Phones], min_phones: int = 3
) -> list[tuple[str, str]]:
    """Pairs whose pronunciations differ by one substituted phone, the last one excepted.

    Insertions and changes at the end are left out because most of them are inflections (walk, walked, walks), which
    are near in meaning as well as in sound.

    Parameters
    ----------
    min_phones : int
        Shorter words are left out: one phone of two is half of the word.
    """
    masked: dict[Phones, list[str]] = defaultdict(list)
    for word in words:
        phones = pronunciations.get(word, ())
        if len(phones) >= min_phones:
            for position in range(len(phones) - 1):
                key = (*phones[:position], "_", *phones[position + 1 :])
                masked[key].append(word)
    return [
        (first, second)
        for together in masked.values()
        for first, second in combinations(together, 2)
        if pronunciations[first] != pronunciations[second]
    ]
