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

from speech2vec.batches import DeviceStore
from speech2vec.encoding import segments_of
from speech2vec.held_out import (
    HeldOutLoss,
    _elsewhere,
    _of_several_utterances,
    _within,
    held_out_loss,
    mean_frame,
    split,
)
from speech2vec.model import seeded_model
from speech2vec.presets import ModelSettings
from speech2vec.skipgram import Batch, Sampler, neighbour_pairs


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


LENGTHS = st.lists(st.integers(2, 30), min_size=1, max_size=8)


def batch_of(lengths: list[int], first: int = 0) -> Batch:
    """Utterances of so many words each, the first word being row `first` of a store."""
    utterance = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
    return Batch(first + np.arange(len(utterance)), first + utterance, *neighbour_pairs(utterance, 2))


@given(LENGTHS.filter(lambda lengths: len(lengths) > 1))
def test_each_word_is_given_one_of_another_utterance(lengths: list[int]) -> None:
    batch = batch_of(lengths)
    order, n = _elsewhere(batch), sum(lengths)
    assert (batch.utterance[order] != batch.utterance).all()
    if max(lengths) <= n // 2:  # each once
        np.testing.assert_array_equal(order, np.roll(np.arange(n), n // 2))
    longest = int(np.argmax(lengths))
    given = order[batch.utterance == longest]  # and otherwise as evenly as it goes
    times = np.bincount(given, minlength=n)[batch.utterance != longest]
    assert times.max() - times.min() <= 1 or max(lengths) <= n // 2


@given(LENGTHS)
def test_each_word_is_given_another_of_its_own_utterance(lengths: list[int]) -> None:
    batch = batch_of(lengths)
    order = _within(batch)
    assert (batch.utterance[order] == batch.utterance).all() and (order != np.arange(sum(lengths))).all()


@given(st.lists(LENGTHS, max_size=6))
def test_batches_of_one_utterance_are_joined(every: list[list[int]]) -> None:
    first = np.cumsum([0, *map(sum, every)])
    given = [batch_of(lengths, int(row)) for lengths, row in zip(every, first, strict=False)]
    joined = list(_of_several_utterances(given))

    def flat(batches: list[Batch]) -> np.ndarray:
        """Rows of centres and contexts: the pairs themselves."""
        found = [np.stack([batch.words[batch.centre], batch.words[batch.context]]) for batch in batches]
        return np.concatenate([np.zeros((2, 0), int), *found], axis=1)

    np.testing.assert_array_equal(flat(joined), flat(given))
    sizes = [len(np.unique(batch.utterance)) for batch in joined]
    assert min(sizes, default=2) > 1 or sum(map(len, every)) == 1
    assert max(sizes, default=0) <= 2 + max(map(len, every), default=0)


def test_what_z_is_worth_does_not_depend_on_the_batches(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = made_up_store(tmp_path / "store", speakers=2, utterances=6)
    model = seeded_model(store.n_mfcc, ModelSettings(vector_size=8), 0)
    frames = DeviceStore(store, torch.device("cpu"))
    mean = np.zeros(store.n_mfcc, np.float32)

    def measured(rows: np.ndarray, batch_size: int) -> HeldOutLoss:
        return held_out_loss(model, frames, Sampler.of(store, rows, 3, batch_size, 0), mean)

    held_out = split(store, 0.1, 0).held_out
    alone, paired = measured(held_out, 1), measured(held_out, 2 * 24)  # an utterance of six words has 24 pairs
    assert asdict(alone) == pytest.approx(asdict(paired), rel=1e-6)
    assert not caplog.records
    one = held_out[store.utterance[held_out] == store.utterance[held_out[0]]]
    with caplog.at_level(logging.WARNING, "speech2vec"):
        result = measured(one, 100)
    assert "the held-out part is one utterance" in caplog.text
    assert result.shuffled == result.shuffled_within
