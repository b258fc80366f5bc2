"""The homophone check: vectors that come from sound pass, vectors that come from spelling do not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from speech2vec.corpus.pronunciations import (
    all_pronunciations,
    first_pronunciations,
    homophone_groups,
    one_phone_apart,
    read_dictionary,
)
from speech2vec.evaluation.benchmarks import Benchmark
from speech2vec.evaluation.bootstrap import Estimate, draw_groups
from speech2vec.evaluation.homophones import HomophoneCheck, check_homophones, homophone_pairs
from speech2vec.evaluation.matched_pairs import Pairs, match_pairs
from speech2vec.evaluation.near_homophones import near_homophones, synonym_pairs
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import generator
from speech2vec.vectors.instances import Instances
from speech2vec.vectors.word_vectors import WordVectors

N_SOUNDS = 200


@pytest.fixture(scope="module")
def dictionary() -> dict[str, tuple[str, ...]]:
    """200 sounds; the first 40 have two spellings (w0, v0), frequent and rare ones mixed."""
    sounds = {number: ("K", f"P{number // 20}", f"Q{number % 20}") for number in range(N_SOUNDS)}
    return {f"w{n}": phones for n, phones in sounds.items()} | {f"v{n}": sounds[n * 5] for n in range(40)}


def spoken(
    dictionary: dict[str, tuple[str, ...]], from_sound: bool, seed: int = 0, n_voices: int = 12
) -> tuple[WordVectors, dict[int, Instances]]:
    """Vectors of 6 to 30 instances a word, scattered about a centre that belongs to the sound or to the spelling."""
    random = np.random.default_rng(seed)
    words = list(dictionary)
    random.shuffle(words)
    counts = np.sort(random.integers(6, 31, len(words)))[::-1]
    centres = {key: random.normal(size=16) for key in [*dictionary.values(), *words]}
    instances = {
        row: Instances(
            centres[dictionary[word] if from_sound else word] + random.normal(scale=0.7, size=(counts[row], 16)),
            np.arange(counts[row]) % n_voices,
        )
        for row, word in enumerate(words)
    }
    means = np.array([instances[row].vectors.mean(axis=0) for row in range(len(words))], dtype=np.float32)
    return WordVectors(words, means, counts), instances


def test_vectors_from_sound_pass_with_and_without_instances(dictionary) -> None:
    vectors, instances = spoken(dictionary, from_sound=True)
    pairs = homophone_pairs(vectors, dictionary)
    assert len(pairs) == 40
    check = check_homophones(vectors, pairs, instances)
    assert check.from_instances and check.split_halves is not None and check.auc_split is not None
    assert check.auc_random.value > 0.99
    assert check.auc_split.low < 0.5 < check.auc_split.high
    assert check.homophones.value == pytest.approx(check.split_halves.value, abs=0.03)
    assert check.median_rank == 1
    assert check.nearest > 0.95
    assert check.verdict.startswith("These vectors behave as vectors from sound must: 40 homophone pairs")
    assert "not distinguishably further apart than two halves" in check.verdict

    from_file = check_homophones(vectors, pairs)
    assert from_file.split_halves is None and from_file.auc_split is None
    assert from_file.auc_random.value > 0.99
    assert "halves" not in from_file.verdict
    json.dumps(check.to_dict(), allow_nan=False)


def test_vectors_from_spelling_fail(dictionary) -> None:
    vectors, instances = spoken(dictionary, from_sound=False)
    check = check_homophones(vectors, homophone_pairs(vectors, dictionary), instances)
    assert check.auc_random.value == pytest.approx(0.5, abs=0.12)
    assert check.auc_split is not None and check.auc_split.value < 0.02
    assert check.median_rank > 50
    assert check.verdict.startswith("These vectors do not behave as vectors from sound must")
    assert "further apart than two halves" in check.verdict


def test_the_size_of_halves_is_the_homophones_own(dictionary) -> None:
    """Means over few instances are noisy: halves of a frequent word must not be compared with means over many."""
    vectors, instances = spoken(dictionary, from_sound=True)
    pairs = homophone_pairs(vectors, dictionary)
    # Each rarer homophone keeps two instances: only halves of two instances each are as noisy.
    rarer = set(pairs.second.tolist())
    few = {row: own.subset(np.arange(2)) if row in rarer else own for row, own in instances.items()}
    check = check_homophones(vectors, pairs, few)
    assert check.auc_split is not None
    assert check.auc_split.low < 0.5 < check.auc_split.high


def test_halves_of_a_word_share_no_more_voices_than_homophones_do(dictionary) -> None:
    """Each word is said by three voices, and a voice adds to its words more than words differ by."""
    vectors, instances = spoken(dictionary, from_sound=True)
    random = np.random.default_rng(1)
    voices = random.normal(scale=1.5, size=(12, 16))
    said = {}
    for row, own in instances.items():
        voice = random.choice(12, 3, replace=False)[np.arange(len(own)) % 3]
        said[row] = Instances(own.vectors + voices[voice], voice)
    check = check_homophones(vectors, homophone_pairs(vectors, dictionary), said)
    assert check.auc_split is not None
    assert check.auc_split.low < 0.5 < check.auc_split.high


def test_a_rare_word_of_few_voices_is_compared_with_as_few_voices(dictionary) -> None:
    """The rarer homophone is said by two voices, the other by twelve: means over two voices are noisier."""
    found = []
    for seed in range(5):
        vectors, instances = spoken(dictionary, True, seed)
        random = np.random.default_rng(seed)
        said_by = {sound: random.normal(scale=1.5, size=(12, 16)) for sound in dictionary.values()}
        pairs = homophone_pairs(vectors, dictionary)
        rarer = set(pairs.second.tolist())
        said = {}
        for row, own in instances.items():
            voice = np.arange(len(own)) % 12
            if row in rarer:
                voice = random.choice(12, 2, replace=False)[voice % 2]
            said[row] = Instances(own.vectors + said_by[dictionary[vectors.words[row]]][voice], voice)
        auc = check_homophones(vectors, pairs, said).auc_split
        assert auc is not None
        found.append(auc.value)
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)


def test_pairs_without_two_voices_or_enough_instances_are_left_out(dictionary) -> None:
    vectors, instances = spoken(dictionary, from_sound=True)
    pairs = homophone_pairs(vectors, dictionary)
    rows = [int(pairs.first[0]), int(pairs.second[0])]
    single = instances | {row: instances[row].subset(np.arange(1)) for row in rows}
    assert check_homophones(vectors, pairs, single).n_pairs == 39


def test_few_pairs_give_no_verdict(dictionary) -> None:
    vectors, _ = spoken(dictionary, from_sound=True)
    pairs = homophone_pairs(vectors, dictionary).subset(np.arange(5))
    assert check_homophones(vectors, pairs).verdict.startswith("Too few homophones to tell: 5 homophone pairs")


def test_no_homophones_at_all_is_said(dictionary) -> None:
    vectors, _ = spoken(dictionary, from_sound=True)
    with pytest.raises(UserError, match="homophones"):
        homophone_pairs(vectors, dictionary, min_count=1000)


def test_zero_vectors_take_no_part(dictionary) -> None:
    vectors, _ = spoken(dictionary, from_sound=True)
    changed = vectors.vectors.copy()
    changed[vectors.index["v0"]] = 0
    with_zero = WordVectors(vectors.words, changed, vectors.counts)
    assert len(homophone_pairs(with_zero, dictionary)) == 39
    assert check_homophones(with_zero, homophone_pairs(with_zero, dictionary)).n_words == len(vectors) - 1


def test_random_pairs_are_as_frequent_and_never_homophones() -> None:
    pairs = match_pairs(np.array([[3, 700], [700, 5], [10, 400]]), np.arange(1000), np.array([0, 0, 1]), seed=1)
    assert pairs.first.tolist() == [3, 5, 10]
    assert pairs.second.tolist() == [700, 700, 400]
    assert (np.abs(pairs.random - pairs.second[:, None]) <= 100).all()
    assert not (pairs.random == pairs.second[:, None]).any()
    sampled = match_pairs(np.array([[i, i + 1] for i in range(50)]), np.arange(100), np.arange(50), max_pairs=7)
    assert len(sampled) == 7
    assert sampled.n_found == 50


def test_a_word_is_never_its_own_random_word() -> None:
    candidates = np.array([[i, 29 - i] for i in range(15)])
    pairs = match_pairs(candidates, np.arange(30), np.arange(15), seed=0)
    assert len(pairs) == 15
    for first, second, random in zip(pairs.first, pairs.second, pairs.random, strict=True):
        assert first not in random and second not in random


def pair_of(vectors: WordVectors, first: str, second: str) -> Pairs:
    """One pair of homophones; all words but them are its random ones."""
    rows = [vectors.index[word] for word in (first, second)]
    others = np.setdiff1d(np.arange(len(vectors)), rows)
    return Pairs(np.array(rows[:1]), np.array(rows[1:]), others[None], np.zeros(1, int), 1)


def test_the_tenth_neighbour_is_among_the_nearest_ten() -> None:
    angles = np.radians(np.arange(16.0))
    vectors = WordVectors([f"w{i}" for i in range(16)], np.stack([np.cos(angles), np.sin(angles)], axis=1))
    check = check_homophones(vectors, pair_of(vectors, "w0", "w10"))
    # Nine words lie between them; w11 to w15 are nearer to w10 as well.
    assert check.examples[0]["ranks"] == [10, 15]
    assert (check.nearest, check.in_top_10, check.median_rank) == (0.0, 0.5, 12.5)


def test_a_word_as_near_as_the_homophone_does_not_stand_before_it() -> None:
    rows = np.array([[1, 0], [0.6, 0.8], [0.6, 0.8], [0, 1]], dtype=np.float32)
    vectors = WordVectors(["ate", "eight", "same", "far"], rows)
    check = check_homophones(vectors, pair_of(vectors, "ate", "eight"))
    assert check.examples[0]["ranks"] == [1, 3]  # from "eight", "same" and "far" are nearer than "ate"


@pytest.mark.parametrize(
    ("interval", "start"),
    [
        ((0.80, 0.95), "These vectors behave as vectors from sound must: "),
        ((0.70, 0.95), "Undecided whether these vectors come from sound: "),
        ((0.70, 0.79), "These vectors do not behave as vectors from sound must: "),
    ],
)
def test_the_verdict_is_that_of_the_whole_interval(interval: tuple[float, float], start: str) -> None:
    cosine, auc = Estimate(0.5, 0.4, 0.6), Estimate(0.85, *interval)
    check = HomophoneCheck(30, 30, 100, False, cosine, cosine, None, auc, None, 2.0, 0.5, 0.9, [])
    assert check.verdict.startswith(start)


def test_the_interval_of_an_auc_is_that_of_groups_drawn_again() -> None:
    random = np.random.default_rng(0)
    group = np.repeat([0, 1, 2, 3, 4], [1, 2, 3, 2, 1])
    below = random.normal(size=(9, 4))
    above = 0.7 + below[:, 0] + random.normal(size=9)
    estimate = Estimate.of_auc(above, below, group, seed=3)

    # The same draws, each group's pairs written down as often as it was drawn; a pair meets its own controls, and not
    # those of its copies.
    member, times = draw_groups(group, generator(3, 7))
    drawn = []
    for of_group in times:
        rows = np.repeat(np.arange(9), of_group[member])
        wins = (above[rows][:, None, None] > below[rows]).mean(axis=2)
        copies = (rows[:, None] == rows) & ~np.eye(len(rows), dtype=bool)
        drawn.append(wins[~copies].mean())
    assert estimate.value == pytest.approx((above[:, None] > below.ravel()).mean(), abs=1e-6)
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-6)
    assert estimate.low < estimate.value < estimate.high


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_auc_is_that_of_mann_and_whitney(above: list[int], below: list[int]) -> None:
    n = min(len(above), len(below))
    a, b = np.array(above[:n], dtype=float), np.array(below[:n], dtype=float)
    estimate = Estimate.of_auc(a, b[:, None], np.arange(n), seed=0)
    assert estimate.value == pytest.approx(mannwhitneyu(a, b).statistic / n**2, abs=1e-6)
    assert estimate.low - 1e-6 <= estimate.high + 1e-6


def test_the_interval_widens_when_pairs_share_a_sound() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=20), 10)
    alone = Estimate.of_mean(values, np.arange(200), seed=0)
    shared = Estimate.of_mean(values, np.repeat(np.arange(20), 10), seed=0)
    assert shared.high - shared.low > 2 * (alone.high - alone.low)


def test_synonyms_are_the_top_of_each_benchmark() -> None:
    pairs = [(f"a{i}", f"b{i}") for i in range(9)] + [("same", "same")]
    benchmark = Benchmark("x", pairs, np.arange(10.0))
    assert synonym_pairs([benchmark]) == [("a8", "b8")]
    assert len(synonym_pairs([benchmark], share=0.5)) == 4


def test_phonetic_and_semantic_vectors_are_told_apart(dictionary) -> None:
    random = np.random.default_rng(2)
    words = list(dictionary)
    counts = np.full(len(words), 9)
    synonyms = [(f"w{i}", f"w{(i + 107) % N_SOUNDS}") for i in range(0, 100, 2)]
    benchmark = Benchmark(
        "synonyms", [*synonyms, *[("x", f"y{i}") for i in range(200)]], np.r_[np.ones(50), -np.arange(200.0)]
    )

    parts: dict[str, np.ndarray] = {}
    for phones in dictionary.values():
        for phone in phones:
            parts.setdefault(phone, random.normal(size=20))
    phonetic = np.array([np.concatenate([parts[phone] for phone in dictionary[word]]) for word in words])
    meaning = {word: random.normal(size=20) for word in words}
    for first, second in synonyms:
        meaning[second] = meaning[first] + random.normal(scale=0.2, size=20)
    semantic = np.array([meaning[word] for word in words])

    for vectors, start, kind in (
        (phonetic, "Similarity is phonetic, and nothing semantic shows", "near-homophones"),
        (semantic, "Similarity is semantic, and nothing phonetic shows", "synonyms"),
    ):
        table = near_homophones(WordVectors(words, vectors.astype(np.float32), counts), dictionary, [benchmark])
        assert table.sentence.startswith(start)
        assert {row.kind: row.auc_random.value > 0.9 for row in table.kinds}[kind]
        json.dumps(table.to_dict(), allow_nan=False)


def test_a_handful_of_synonyms_decides_nothing(dictionary) -> None:
    vectors, _ = spoken(dictionary, from_sound=True)
    benchmark = Benchmark("few", [("w1", "w50"), ("w2", "w60"), *[("x", f"y{i}") for i in range(8)]], -np.arange(10.0))
    table = near_homophones(vectors, dictionary, [benchmark])
    assert table.sentence.startswith("Too few synonyms to tell whether similarity is phonetic or semantic: ")
    assert "2 synonyms with AUC" in table.sentence


def test_without_synonyms_the_second_table_says_so(dictionary) -> None:
    vectors, _ = spoken(dictionary, from_sound=True)
    table = near_homophones(vectors, dictionary, [Benchmark("none", [("x", "y")], np.ones(1))])
    assert [row.kind for row in table.kinds] == ["near-homophones"]
    assert table.sentence.startswith("Too few words")


def test_the_dictionary_in_the_wheel_holds_the_homophones_of_the_dispute() -> None:
    pronunciations = first_pronunciations()
    assert pronunciations["ate"] == pronunciations["eight"] == ("EY", "T")
    assert pronunciations["a"] == ("AH",)  # the first-listed, not a(2)
    assert len(pronunciations) > 100_000
    words = ["eight", "dogs", "dog's", "to", "ate", "two", "zzz"]
    assert homophone_groups(words, pronunciations) == [["eight", "ate"], ["to", "two"]]
    # "to" may be reduced, "two" may not: not the same word to an encoder that hears them.
    assert homophone_groups(words, all_pronunciations()) == [["eight", "ate"]]


def test_near_homophones_differ_in_one_phone_that_is_not_the_last() -> None:
    pronunciations = {
        "cat": ("K", "AE", "T"),
        "cats": ("K", "AE", "T", "S"),
        "bat": ("B", "AE", "T"),
        "cot": ("K", "AA", "T"),
        "cap": ("K", "AE", "P"),
        "kat": ("K", "AE", "T"),
        "at": ("AE", "T"),
        "it": ("IH", "T"),
    }
    found = {frozenset(pair) for pair in one_phone_apart(list(pronunciations), pronunciations)}
    assert found == {frozenset(p) for p in [("cat", "bat"), ("cat", "cot"), ("kat", "bat"), ("kat", "cot")]}


def test_a_dictionary_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "words.dict"
    file.write_text(";;; comment\nRead R EH1 D\nREAD(2) R IY1 D\n\nred R EH1 D # colour\n", encoding="utf-8")
    assert first_pronunciations(file) == {"read": ("R", "EH", "D"), "red": ("R", "EH", "D")}
    assert read_dictionary(file) == {"read": [("R", "EH1", "D"), ("R", "IY1", "D")], "red": [("R", "EH1", "D")]}
    assert all_pronunciations(file) == {"read": {("R", "EH", "D"), ("R", "IY", "D")}, "red": {("R", "EH", "D")}}
    file.write_text("ate EY T\neight EY T\n", encoding="utf-8-sig")  # with a byte-order mark
    assert [*first_pronunciations(str(file))] == ["ate", "eight"]
    file.write_bytes("caf\u00e9 K AE F EY\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"words\.dict is not UTF-8 .*: convert it"):
        first_pronunciations(file)
    file.write_text("red R EH D\nblue\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"words\.dict, line 2: 'blue' has no phones"):
        first_pronunciations(file)
    with pytest.raises(UserError, match="cannot be read"):
        first_pronunciations(tmp_path / "none.dict")


def test_of_one_voice_there_are_no_halves_in_others(dictionary, caplog) -> None:
    vectors, instances = spoken(dictionary, from_sound=True, n_voices=1)
    check = check_homophones(vectors, homophone_pairs(vectors, dictionary), instances)
    assert check.split_halves is None and check.auc_split is None and not check.from_instances
    assert check.n_pairs == 40 and check.auc_random.value > 0.99
    assert "none is compared with halves" in caplog.text
