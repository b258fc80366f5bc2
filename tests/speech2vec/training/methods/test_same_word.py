from __future__ import annotations

import numpy as np

from speech2vec.training.methods.same_word import discriminant, named_pairs, neighbour_pairs


def spoken(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors, words and speakers: words differ in the first two numbers, voices add noise to the third."""
    draw = np.random.default_rng(seed)
    word, speaker = draw.integers(0, 12, n), draw.integers(0, 4, n)
    meant = draw.normal(size=(12, 2)) * 3
    vectors = np.c_[meant[word] + draw.normal(size=(n, 2)) / 10, draw.normal(size=n) * 5]
    return vectors.astype(np.float32), word, speaker


def test_neighbours_are_the_nearest_words_of_other_speakers() -> None:
    vectors, _, speaker = spoken(300)
    asked = np.arange(0, 300, 3)
    first, second = neighbour_pairs(vectors, speaker, asked, 0.5)
    squared = ((vectors[asked][:, None] - vectors) ** 2).sum(axis=2)
    squared[speaker[asked][:, None] == speaker] = np.inf
    closest = np.argsort(squared.min(axis=1))[:50]
    assert set(zip(first, second, strict=True)) == set(
        zip(asked[closest], squared[closest].argmin(axis=1), strict=True)
    )


def test_one_speaker_has_no_pairs() -> None:
    vectors, word, speaker = spoken(50)
    alone = np.zeros_like(speaker)
    assert len(neighbour_pairs(vectors, alone, np.arange(50), 1.0)[0]) == 0
    assert len(named_pairs(word, alone, 100, np.random.default_rng(0))[0]) == 0


def test_named_pairs_are_of_known_words_and_of_rare_ones_too() -> None:
    draw = np.random.default_rng(1)
    word = np.r_[np.zeros(500, dtype=int), np.repeat(np.arange(1, 11), 4), np.full(60, -1)]
    speaker = draw.integers(0, 5, len(word))
    first, second = named_pairs(word, speaker, 40, draw)
    assert len(first) == 40
    assert (word[first] == word[second]).all() and (word[first] >= 0).all()
    assert (speaker[first] != speaker[second]).all()
    assert len(np.unique(word[first])) >= 9 and np.bincount(word[first]).max() < 20


def test_the_discriminant_drops_what_differs_within_words() -> None:
    vectors, word, speaker = spoken(600)
    first, second = named_pairs(word, speaker, 200, np.random.default_rng(0))
    projection = discriminant(vectors, vectors[first] - vectors[second], 2)
    assert projection.shape == (3, 2)
    assert np.abs(projection[2]).max() < 0.05 * np.abs(projection[:2]).max()
