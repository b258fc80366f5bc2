"""Measures against scikit-learn; intervals against what is known of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from emotion.metrics import Resampling, balancing_weights, confusion_matrix, interval, measures, recalls, stretch

pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


@settings(max_examples=80, deadline=None)
@given(pairs)
@pytest.mark.filterwarnings("ignore:y_pred contains classes:UserWarning")
def test_equal_to_sklearn(rows):
    true, predicted = np.array(rows).T
    confusion = confusion_matrix(true, predicted, 4)
    np.testing.assert_array_equal(confusion, sk.confusion_matrix(true, predicted, labels=range(4)))
    found = measures(confusion)
    there = sorted(set(true.tolist()))
    assert found["WA"] == pytest.approx(sk.accuracy_score(true, predicted))
    assert found["UA"] == pytest.approx(sk.recall_score(true, predicted, labels=there, average="macro"))
    assert found["macro F1"] == pytest.approx(sk.f1_score(true, predicted, labels=there, average="macro"))
    np.testing.assert_allclose(recalls(confusion)[there], sk.recall_score(true, predicted, labels=there, average=None))


def test_a_draw_is_the_confusion_of_its_utterances():
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 3, 20), rng.integers(0, 3, 20)
    draws = Resampling.make(np.repeat(np.arange(5), 4), n_draws=7)
    stacked = draws.confusions(true, predicted, 3)
    for draw, confusion in zip(draws.draws, stacked, strict=True):
        rows = np.repeat(np.arange(20), draw[draws.unit].astype(int))
        np.testing.assert_array_equal(confusion, confusion_matrix(true[rows], predicted[rows], 3))


def test_interval_of_accuracy_is_about_the_binomial_one():
    rng = np.random.default_rng(1)
    true = rng.integers(0, 4, 1241)
    predicted = np.where(rng.random(1241) < 0.68, true, (true + 1) % 4)
    sample = Resampling.make(np.arange(1241)).sample(true, predicted[None], 4)["WA"]
    value = (true == predicted).mean()
    found = interval(value, sample)
    error = np.sqrt(value * (1 - value) / 1241)
    assert found.low == pytest.approx(value - 1.96 * error, abs=0.005)
    assert found.high == pytest.approx(value + 1.96 * error, abs=0.005)


def test_same_draws_for_the_same_seed():
    first, second = (Resampling.make(np.arange(9), 10, seed=3).draws for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_draws_of_speakers_keep_each_one_s_utterances_together():
    """Ten speakers of twenty utterances, all right or all wrong: what varies is who is drawn."""
    speakers = np.repeat([f"s{i}" for i in range(10)], 20)
    true = np.zeros(200, dtype=int)
    predicted = np.repeat(np.arange(10) % 2, 20)[None]
    by_speaker, by_utterance = (
        interval(0.5, Resampling.make(groups, 1000).sample(true, predicted, 2)["WA"])
        for groups in (speakers, np.arange(200))
    )
    assert by_utterance.high - by_utterance.low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 200), abs=0.03)
    assert by_speaker.high - by_speaker.low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 10), abs=0.1)


@pytest.mark.parametrize("n_speakers", [5, 10])
def test_an_interval_over_few_speakers_holds_the_true_value(n_speakers):
    """Accuracies of 40 utterances a speaker, who differ by 10 points: 95 in 100 intervals should hold their mean.

    Without the stretch, 84 in 100 do with 5 speakers and 91 with 10.
    """
    truth, n_corpora = 0.6, 3000
    rng = np.random.default_rng(2)
    of_speaker = rng.normal(truth, 0.1, (n_speakers, n_corpora)).clip(0, 1)
    accuracy = rng.binomial(40, of_speaker) / 40
    draws = Resampling.make(np.arange(n_speakers), 1000).draws
    samples = (draws @ accuracy / n_speakers).T
    found = [interval(value, sample, n_speakers) for value, sample in zip(accuracy.mean(axis=0), samples, strict=True)]
    assert 0.93 < np.mean([one.low <= truth <= one.high for one in found]) < 0.96


def test_what_is_stretched_stays_a_share():
    sample = np.linspace(0.5, 1, 1001)
    plain, stretched = interval(0.95, sample), interval(0.95, sample, 5)
    assert stretched.low == pytest.approx(0.95 - stretch(5) * (0.95 - plain.low)) and stretched.high == 1
    # A value outside its own percentiles: neither side is drawn in.
    outside = interval(0.4, sample, 5)
    assert (outside.low, outside.value) == (plain.low, 0.4) and outside.high > plain.high


def test_balanced_classes_count_the_same():
    labels = np.array([0, 0, 0, 2, 2, 3])
    weights = balancing_weights(labels, 6)
    assert weights.shape == (6,) and balancing_weights(labels).shape == (4,)
    np.testing.assert_allclose([weights[labels][labels == i].sum() for i in (0, 2, 3)], 2)
    assert weights[[1, 4, 5]].tolist() == [0, 0, 0] and weights[labels].mean() == 1
