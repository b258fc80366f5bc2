"""Pairs inside one utterance, every pair once, the same order for the same seed."""

from __future__ import annotations

import dataclasses
import threading
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech2vec.features.store import Store
from speech2vec.training.sampler import (
    Batch,
    BatchIndices,
    Sampler,
    keep_probability,
    neighbour_pairs,
    split,
    subsample,
)

utterance_lengths = st.lists(st.integers(1, 8), min_size=1, max_size=12)


def obvious_pairs(utterance: np.ndarray, window: int) -> set[tuple[int, int]]:
    n = len(utterance)
    return {(i, j) for i in range(n) for j in range(n) if 0 < abs(i - j) <= window and utterance[i] == utterance[j]}


@given(utterance_lengths, st.integers(1, 5))
def test_pairs_are_the_neighbours_within_an_utterance(lengths: list[int], window: int) -> None:
    utterance = np.repeat(np.arange(len(lengths)), lengths)
    centre, context = neighbour_pairs(utterance, window)
    found = list(zip(centre.tolist(), context.tolist(), strict=True))
    assert len(found) == len(set(found))
    assert set(found) == obvious_pairs(utterance, window)


def named_pairs(batch: Batch) -> list[tuple[int, int]]:
    return list(zip(batch.words[batch.centre].tolist(), batch.words[batch.context].tolist(), strict=True))


def sampler(lengths: list[int], batch_size: int, keep: np.ndarray | None = None, seed: int = 3) -> Sampler:
    utterance = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    word_id = np.arange(len(utterance), dtype=np.int32) % 4
    rows = np.arange(len(utterance)) * 2 + 1
    return Sampler(rows, word_id, utterance, np.ones(4) if keep is None else keep, 2, batch_size, seed)


@given(utterance_lengths, st.integers(1, 40), st.integers(0, 5))
def test_an_epoch_holds_every_pair_once(lengths: list[int], batch_size: int, epoch: int) -> None:
    drawn = sampler(lengths, batch_size)
    found: list[tuple[int, int]] = []
    for chosen in drawn.epoch(epoch):
        batch = drawn.batch(chosen)
        found += zip(batch.words[batch.centre].tolist(), batch.words[batch.context].tolist(), strict=True)
    expected = {(int(drawn.rows[i]), int(drawn.rows[j])) for i, j in obvious_pairs(drawn.utterance, 2)}
    assert len(found) == len(set(found)) == drawn.n_pairs()
    assert set(found) == expected


@given(
    utterance_lengths,
    st.integers(1, 40),
    st.integers(0, 5),
    st.booleans(),
    st.sampled_from(["words", "centres"]),
    st.floats(0.05, 1),
)
def test_an_epoch_holds_every_pair_of_its_centres_once(
    lengths: list[int],
    batch_size: int,
    epoch: int,
    across: bool,
    subsample: Literal["words", "centres"],
    chance: float,
) -> None:
    keep = np.array([chance, 1.0, 0.0, 1.0])
    drawn = dataclasses.replace(sampler(lengths, batch_size, keep), subsample=subsample, across_utterances=across)
    whole = dataclasses.replace(drawn, keep=(keep > 0).astype(float))
    for chosen in drawn.epoch(epoch):  # parts of a batch share its pairs out
        half = len(chosen.centres) // 2
        parts = [drawn.batch(chosen[part]) for part in (slice(half), slice(half, None))]
        assert sorted(pair for part in parts for pair in named_pairs(part)) == sorted(named_pairs(drawn.batch(chosen)))
    batches = [drawn.batch(chosen) for chosen in drawn.epoch(epoch)]
    found = [pair for batch in batches for pair in named_pairs(batch)]
    assert len(found) == len(set(found)) <= drawn.n_pairs()
    for batch in batches:  # no word without a use, and each once
        assert sorted({*batch.centre.tolist(), *batch.context.tolist()}) == list(range(len(batch.words)))
        assert len(set(batch.words.tolist())) == len(batch.words)
    if subsample == "centres":  # all pairs of those that were drawn, none of the others
        kept = np.flatnonzero(keep[drawn.word_id] > 0)
        text = np.zeros(len(kept)) if across else drawn.utterance[kept]
        centres = {centre for centre, _ in found}
        expected = {(int(drawn.rows[kept[i]]), int(drawn.rows[kept[j]])) for i, j in obvious_pairs(text, 2)}
        assert set(found) == {pair for pair in expected if pair[0] in centres}
        certain = drawn.rows[keep[drawn.word_id] == 1.0].tolist()
        assert {pair for pair in expected if pair[0] in certain} <= set(found)
    assert drawn.n_pairs() == sum(len(whole.batch(chosen).centre) for chosen in whole.epoch(epoch))


def test_windows_run_across_utterances_in_batches_of_contiguous_text() -> None:
    drawn = dataclasses.replace(sampler([2, 1, 3], 6), across_utterances=True)
    pairs_of = [named_pairs(drawn.batch(chosen)) for chosen in drawn.epoch(0, shuffle=False)]
    rows = drawn.rows.tolist()
    assert sorted(pair for batch in pairs_of for pair in batch) == sorted(
        (rows[i], rows[j]) for i in range(6) for j in range(6) if 0 < abs(i - j) <= 2
    )
    centres = [sorted({centre for centre, _ in batch}) for batch in pairs_of]
    assert len(centres) > 1 and [row for batch in centres for row in batch] == rows


def test_batches_are_about_as_large_as_asked() -> None:
    drawn = sampler([8] * 200, 100)
    sizes = [len(drawn.batch(chosen).centre) for chosen in drawn.epoch(0)]
    assert abs(np.mean(sizes[:-1]) - 100) < 26  # an utterance of eight words has 26 pairs


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        chosen = sampler([3] * 50, 20, seed=seed).epoch(epoch)
        return np.concatenate([batch.positions for batch in chosen]).tolist()

    assert order(3, 1) == order(3, 1)
    assert order(3, 1) != order(3, 2)
    assert order(3, 1) != order(4, 1)


@pytest.mark.parametrize("first", [0, 2, 3])
def test_epochs_one_after_the_other_are_those_epochs(first: int) -> None:
    def in_order(batches: list[BatchIndices]) -> list[list[int]]:
        return [chosen.positions.tolist() for chosen in batches]

    drawn = sampler([3] * 50, 20)
    assert [in_order(batches) for batches in drawn.epochs(first, 3)] == [
        in_order(drawn.epoch(epoch)) for epoch in range(first, 3)
    ]


def test_the_next_epoch_is_chosen_while_one_is_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {epoch: threading.Event() for epoch in range(3)}
    monkeypatch.setattr(Sampler, "epoch", lambda _, epoch: asked[epoch].set() or [])
    for epoch, _ in enumerate(sampler([3], 20).epochs(0, 3)):
        assert epoch == 2 or asked[epoch + 1].wait(timeout=60)


def test_words_left_out_do_not_part_their_neighbours() -> None:
    # The words of type 1 are left out before windows are taken, as in word2vec.
    drawn = sampler([4], 100, keep=np.array([1.0, 0.0, 1.0, 1.0]))
    (chosen,) = drawn.epoch(0)
    batch = drawn.batch(chosen)
    assert chosen.positions.tolist() == [0, 2, 3]
    assert len(batch.centre) == 6 == drawn.n_pairs()


def test_min_count_and_subsampling_keep_what_word2vec_keeps() -> None:
    counts = np.array([1000, 100, 4])
    probability = keep_probability(counts, min_count=5, sample=1e-2)
    total = 1100
    expected = [min(1.0, np.sqrt(1e-2 * total / c) + 1e-2 * total / c) for c in counts[:2]]
    np.testing.assert_allclose(probability, [*expected, 0.0])
    kept = subsample(np.zeros(20_000, dtype=np.int64), probability, np.random.default_rng(0))
    assert kept.mean() == pytest.approx(probability[0], abs=0.01)


def test_utterances_of_one_word_make_no_batch() -> None:
    assert sampler([1, 1, 1], 10).epoch(0) == []


def test_words_alone_in_their_utterance_are_counted_among_the_rows_that_take_part() -> None:
    drawn = sampler([3, 1, 1, 1, 1, 1], 10)
    some = np.flatnonzero(np.isin(drawn.utterance, [0, 5]))
    chosen = {name: getattr(drawn, name)[some] for name in ("rows", "word_id", "utterance")}
    assert drawn.n_singletons() == 5
    assert dataclasses.replace(drawn, **chosen).n_singletons() == 1


def said_by(*n_words: int) -> Store:
    """What `split` reads of a store whose speakers say so many words; every word is an utterance."""
    speaker = np.repeat(np.arange(len(n_words)), n_words)
    names = [f"s{number}" for number in range(len(n_words))]
    store: Any = SimpleNamespace(speaker=speaker, speakers=names, utterance=np.arange(len(speaker)), path="store")
    return store  # type: ignore[no-any-return]


@pytest.mark.parametrize("n_words", [(900, *[10] * 10), (500, 300, *[20] * 10), (10, 990)])
def test_a_speaker_who_dominates_the_corpus_is_trained_on(n_words: tuple[int, ...]) -> None:
    for seed in range(12):
        parts = split(said_by(*n_words), 0.1, seed)
        assert 0 < len(parts.held_out) <= 0.2 * sum(n_words), seed
        assert len(parts.held_out) + len(parts.train) == sum(n_words)


def test_speakers_of_like_size_are_all_drawn() -> None:
    for n_words in ([20, 24, 30, 39], [100] * 30):
        held_out = {int(row) for seed in range(60) for row in split(said_by(*n_words), 0.1, seed).held_out}
        assert len(held_out) == sum(n_words)
        for seed in range(4):
            parts = split(said_by(*n_words), 0.1, seed)
            before = split(said_by(*n_words), 0.1, seed, limited=False)
            np.testing.assert_array_equal(parts.held_out, before.held_out)
            assert parts.n_held_out == len(np.unique(said_by(*n_words).speaker[parts.held_out]))


def test_utterances_are_held_out_where_there_is_one_speaker() -> None:
    parts = split(said_by(50), 0.1, 0)
    assert (parts.by, parts.n_held_out, len(parts.held_out)) == ("utterances", 5, 5)
