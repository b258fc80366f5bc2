"""The variance study by frequency, and the speaker probe."""

from __future__ import annotations

import math

import numpy as np
import pytest

from speech2vec.evaluation.variability import ProbeSplit, probe_speaker, probe_split, variability_by_frequency
from speech2vec.runtime.errors import UserError


def test_deviation_is_the_mean_over_words_of_the_mean_over_dimensions() -> None:
    random = np.random.default_rng(0)
    word_id = np.repeat([0, 1, 2, 3], [150, 7, 5, 4])
    instances = 100 + random.normal(size=(len(word_id), 3))  # far from the origin: no digits may be lost
    bins = variability_by_frequency(instances, word_id, np.bincount(word_id))
    of_word = [instances[word_id == w].std(axis=0).mean() for w in range(4)]
    # How far the standard deviation of 7 and of 5 normal values falls short: c4(n) sqrt((n - 1) / n), c4 from tables.
    short = {1: 0.959369 * math.sqrt(6 / 7), 2: 0.939986 * math.sqrt(4 / 5)}
    relative = {w: (instances[word_id == w].std(axis=0) / instances.std(axis=0)).mean() / short[w] for w in short}
    assert [b.n_words for b in bins] == [2, 1, 0, 0]
    assert bins[0].deviation == pytest.approx((of_word[1] + of_word[2]) / 2)
    assert bins[0].relative == pytest.approx((relative[1] + relative[2]) / 2, rel=1e-5)
    assert bins[1].deviation == pytest.approx(of_word[0])
    assert bins[2].deviation is None
    assert [b.label for b in bins] == ["5–99", "100–999", "1,000–9,999", "≥ 10,000"]


def test_a_sampled_word_keeps_the_bin_of_its_corpus_count() -> None:
    bins = variability_by_frequency(
        np.random.default_rng(0).normal(size=(10, 2)), np.zeros(10, int), np.array([20_000])
    )
    assert bins[3].n_words == 1


def test_a_word_of_one_sampled_instance_has_no_deviation() -> None:
    instances = np.array([[0.0, 1.0], [2.0, 5.0], [9.0, 9.0]])
    first, *_ = variability_by_frequency(instances, np.array([0, 0, 1]), np.array([6, 6]))
    assert (first.n_words, first.deviation) == (1, pytest.approx((1 + 2) / 2))


def test_the_ends_of_a_bin_are_inside() -> None:
    counts = np.array([4, 5, 99, 100, 999, 1_000, 9_999, 10_000])
    word_id = np.repeat(np.arange(len(counts)), 2)
    bins = variability_by_frequency(np.random.default_rng(0).normal(size=(16, 2)), word_id, counts)
    assert [one.n_words for one in bins] == [2, 2, 2, 1]


def test_rare_words_of_noise_vary_as_much_as_frequent_ones() -> None:
    random = np.random.default_rng(1)
    word_id = np.concatenate([np.repeat(np.arange(300), 5), np.repeat(np.arange(300, 306), 500)])
    rare, frequent, *_ = variability_by_frequency(random.normal(size=(len(word_id), 8)), word_id, np.bincount(word_id))
    assert rare.relative == pytest.approx(1, abs=0.02) and frequent.relative == pytest.approx(1, abs=0.02)


def test_relative_deviation_is_one_for_noise_and_nought_for_clear_words() -> None:
    random = np.random.default_rng(1)
    word_id = np.repeat(np.arange(40), 30)
    noise = variability_by_frequency(random.normal(size=(1200, 4)) * [1, 10, 100, 1000], word_id, np.bincount(word_id))
    assert noise[0].relative == pytest.approx(1, abs=0.05)
    clear = np.repeat(random.normal(size=(40, 4)), 30, axis=0)
    assert variability_by_frequency(clear, word_id, np.bincount(word_id))[0].relative == pytest.approx(0, abs=1e-9)
    constant = variability_by_frequency(np.ones((1200, 2)), word_id, np.bincount(word_id))
    assert constant[0].relative == 0


def speech(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """6 speakers with 6 utterances of 20 words each."""
    speaker = np.repeat(np.arange(6), 120)
    return speaker, np.repeat(np.arange(36), 20)


def test_the_probe_finds_a_speaker_who_is_there_and_none_who_is_not() -> None:
    random = np.random.default_rng(0)
    speaker, utterance = speech()
    split = probe_split(speaker, utterance)
    assert not set(utterance[split.train]) & set(utterance[split.test])
    assert set(speaker[split.train]) == set(speaker[split.test]) == set(range(6))
    there = random.normal(size=(6, 8))[speaker] * 2 + random.normal(size=(720, 8))
    probe = probe_speaker(there, speaker, utterance, split)
    assert probe.accuracy > 0.9
    assert probe.low <= probe.accuracy <= probe.high
    assert probe.chance == pytest.approx(1 / 6)
    nobody = probe_speaker(random.normal(size=(720, 8)), speaker, utterance, split)
    assert nobody.low < nobody.chance < nobody.high


def test_what_belongs_to_the_utterance_alone_does_not_count_as_speaker() -> None:
    random = np.random.default_rng(0)
    speaker, utterance = speech()
    channel = random.normal(size=(36, 30))[utterance] * 3 + random.normal(size=(720, 30))
    assert probe_speaker(channel, speaker, utterance, probe_split(speaker, utterance)).accuracy < 0.5


def heard(right: np.ndarray, who: np.ndarray) -> tuple[np.ndarray, np.ndarray, ProbeSplit]:
    """Vectors that lie on a speaker's own side in training, and in the test where the probe is to be right."""
    trained = np.repeat([0, 1], 20)
    side = np.concatenate([trained, np.where(right, who, 1 - who)])
    split = ProbeSplit(np.arange(40), np.arange(40, 40 + len(who)))
    return np.stack([2.0 * side - 1, np.zeros(len(side))], axis=1), np.concatenate([trained, who]), split


def test_speakers_weigh_alike_however_much_they_said() -> None:
    who = np.repeat([0, 1], [90, 10])
    vectors, speaker, split = heard(who == 0, who)  # the one always right, the other always wrong
    probe = probe_speaker(vectors, speaker, np.arange(140), split)
    assert (probe.accuracy, probe.low, probe.high) == (0.5, 0.5, 0.5)
    assert (probe.chance, probe.n_speakers, probe.n_train, probe.n_test) == (0.5, 2, 40, 100)


def test_words_of_one_utterance_are_drawn_again_together() -> None:
    who, utterance = np.repeat([0, 1], 200), np.arange(440) // 20
    right = (utterance[40:] % 2).astype(bool)  # whole utterances right or wrong
    vectors, speaker, split = heard(right, who)
    together, apart = (probe_speaker(vectors, speaker, of, split) for of in (utterance, np.arange(440)))
    assert together.accuracy == apart.accuracy == 0.5
    assert together.high - together.low > 3 * (apart.high - apart.low)


def test_the_split_is_seeded_and_bounded() -> None:
    speaker, utterance = speech()
    split = probe_split(speaker, utterance, max_speakers=3, max_instances=25, seed=4)
    assert len(np.unique(speaker[split.train])) == 3
    assert np.bincount(speaker[split.train]).max() == 25
    again = probe_split(speaker, utterance, max_speakers=3, max_instances=25, seed=4)
    assert split.train.tolist() == again.train.tolist()


def test_speakers_of_one_utterance_cannot_be_probed() -> None:
    with pytest.raises(UserError, match="two speakers with two utterances"):
        probe_split(np.repeat([0, 1], 30), np.repeat([0, 1], 30))
