"""Word vectors from the labels of other speakers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import made_up_store
from hypothesis import given
from hypothesis import strategies as st
from spoken import spoken_store

import speech2vec as s2v
from speech2vec.evaluation.average_precision import precision_of_vectors
from speech2vec.features.store import Store
from speech2vec.model.convolutional import Convolutional
from speech2vec.model.word_encoder import WordEncoder, Words
from speech2vec.runtime.errors import UserError
from speech2vec.training.methods import METHODS
from speech2vec.training.methods.contrastive import WordPairs
from speech2vec.training.sampler import split


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=40), st.integers(0, 99))
def test_pairs_are_of_one_word_and_two_speakers(said: list[tuple[int, int]], seed: int) -> None:
    word, speaker = np.array(said).T
    pairs = WordPairs(word, speaker)
    across = {w for w in range(5) if len({s for v, s in said if v == w}) > 1}
    twice = {w for w in range(5) if (word == w).sum() > 1}
    across = across if len(across) > 1 else set()  # a batch has two words
    assert pairs.across == bool(across) and len(pairs.words) == len(across or twice)
    if not len(pairs.words):
        return
    one, other = pairs.draw(len(pairs.words), np.random.default_rng(seed))
    assert set(word[one]) == (across or twice) and np.array_equal(word[one], word[other])
    assert np.all(speaker[one] != speaker[other]) if across else np.all(one != other)


def test_each_instance_is_drawn() -> None:
    word, speaker = np.repeat([0, 1], 6), np.tile([0, 0, 1, 1, 1, 2], 2)
    pairs, draw = WordPairs(word, speaker), np.random.default_rng(0)
    drawn = np.concatenate([np.concatenate(pairs.draw(2, draw)) for _ in range(200)])
    assert np.bincount(drawn, minlength=12).min() > 20


def test_labels_help_with_a_speaker_never_heard(tmp_path: Path) -> None:
    store = spoken_store(tmp_path / "store", speakers=5)
    settings = {"contrastive.steps": 60, "contrastive.channels": 16, "contrastive.batch_size": 16}
    run = s2v.train(store.path, tmp_path / "run", preset="contrastive", settings=settings, device="cpu", quiet=True)
    rows = split(store, run.settings.data.held_out, run.settings.seed).held_out

    def precision(vectors: np.ndarray) -> float:
        return precision_of_vectors(vectors, store.word_id[rows], store.speaker[rows]).all_pairs.ap

    assert isinstance(run.model, Convolutional)
    trained, linear = run.vectors(rows), run.model.linear.shape[1]
    control = METHODS["contrastive"].untrained(run.model, store, run.settings.of_method, seed=1)
    assert precision(trained) > 0.5
    assert precision(trained[:, linear:]) > precision(_encoded(control, store)[rows]) + 0.05
    np.testing.assert_allclose(np.linalg.norm(trained, axis=1), np.sqrt(2), atol=1e-4)


def _encoded(encoder: WordEncoder, store: Store) -> np.ndarray:
    return encoder.encode(Words.from_store(store))


def test_a_store_without_repeated_words_is_refused(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store", speakers=2, utterances=1, words=3)
    with pytest.raises(UserError, match="are said twice, and the contrastive method needs two"):
        s2v.train(store.path, tmp_path / "run", preset="contrastive", device="cpu", quiet=True)
