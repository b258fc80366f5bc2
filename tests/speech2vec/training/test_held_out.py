"""What the held-out loss is compared with."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import made_up_store
from hypothesis import given
from hypothesis import strategies as st

from speech2vec.model.encoding import segments_of
from speech2vec.model.settings import ModelSettings
from speech2vec.model.speech2vec import seeded_model
from speech2vec.training.batches import DeviceStore
from speech2vec.training.held_out import (
    held_out_loss,
    held_out_sampler,
    mean_frame,
    words_of_other_utterances,
    words_of_same_utterance,
)
from speech2vec.training.sampler import Sampler, split


def test_mean_frame_is_that_of_the_rows_or_of_stretches_of_them(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store")
    rows = np.arange(1, store.n_words, 2)

    def mean(rows: np.ndarray) -> np.ndarray:
        return segments_of(store, rows).frames.numpy().astype(np.float64).mean(0)

    np.testing.assert_allclose(mean_frame(store, rows), mean(rows), rtol=1e-6, atol=1e-7)
    half, quarter = len(rows) // 2, len(rows) // 4
    two_stretches = np.concatenate([rows[:quarter], rows[half : half + quarter]])
    given = mean_frame(store, rows, most=2 * quarter, n_stretches=2)
    np.testing.assert_allclose(given, mean(two_stretches), rtol=1e-6, atol=1e-7)
    assert not np.allclose(given, mean(rows), rtol=1e-3)


def test_speakers_are_held_out_by_seed_until_the_share_is_reached(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store", utterances=2)  # five speakers of as many words

    def speakers(share: float, seed: int) -> list[set[int]]:
        parts = split(store, share, seed)
        assert sorted([*parts.train, *parts.held_out]) == list(range(store.n_words)) and parts.by == "speakers"
        return [set(store.speaker[rows].tolist()) for rows in (parts.train, parts.held_out)]

    for share, n_held_out in ((0.001, 1), (0.2, 1), (0.3, 2), (0.999, 4)):
        train, held_out = speakers(share, seed=0)
        assert (len(train), len(held_out)) == (5 - n_held_out, n_held_out) and not train & held_out
    assert len({frozenset(speakers(0.3, seed)[1]) for seed in range(8)}) > 2


def utterances(lengths: list[int]) -> np.ndarray:
    """The utterance of each word, of utterances of so many words each."""
    return np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)


LENGTHS = st.lists(st.integers(1, 30), min_size=2, max_size=8)


@given(LENGTHS, st.integers(0, 100))
def test_each_word_is_given_one_of_another_utterance(lengths: list[int], seed: int) -> None:
    utterance = utterances(lengths)
    order = words_of_other_utterances(utterance, seed)
    assert order is not None
    assert (utterance[order] != utterance).all()
    np.testing.assert_array_equal(order, words_of_other_utterances(utterance, seed))


def test_any_word_of_another_utterance_may_be_given() -> None:
    utterance = utterances([2, 3, 1])
    given = np.zeros((6, 6), dtype=int)
    for seed in range(600):
        order = words_of_other_utterances(utterance, seed)
        given[np.arange(6), order] += 1
    expected = 600 * (utterance[:, None] != utterance) / (utterance[:, None] != utterance).sum(axis=1, keepdims=True)
    assert ((given > 0) == (expected > 0)).all()
    assert np.abs(given - expected).max() < 5 * np.sqrt(600 * 0.25)


def test_of_one_utterance_there_is_no_other() -> None:
    assert words_of_other_utterances(utterances([4]), 0) is None


@given(st.lists(st.integers(2, 30), min_size=1, max_size=8))
def test_each_word_is_given_another_of_its_own_utterance(lengths: list[int]) -> None:
    utterance = utterances(lengths)
    order = words_of_same_utterance(utterance)
    assert (utterance[order] == utterance).all() and (order != np.arange(sum(lengths))).all()


def test_of_many_held_out_words_whole_utterances_of_all_speakers_are_measured(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store", speakers=4, utterances=40)  # an utterance of six words has 24 pairs
    held_out = np.flatnonzero(store.speaker > 0)
    np.testing.assert_array_equal(held_out_sampler(store, held_out, 3, seed=0).rows, held_out)
    some = held_out_sampler(store, held_out, 3, seed=0, most_pairs=30 * 24).rows
    assert (np.diff(some) > 0).all() and np.isin(some, held_out).all()
    chosen = np.isin(store.utterance[held_out], store.utterance[some])
    np.testing.assert_array_equal(held_out[chosen], some)  # utterances are whole
    assert len(np.unique(store.utterance[some])) == 30
    assert set(store.speaker[some]) == {1, 2, 3}
    assert not np.array_equal(some, held_out_sampler(store, held_out, 3, seed=1, most_pairs=30 * 24).rows)


def test_what_z_is_worth_equals_decoding_all_at_once(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store", speakers=2, utterances=6)
    model = seeded_model(store.n_mfcc, ModelSettings(vector_size=8), 0)
    frames = DeviceStore(store, torch.device("cpu"))
    rows = split(store, 0.1, 0).held_out
    mean = np.zeros(store.n_mfcc, np.float32)
    measured = [
        held_out_loss(model, frames, Sampler.from_store(store, rows, 3, size, 5), mean) for size in (1, 48, 10_000)
    ]
    (whole,) = Sampler.from_store(store, rows, 3, 10_000, 5)
    np.testing.assert_array_equal(whole.words, rows)
    given = frames.batch(whole)
    other = words_of_other_utterances(store.utterance[rows], 5)
    with torch.inference_mode():
        encoded = model.encoder(given.words)
        for name, order in (
            ("loss", None),
            ("shuffled", other),
            ("shuffled_within", words_of_same_utterance(whole.utterance)),
        ):
            z = encoded if order is None else encoded[torch.from_numpy(order)]
            decoded = model.decode(z, given.words, given.centre, given.context)
            expected = float(decoded.squared_error()) / decoded.target.numel()
            assert [asdict(result)[name] for result in measured] == pytest.approx([expected] * 3, rel=1e-5)


def test_the_z_of_another_utterance_of_one_is_that_of_another_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = made_up_store(tmp_path / "store", speakers=2, utterances=6)
    frames = DeviceStore(store, torch.device("cpu"))
    one = np.flatnonzero(store.utterance == 0)
    model = seeded_model(store.n_mfcc, ModelSettings(vector_size=8), 0)
    with caplog.at_level(logging.WARNING, "speech2vec"):
        result = held_out_loss(
            model, frames, Sampler.from_store(store, one, 3, 100, 0), np.zeros(store.n_mfcc, np.float32)
        )
    assert "the held-out part is a single utterance" in caplog.text
    assert result.shuffled == result.shuffled_within
