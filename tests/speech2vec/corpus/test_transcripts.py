"""What a word is."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech2vec.corpus.transcripts import tags, tokenize


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" -- ... ' '' ", []),
        ("IT'S O'CLOCK", ["it's", "o'clock"]),
        ("rock ’n’ roll, don‘t", ["rock", "'n", "roll", "don't"]),
        ("well-known x_y", ["well", "known", "x", "y"]),
        ("[LAUGHTER] a <b c> d {e} ((f)) g (h)", ["a", "d", "g", "h"]),
        ("3rd 1,000", ["3rd", "1", "000"]),
        ("Stra\u00dfe caf\u00e9 cafe\u0301", ["stra\u00dfe", "caf\u00e9", "caf\u00e9"]),
        ("\u0130stanbul", ["i\u0307stanbul"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert tokenize(text) == words


@given(st.text())
def test_words_are_lower_case_without_blanks_and_stay_what_they_are(text: str) -> None:
    words = tokenize(text)
    for word in words:
        assert word and not any(character.isspace() for character in word)
        assert any(character.isalnum() for character in word)
        assert word == word.lower()
    assert tokenize(" ".join(words)) == words


def test_tags_keep_their_spelling() -> None:
    assert tags("[LAUGHTER] yes <Noise> {x} ((y))") == ["[LAUGHTER]", "<Noise>", "{x}", "((y))"]


BY_REGULAR_EXPRESSION = re.compile(r"\[[^\]]*\]|<[^>]*>|\(\([^)]*\)\)|\{[^}]*\}")


@given(st.text("[]<>{}()ab '\n", max_size=30))
def test_tags_are_those_of_the_regular_expression(text: str) -> None:
    assert tags(text) == BY_REGULAR_EXPRESSION.findall(text)
    assert tokenize(text) == tokenize(BY_REGULAR_EXPRESSION.sub(" ", text))


@pytest.mark.parametrize(
    "part", ["((", "[", "<", "{", "((a)", "([<{", "'", "a'", "(( ]", "\u0301\u0316", "\u05b8\u05b0"]
)
def test_the_time_grows_no_faster_than_the_text(part: str) -> None:
    begin = time.perf_counter()
    tokenize(part * 80_000)
    assert time.perf_counter() - begin < 2
