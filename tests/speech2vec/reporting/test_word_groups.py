"""Groups of words on the map: vectors of sound agree with sounds, vectors of company with company."""

from __future__ import annotations

import numpy as np

from speech2vec.corpus.pronunciations import first_pronunciations
from speech2vec.reporting.word_groups import word_groups
from speech2vec.vectors.word_vectors import WordVectors

_WORDS = """
pat bit tip dog kit god cat pot boat toad fan van sun zoo she thin vine fish sheep hat man net moon name nice map
lip rat win yes run lamp rock yell west apple egg it on up each ask
"""
WORDS = _WORDS.split()


def around(groups: np.ndarray) -> np.ndarray:
    draw = np.random.default_rng(0)
    points = draw.standard_normal((groups.max() + 1, 30))[groups] + 0.2 * draw.standard_normal((len(groups), 30))
    unit: np.ndarray = points / np.linalg.norm(points, axis=1, keepdims=True)
    return unit


def test_vectors_of_sound_and_of_company_are_told_apart() -> None:
    words = [*WORDS, "xqzzy"]
    words += [f"{word}'s" for word in WORDS]  # none of which is in the dictionary
    pronunciations = first_pronunciations()
    known = [word in pronunciations for word in words]
    manners = ("P B T D K G", "F V TH S Z SH HH", "M N", "L R W Y")
    number = {phone: i for i, phones in enumerate(manners) for phone in phones.split()}
    first_phones = [pronunciations[word][0] if word in pronunciations else "" for word in words]
    sound = np.array([number.get(phone, 4 if phone else 5) for phone in first_phones])
    company = np.arange(len(words)) % 6
    text = WordVectors(words, around(company).astype(np.float32))
    by_sound = {one.title: one for one in word_groups(words, around(sound), pronunciations, text, seed=0)}
    by_company = {one.title: one for one in word_groups(words, around(company), pronunciations, text, seed=0)}
    assert list(by_sound) == ["first sound", "meaning, by company"]
    first = by_sound["first sound"]
    assert first.names[first.of[words.index("moon")]] == "nasal" and first.of[words.index("xqzzy")] == -1
    assert (first.of >= 0).tolist() == known
    assert first.shared > 0.75 > 2 * first.chance
    assert by_sound["meaning, by company"].shared < 0.3
    assert by_company["meaning, by company"].shared > 0.9
    assert by_company["first sound"].shared < 0.4
    assert sorted(np.bincount(by_company["meaning, by company"].of)) == sorted(np.bincount(company))


def test_too_few_words_have_no_company() -> None:
    words = WORDS[:20]
    text = WordVectors(words, np.eye(20, dtype=np.float32))
    found = word_groups(words, np.eye(20), first_pronunciations(), text, seed=0)
    assert [one.title for one in found] == ["first sound"]
