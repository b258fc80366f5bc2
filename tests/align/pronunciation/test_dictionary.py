"""Pronunciations: the dictionary, and a guess for everything else."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align.pronunciation.dictionary import UNKNOWN_SPEECH, Pronunciations
from align.pronunciation.g2p import JointNgram
from align.pronunciation.numerals import read_number
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.errors import UserError


@pytest.fixture(scope="module")
def english() -> Pronunciations:
    return Pronunciations()


def distance(a, b) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        corner, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (x != y))
    return row[-1]


def test_held_out_words_are_pronounced_well(english):
    words = sorted(word for word in english.entries if word.isalpha())
    random.Random(0).shuffle(words)
    held_out, known = words[:300], words[300:]
    model = JointNgram((word, phones) for word in known for phones in english.entries[word])
    errors = phones = right = 0
    for word in held_out:
        guess = model.pronounce(word)
        wrong, length = min((distance(guess, said), len(said)) for said in english.entries[word])
        errors, phones, right = errors + wrong, phones + length, right + (wrong == 0)
    # docs/alignment.md has the figures for 2,000 words.
    assert errors / phones < 0.09
    assert right / len(held_out) > 0.66


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("speech", "S P IY CH"),
        ("1984", "N AY N T IY N EY T IY F AO R"),
        ("3rd", "TH ER D"),
        ("mp3", "EH M P IY TH R IY"),
        ("xkcd", "EH K S K EY S IY D IY"),
        ("façade", "F AH S AA D"),
        ("brobdingnag's", "B R AO B D IH G N AE G Z"),
        ("numberless's", "N AH M B ER L AH S AH Z"),
        ("北京", "+SPN+"),
    ],
)
def test_odd_words(english, word, phones):
    assert " ".join(english.pronounce(word).phones) == phones


@settings(deadline=None, max_examples=60)
@given(st.text(min_size=1, max_size=12))
def test_every_word_of_every_text_has_a_pronunciation(english, text):
    known = {phone for entries in english.entries.values() for said in entries for phone in said} | set(UNKNOWN_SPEECH)
    for word in tokenize(text):
        pronunciation = english.pronounce(word)
        assert pronunciation.phones
        assert set(pronunciation.phones) <= known
        assert pronunciation.guessed == (word not in english)


@settings(deadline=None)
@given(st.integers(0, 999_999_999_999))
def test_numbers_are_words_of_the_dictionary(english, number):
    words = [*read_number(str(number)), *read_number(str(1 + number % 99), ordinal=True)]
    assert all(word in english for word in words)


@pytest.mark.parametrize(
    ("digits", "ordinal", "words"),
    [
        ("0", False, "zero"),
        ("100", False, "one hundred"),
        ("1005", False, "one thousand five"),
        ("1907", False, "nineteen oh seven"),
        ("1900", False, "nineteen hundred"),
        ("2005", False, "two thousand five"),
        ("2024", False, "twenty twenty four"),
        ("123456789012", False, "one hundred twenty three billion four hundred fifty six million seven hundred "
         "eighty nine thousand twelve"),
        ("1" * 5000, False, "one " * 5000),
        ("007", False, "zero zero seven"),
        ("12", True, "twelfth"),
        ("1900", True, "one thousand nine hundredth"),
        ("0" * 5000, True, "zero " * 4999 + "zeroth"),
    ],
)  # fmt: skip
def test_numbers_are_read_as_people_read_them(digits, ordinal, words):
    assert read_number(digits, ordinal=ordinal) == words.split()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.text("abc", min_size=1, max_size=5), st.lists(st.sampled_from("XYZ"), max_size=6))))
def test_any_dictionary_teaches_or_refuses(entries):
    if not any(0 < len(phones) <= 2 * len(word) for word, phones in entries):
        with pytest.raises(ValueError, match="no usable"):
            JointNgram(entries)
        return
    model = JointNgram(entries)
    for word in ("a", "abc", "zzz", ""):
        assert set(model.pronounce(word)) <= set("XYZ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"word\n", "line 1: 'word' has no phones"),
        (b"", "is empty"),
        (b"\xff\xfe", "not UTF-8"),
        (None, "cannot be read"),
    ],
)
def test_bad_dictionaries(tmp_path, content, message):
    path = tmp_path / "own.dict"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        Pronunciations(path)


def test_a_comment_after_blanks_alone_is_no_word(tmp_path):
    (tmp_path / "own.dict").write_text("word W ER D\n # a remark\n  \nturn T ER N # another\n")
    assert Pronunciations(tmp_path / "own.dict").pronounce("turn").phones == ("T", "ER", "N")
