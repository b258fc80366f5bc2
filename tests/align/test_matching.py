"""An aligner's words and the transcript's."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from align.base import Failure, Reason
from align.comparison import pair_words
from align.formats.tracks import Interval
from align.matching import UNKNOWN, Matching, common_words, match_enough, match_words
from speech2vec.corpus.manifest import Word
from speech2vec.corpus.transcripts import tokenize


def timed(*labels: str) -> list[Interval]:
    return [Interval(float(k), float(k + 1), label) for k, label in enumerate(labels)]


def longest(a: list[str], b: list[str]) -> int:
    """The length of a longest common subsequence, by the textbook's table."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


few_words = st.lists(st.sampled_from("abc"), max_size=9)


@given(few_words, few_words)
def test_common_words_is_a_longest_common_subsequence(a: list[str], b: list[str]) -> None:
    pairs = common_words(a, b)
    assert pairs is not None
    assert all(a[i] == b[j] for i, j in pairs)
    assert all(first[0] < second[0] and first[1] < second[1] for first, second in itertools.pairwise(pairs))
    assert len(pairs) == longest(a, b)


def test_long_lists_that_disagree_take_no_time() -> None:
    started = time.monotonic()
    assert common_words(["x"] * 50_000, ["y"] * 50_000) is None
    assert time.monotonic() - started < 20
    text = [str(k % 977) for k in range(50_000)]
    pairs = common_words(text, text[:20_000] + ["new"] * 50 + text[20_100:])
    assert pairs is not None
    assert len(pairs) >= 49_900


def test_equal_words_keep_their_times() -> None:
    matching = match_words(timed("DON'T", "say"), tokenize("Don't say!"))
    assert matching is not None
    assert matching.words == [Interval(0.0, 1.0, "don't"), Interval(1.0, 2.0, "say")]
    assert not matching.differs


@pytest.mark.parametrize("mark", sorted(UNKNOWN))
def test_a_mark_of_the_unknown_may_be_any_word(mark: str) -> None:
    for label in (mark, mark.upper()):
        matching = match_words(timed("the", label, "sat"), ["the", "cat", "sat"])
        assert matching is not None
        assert matching.words == timed("the", "cat", "sat")
        assert not matching.differs
    unknown, known = ([Word("u", word, 0.0, 1.0)] for word in (mark, "cat"))
    assert pair_words(unknown, known) == [(unknown[0], known[0])]


def test_a_label_of_two_words_is_cut_by_letters() -> None:
    matching = match_words([Interval(0.0, 1.0, "quick-brown")], ["quick", "brown"])
    assert matching is not None
    assert matching.words == [Interval(0.0, 0.5, "quick"), Interval(0.5, 1.0, "brown")]
    assert matching.n_split == 2


def test_the_same_letters_parted_otherwise() -> None:
    matching = match_words(timed("see", "some", "one", "here"), ["see", "someone", "here"])
    assert matching is not None
    assert matching.words[1] == Interval(1.0, 3.0, "someone")
    back = match_words(timed("see", "someone", "here"), ["see", "some", "one", "here"])
    assert back is not None
    assert [word.label for word in back.words] == ["see", "some", "one", "here"]
    assert (back.words[1].start, back.words[2].end) == (1.0, 2.0)
    assert back.words[1].end == back.words[2].start


def test_unknown_words_take_the_transcripts_spelling() -> None:
    matching = match_words(timed("the", "<unk>", "dog"), ["the", "zorgle", "dog"])
    assert matching is not None
    assert [word.label for word in matching.words] == ["the", "zorgle", "dog"]
    assert not matching.differs


def test_what_the_montreal_forced_aligner_makes_of_brackets() -> None:
    # As it wrote for: The quick-brown fox 3 (house) — "dog"..., and a noise that is no word
    matching = match_words(
        timed("[laughter]", "the", "quick", "brown", "fox", "3", "[bracketed]", "dog", "[bracketed]"),
        tokenize('<laugh> The quick-brown fox 3 (house) — "dog"... [noise]'),
    )
    assert matching is not None
    assert [word.label for word in matching.words] == ["the", "quick", "brown", "fox", "3", "house", "dog"]
    assert not matching.differs


def test_differences_are_counted_and_named() -> None:
    matching = match_words(timed("the", "colour", "is", "very", "red"), ["the", "color", "is", "red", "now"])
    assert matching is not None
    assert [word.label for word in matching.words] == ["the", "color", "is", "red"]
    assert matching.respelled == [("colour", "color")]
    assert matching.extra == ["very"]
    assert matching.missing == ["now"]
    assert matching.describe() == "'colour' for 'color'; 1 missing: now; 1 not in the transcript: very"


spellings = st.sampled_from(["a", "b", "c-d", "don't", "<unk>", "[bracketed]", "[noise]", "...", "E"])


@given(st.lists(spellings, max_size=8), st.lists(st.sampled_from(["a", "b", "c", "d", "don't", "e"]), max_size=8))
def test_each_word_of_the_transcript_is_found_or_missing(labels: list[str], tokens: list[str]) -> None:
    matching = match_words(timed(*labels), tokens)
    assert matching is not None
    found = [word.label for word in matching.words]
    assert sorted([*found, *matching.missing]) == sorted(tokens)
    starts = [word.start for word in matching.words]
    assert starts == sorted(starts)
    rest = iter(tokens)
    assert all(label in rest for label in found), "found words stand in the transcript's order"


def test_enough_is_the_share_of_the_transcript_and_one_word_at_least() -> None:
    half = match_enough("u", timed("a", "b"), ["a", "b", "c", "d"], min_matched=0.5)
    assert isinstance(half, Matching)
    assert len(half.words) == 2
    detail = "2 missing: c d"
    assert match_enough("u", timed("a", "b"), ["a", "b", "c", "d"], min_matched=0.51) == Failure(
        "u", Reason.WORDS_DIFFER, detail
    )
    none = match_enough("u", timed("a", "b"), ["x"], min_matched=0.0, where="a.ctm: ")
    assert none == Failure("u", Reason.WORDS_DIFFER, "a.ctm: 1 missing: x; 2 not in the transcript: a b")
    apart = match_enough("u", timed("a"), ["x"] * 3000, min_matched=0.0)
    assert apart == Failure("u", Reason.WORDS_DIFFER, "next to nothing in common")
