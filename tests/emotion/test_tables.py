"""Which systems are compared with which, and when a difference counts."""

import numpy as np
import pytest

from emotion.evaluate import Predictions
from emotion.metrics import Interval
from emotion.systems import System
from emotion.tables import Difference, compare_systems


@pytest.mark.parametrize(
    ("low", "high", "significant"),
    [(-0.1, 0.3, False), (0.1, 0.3, True), (-0.3, -0.1, True), (0.0, 0.3, False), (-0.3, 0.0, False)],
)
def test_a_difference_is_significant_where_its_interval_leaves_zero_out(low, high, significant):
    value = (low + high) / 2
    assert value != 0
    assert Difference("a", "b", "UA", Interval(value, low, high)).significant is significant


def test_systems_are_compared_that_differ_in_their_audio_or_their_vectors():
    true = np.arange(20) % 2
    names = np.array([f"u{i}" for i in range(20)], dtype=object)

    def with_right(n):
        predicted = np.where(np.arange(20) < n, true, 1 - true)[None]
        return Predictions(("neu", "ang"), [0], names, names, names, names, true, predicted)

    results = {
        System("acoustic"): with_right(10),
        System("embedding", "speech", 50): with_right(12),
        System("dual", "speech", 50): with_right(16),
        System("dual", "word", 50): with_right(14),
        System("dual", "speech", 100): with_right(18),
    }
    found = {(d.first, d.second): d.points.value for d in compare_systems(results, "WA")}
    assert found == {
        ("dual encoder, speech vectors, d = 50", "acoustic only"): pytest.approx(0.3),
        ("dual encoder, word vectors, d = 50", "acoustic only"): pytest.approx(0.2),
        ("dual encoder, speech vectors, d = 100", "acoustic only"): pytest.approx(0.4),
        ("dual encoder, speech vectors, d = 50", "embedding only, speech vectors, d = 50"): pytest.approx(0.2),
        ("dual encoder, word vectors, d = 50", "dual encoder, speech vectors, d = 50"): pytest.approx(-0.1),
    }
