"""What cosines follow over random pairs: made-up vectors of sound and of text, the rank correlation of scipy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import random_vectors
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from speech2vec.corpus.pronunciations import Phones, first_pronunciations
from speech2vec.evaluation.random_pairs import MAX_PAIRS, follows_pronunciation, follows_text
from speech2vec.vectors.word_vectors import WordVectors, read_vectors

PHONES = ["P", "B", "T", "D", "K", "AH", "IY", "S"]


def made_up_words(n: int, seed: int = 0) -> dict[str, Phones]:
    draw = np.random.default_rng(seed)
    return {f"w{i}": tuple(draw.choice(PHONES, draw.integers(3, 7))) for i in range(n)}


def of_sound(pronunciations: dict[str, Phones]) -> WordVectors:
    """Vectors that count each word's phones."""
    vectors = np.array([[phones.count(phone) for phone in PHONES] for phones in pronunciations.values()], np.float32)
    return WordVectors(list(pronunciations), vectors)


def test_vectors_of_sound_follow_the_pronunciation_and_random_ones_nothing() -> None:
    words = made_up_words(120)
    sound, text = of_sound(words), random_vectors(list(words), 20, seed=1)
    follows = follows_pronunciation(sound, words, resamples=200)
    assert follows.rho is not None and follows.low is not None and follows.high is not None
    assert 0.4 < follows.low < follows.rho < follows.high < 0.9
    for score in (follows_pronunciation(text, words, resamples=200), follows_text(sound, text, resamples=200)):
        assert score.low is not None and score.high is not None and score.low < 0 < score.high
    itself = follows_text(text, text, resamples=50)
    assert itself.rho == pytest.approx(1) and itself.n_covered == 120 * 119 // 2


def test_over_all_pairs_it_is_spearmans_rho() -> None:
    first, second = (random_vectors([f"w{i}" for i in range(30)], 6, seed=seed) for seed in (1, 2))
    rows, columns = np.triu_indices(30, 1)
    sides = [np.sum(one.unit(rows) * one.unit(columns), axis=1) for one in (first, second)]
    assert follows_text(first, second).rho == pytest.approx(spearmanr(*sides).statistic, abs=1e-6)


def test_words_are_compared_within_their_frequency() -> None:
    """Frequent words have a common part in both vectors: nothing but frequency makes the cosines agree."""
    names, draw = [f"w{i}" for i in range(500)], np.random.default_rng(0)
    shared = np.repeat(np.linspace(3, 0, 10), 50)[:, None]
    vectors = [WordVectors(names, (draw.standard_normal((500, 8)) + shared).astype(np.float32)) for _ in range(2)]
    counts = {name: 1000 - i for i, name in enumerate(names)}
    together, apart = (follows_text(*vectors, given, resamples=100) for given in (None, counts))
    assert together.low is not None and together.low > 0.3
    assert apart.low is not None and apart.high is not None and apart.low < 0 < apart.high
    assert apart.n_covered <= MAX_PAIRS


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 14), st.integers(0, 3))
def test_few_words_and_words_that_are_not_known_give_no_score(n_words: int, vector_size: int) -> None:
    words = made_up_words(n_words)
    vectors = WordVectors([*words, "unheard"], np.ones((n_words + 1, vector_size), np.float32))
    score = follows_pronunciation(vectors, words, resamples=10)  # all cosines are equal, or there are no vectors
    assert (score.rho, score.low, score.high) == (None, None, None)


def test_more_pairs_than_are_drawn_repeat_with_the_seed() -> None:
    words = made_up_words(400)
    scores = [follows_pronunciation(of_sound(words), words, seed=seed, resamples=20) for seed in (0, 0, 1)]
    assert scores[0] == scores[1] != scores[2] and scores[0].n_covered == MAX_PAIRS


@pytest.mark.corpus
@pytest.mark.parametrize(("kind", "text"), [("animals", 0.69), ("foods", 0.84)])
def test_the_published_speech_vectors_follow_text_and_not_sound(test_data: Path, kind: str, text: float) -> None:
    speech, words = (read_vectors(test_data / "published_vectors" / f"{name}_50_{kind}.vec") for name in ("s2v", "w2v"))
    assert follows_text(speech, words).rho == pytest.approx(text, abs=0.02)
    sound = follows_pronunciation(speech, first_pronunciations())
    assert sound.high is not None and sound.high < 0.11
