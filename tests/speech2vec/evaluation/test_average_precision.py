"""Average precision over pairs of instances against scikit-learn, and time warping against its definition."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from speech2vec.evaluation import instance_pairs
from speech2vec.evaluation.average_precision import Precision, precision_of_distances, precision_of_vectors
from speech2vec.evaluation.bootstrap import draw_groups
from speech2vec.evaluation.dtw import dtw_distances
from speech2vec.evaluation.same_different import InstanceFilter
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import generator
from speech2vec.vectors.instances import mean_frames


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**16),
    n=st.integers(4, 40),
    n_words=st.integers(2, 6),
    n_speakers=st.integers(1, 3),
    coarse=st.booleans(),
    pairs_a_block=st.sampled_from([7, 50, 10_000]),
)
def test_agrees_with_scikit_learn_over_all_pairs(
    seed: int, n: int, n_words: int, n_speakers: int, coarse: bool, pairs_a_block: int
) -> None:
    random = np.random.default_rng(seed)
    # Coarse vectors repeat: many pairs tie exactly, and some vectors are zero.
    vectors = random.integers(-1, 2, (n, 2)).astype(float) if coarse else random.normal(size=(n, 4))
    word_id, speaker = random.integers(0, n_words, n), random.integers(0, n_speakers, n)
    word_id[:3] = [0, 0, 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instance_pairs, "_PAIRS_AT_ONCE", pairs_a_block)
        measured = precision_of_vectors(vectors, word_id, speaker)

    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    rows, columns = np.triu_indices(n, 1)
    cosine = np.rint((unit[rows] * unit[columns]).sum(axis=1) * 2**23)
    same, cross = word_id[rows] == word_id[columns], speaker[rows] != speaker[columns]
    over, across = measured.all_pairs, measured.across_speakers
    assert over.ap == pytest.approx(average_precision_score(same, cosine), abs=1e-6)
    assert (over.n_same, over.n_different) == (same.sum(), (~same).sum())
    assert (across.n_same, across.n_different) == ((same & cross).sum(), (~same & cross).sum())
    if (same & cross).any():
        expected = average_precision_score(same[cross], cosine[cross])
        assert across.ap == pytest.approx(expected, abs=1e-6)
    else:
        assert np.isnan(across.ap)
        assert measured.to_dict()["ap_cross_speaker"] is None


def test_does_not_depend_on_the_order_of_the_instances() -> None:
    random = np.random.default_rng(3)
    vectors, word_id, speaker = random.normal(size=(50, 5)), random.integers(0, 9, 50), random.integers(0, 4, 50)
    shuffled = random.permutation(50)
    first = precision_of_vectors(vectors, word_id, speaker)
    second = precision_of_vectors(vectors[shuffled], word_id[shuffled], speaker[shuffled])
    assert first.all_pairs.ap == pytest.approx(second.all_pairs.ap, abs=1e-9)
    assert first.across_speakers.n_same == second.across_speakers.n_same


def test_words_that_sound_apart_score_one_and_random_vectors_chance() -> None:
    random = np.random.default_rng(0)
    word_id, speaker = np.repeat(np.arange(30), 20), np.tile(np.arange(20), 30)
    apart = np.eye(30)[word_id] + random.normal(scale=0.01, size=(600, 30))
    assert precision_of_vectors(apart, word_id, speaker).all_pairs.ap == pytest.approx(1.0)
    noise = precision_of_vectors(random.normal(size=(600, 30)), word_id, speaker)
    for over in (noise.all_pairs, noise.across_speakers):
        assert over.ap == pytest.approx(over.chance, abs=0.01)


def test_vectors_of_the_speaker_alone_lose_across_speakers() -> None:
    random = np.random.default_rng(1)
    word_id, speaker = random.integers(0, 5, 200), random.integers(0, 4, 200)
    measured = precision_of_vectors(np.eye(4)[speaker] + random.normal(scale=0.1, size=(200, 4)), word_id, speaker)
    assert measured.across_speakers.ap == pytest.approx(measured.across_speakers.chance, abs=0.05)


@pytest.mark.parametrize(("n_same", "n_different"), [(1, 0), (1, 5), (3, 4), (4, 0), (2, 9)])
def test_chance_is_the_mean_over_all_rankings(n_same: int, n_different: int) -> None:
    n = n_same + n_different
    every = []
    for found in combinations(range(n), n_same):
        relevant = np.isin(np.arange(n), found)
        every.append(average_precision_score(relevant, -np.arange(n)))
    assert Precision(0.5, n_same, n_different).chance == pytest.approx(np.mean(every), rel=1e-12)


def test_without_a_pair_of_one_word_there_is_no_chance() -> None:
    assert np.isnan(Precision(float("nan"), 0, 5).chance)


def test_a_difference_is_told_by_words_drawn_alike_for_both() -> None:
    random = np.random.default_rng(0)
    word_id, speaker = random.integers(0, 40, 240), random.integers(0, 4, 240)
    clarity = random.uniform(0.2, 4.0, size=(40, 1))[word_id]  # words are easy or hard, whoever listens
    vectors = clarity * random.normal(size=(40, 8))[word_id] + random.normal(size=(240, 8))
    better = precision_of_vectors(vectors, word_id, speaker).all_pairs
    worse = precision_of_vectors(vectors + random.normal(scale=0.6, size=vectors.shape), word_id, speaker).all_pairs
    gain = better.difference(worse)
    assert gain is not None and gain.value == better.ap - worse.ap
    assert better.low < worse.high  # the intervals overlap, yet
    assert 0 < gain.low < gain.value < gain.high
    again = worse.difference(better)
    assert again is not None and (again.low, again.high) == pytest.approx((-gain.high, -gain.low))
    assert better.difference(Precision(0.5, 10, 10)) is None


@pytest.mark.parametrize("over", ["", "_cross_speaker"])
@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_the_interval_is_that_of_words_drawn_again(scale: float, over: str) -> None:
    random = np.random.default_rng(0)
    word_id, speaker = random.integers(0, 40, 240), random.integers(0, 4, 240)
    vectors = random.normal(scale=scale, size=(40, 8))[word_id] + random.normal(size=(240, 8))
    measured = precision_of_vectors(vectors, word_id, speaker, seed=3).to_dict()

    # The same draws, each pair weighed and ranked by itself.
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    rows, columns = np.triu_indices(240, 1)
    kept = (speaker[rows] != speaker[columns]) | (over == "")
    rows, columns = rows[kept], columns[kept]
    similarity, same = (unit[rows] * unit[columns]).sum(axis=1), word_id[rows] == word_id[columns]
    _, times = draw_groups(np.arange(40), generator(3, 8))
    order = np.argsort(-similarity)
    rows, columns, same = rows[order], columns[order], same[order]
    weight = np.where(same, times[:, word_id[rows]], times[:, word_id[rows]] * times[:, word_id[columns]])
    relevant = weight * same
    precision = np.cumsum(relevant, axis=1) / np.maximum(np.cumsum(weight, axis=1), 1)
    drawn = (relevant * precision).sum(axis=1) / relevant.sum(axis=1)

    low, high = np.quantile(drawn, [0.025, 0.975])
    width = high - low
    assert measured[f"low{over}"] == pytest.approx(low, abs=0.1 * width)
    assert measured[f"high{over}"] == pytest.approx(high, abs=0.1 * width)
    assert measured[f"low{over}"] < measured[f"ap{over}"] < measured[f"high{over}"]


def test_words_that_all_rank_alike_leave_no_interval_to_speak_of() -> None:
    word_id, speaker = np.repeat(np.arange(30), 4), np.tile(np.arange(4), 30)
    apart = precision_of_vectors(np.eye(30)[word_id], word_id, speaker)
    for over in (apart.all_pairs, apart.across_speakers):
        assert (over.low, over.high) == (1.0, 1.0)


def test_under_ten_words_have_no_interval() -> None:
    random = np.random.default_rng(5)
    word_id, speaker = np.arange(60) % 9, np.zeros(60, int)
    few = precision_of_vectors(random.normal(size=(60, 4)), word_id, speaker)
    assert np.isnan([few.all_pairs.low, few.all_pairs.high, few.across_speakers.low]).all() and few.all_pairs.ap > 0
    assert few.to_dict()["low"] is None


def test_from_ten_words_on_there_is_an_interval() -> None:
    random = np.random.default_rng(5)
    word_id, speaker = np.arange(60) % 10, np.arange(60) // 30
    ten = precision_of_vectors(random.normal(size=(60, 4)), word_id, speaker)
    for over in (ten.all_pairs, ten.across_speakers):
        assert over.low < over.ap < over.high


@pytest.mark.parametrize("word_id", [np.zeros(5, int), np.arange(5), np.zeros(0, int)])
def test_nothing_to_tell_apart_is_refused(word_id: np.ndarray) -> None:
    vectors = np.ones((len(word_id), 2))
    with pytest.raises(UserError, match="at least two"):
        precision_of_vectors(vectors, word_id, np.zeros(len(word_id), int))


def test_a_diverged_model_is_refused() -> None:
    with pytest.raises(UserError, match="diverged"):
        precision_of_vectors(np.array([[1.0], [np.nan], [1.0]]), np.array([0, 0, 1]), np.zeros(3))


def test_instances_are_long_words_that_occur_twice() -> None:
    types = ["a", "it's", "don't've", "window", "garden"]
    word_id = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    seconds = np.array([0.9, 0.9, 0.9, 0.9, 0.6, 0.49999999, 0.5, 0.7, 0.6, 0.4])
    assert InstanceFilter().select(types, word_id, seconds).tolist() == [4, 5, 6, 7]
    shorter = InstanceFilter(min_characters=3, min_seconds=0)
    assert shorter.select(types, word_id, seconds).tolist() == [2, 3, 4, 5, 6, 7, 8, 9]
    two = InstanceFilter(max_instances=2)
    sample = two.select(types, word_id, seconds, seed=1)
    assert len(sample) == 2
    assert sample.tolist() == two.select(types, word_id, seconds, seed=1).tolist()


def test_mean_frames() -> None:
    frames = np.arange(12.0, dtype=np.float32).reshape(6, 2)
    means = mean_frames(frames, np.array([0, 3]), np.array([3, 1]))
    assert means.tolist() == [[2.0, 3.0], [6.0, 7.0]]
    assert mean_frames(frames, np.zeros(0, int), np.zeros(0, int)).shape == (0, 2)


def best_path(left: np.ndarray, right: np.ndarray) -> float:
    """The normalised cost of the best of all paths, by its definition (Sakoe & Chiba 1978, symmetric, no slope)."""

    def from_cell(i: int, j: int) -> float:
        steps = [(i - 1, j - 1, 2.0), (i - 1, j, 1.0), (i, j - 1, 1.0)]
        before = [from_cell(k, m) + weight * cost[i, j] for k, m, weight in steps if k >= 0 and m >= 0]
        return min(before, default=2.0 * cost[0, 0])

    cost = np.array([[1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in right] for a in left])
    return from_cell(len(left) - 1, len(right) - 1) / (len(left) + len(right))


def test_warping_finds_the_best_of_all_paths() -> None:
    random = np.random.default_rng(0)
    segments = [random.normal(size=(n, 3)) for n in (1, 2, 3, 4, 5, 6)]
    pairs = list(combinations(range(6), 2))
    expected = [best_path(segments[i], segments[j]) for i, j in pairs]
    assert dtw_distances(segments, pairs) == pytest.approx(expected, abs=1e-6)


def test_a_silent_frame_is_unlike_every_other() -> None:
    silent, loud = np.zeros((2, 3)), np.ones((2, 3))
    assert dtw_distances([silent, loud], [(0, 1)]).tolist() == [1.0]


def test_warping_forgives_tempo_but_not_order() -> None:
    random = np.random.default_rng(4)
    word = random.normal(size=(8, 13)).astype(np.float32)
    segments = [word, np.repeat(word, 3, axis=0), word[::-1]]
    same_word, backwards = dtw_distances(segments, [(0, 1), (0, 2)])
    assert same_word == pytest.approx(0.0, abs=1e-6)
    assert backwards > 0.3
    swapped = dtw_distances(segments, [(1, 0), (2, 0)])
    assert swapped == pytest.approx([same_word, backwards], abs=1e-6)


def test_a_segment_without_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="segment 1 has no frames"):
        dtw_distances([np.ones((2, 2)), np.ones((0, 2))], [(0, 1)])


def test_from_distances_agrees_with_the_cosine_of_vectors() -> None:
    random = np.random.default_rng(7)
    vectors, word_id, speaker = random.normal(size=(40, 3)), random.integers(0, 12, 40), random.integers(0, 3, 40)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    rows, columns = np.triu_indices(40, 1)
    from_distances = precision_of_distances(1 - (unit[rows] * unit[columns]).sum(axis=1), word_id, speaker)
    measured = precision_of_vectors(vectors, word_id, speaker).to_dict()
    assert from_distances.to_dict() == pytest.approx(measured, abs=1e-6)
    assert measured["low"] < measured["low"] + 1e-3 < measured["high"]
    with pytest.raises(UserError, match="at least two words"):
        precision_of_distances(np.zeros(3), np.zeros(3, int), np.arange(3))
