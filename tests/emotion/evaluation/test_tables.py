"""Which systems are compared with which, and when a difference counts."""

import numpy as np
import pytest

from emotion.evaluation.evaluate import score_predictions
from emotion.evaluation.predictions import MIN_SEEDS, Predictions
from emotion.evaluation.table_rows import MODERN_TABLE, Row, TableSystem, table_rows
from emotion.evaluation.tables import Difference, Tables, compare_systems, published_differences
from speech2vec.evaluation.bootstrap import Estimate
from speech2vec.runtime.errors import UserError


@pytest.mark.parametrize(
    ("low", "high", "significant"),
    [(-0.1, 0.3, False), (0.1, 0.3, True), (-0.3, -0.1, True), (0.0, 0.3, False), (-0.3, 0.0, False)],
)
def test_a_difference_is_significant_where_its_interval_leaves_zero_out(low, high, significant):
    value = (low + high) / 2
    assert value != 0
    difference = Difference("a", "b", "UA", Estimate(value, low, high), seeds=5)
    assert difference.significant is significant
    assert difference.verdict == ("significant" if significant else "not significant")
    few = Difference("a", "b", "UA", Estimate(value, low, high), seeds=4)
    assert not few.significant and few.verdict == "not judged: fewer than 5 seeds"


def test_a_published_figure_stands_only_beside_the_published_size_of_vectors():
    rows = table_rows({100: "s100.txt"}, {100: "w100.txt", 300: "w300.txt"})
    beside = {(row.table, row.title): row.published for row in rows if row.system is not None}
    assert beside[1, "embedding only, speech vectors, d = 100"] is None
    assert beside[3, "dual encoder, speech vectors, d = 100"] == 66.08
    assert beside[3, "dual encoder, word vectors, d = 300"] == 61.32
    # The paper's best system has vectors of size 50, and its own Bi-LSTM is the acoustic model.
    table_2 = {row.title: row.system for row in rows if row.table == 2}
    assert table_2["dual encoder with speech embeddings"] is None and table_2["Bi-LSTM"] == TableSystem("acoustic")
    assert table_2["E-vector + MCNN + LSTM"] == TableSystem("evector+mcnn_lstm", "speech", 100, "s100.txt")
    with_50 = {row.title: row.system for row in table_rows({50: "s50.txt", 25: "s25.txt"}, {}) if row.table == 2}
    assert with_50["dual encoder with speech embeddings"] == TableSystem("dual", "speech", 50, "s50.txt")


def test_every_other_classifier_has_a_row():
    rows = [row for row in table_rows({}, {20: "w20.txt"}, models=["svm+dual"]) if row.table == MODERN_TABLE]
    systems = {row.system.model: row.system for row in rows}
    assert systems["svm"] == TableSystem("svm")
    assert systems["svm+dual"] == TableSystem("svm+dual", "word", 20, "w20.txt")
    assert not {"acoustic", "embedding", "dual", "evector"} & set(systems) and all(
        row.published is None for row in rows
    )


def test_without_transcripts_there_are_the_systems_of_sound():
    rows = table_rows({}, {}, models=["voice+hmm", "svm+dual"], with_words=False)
    systems = {row.system.model for row in rows}
    assert {"acoustic", "voice", "hmm", "voice+hmm"} <= systems and not {"dual", "evector", "svm+dual"} & systems
    assert {row.table: row.published for row in rows if row.system.model == "acoustic"} == {1: 55.01, 2: 55.03}
    with pytest.raises(UserError, match="no vectors"):
        table_rows({}, {})


def test_systems_are_compared_that_differ_in_their_audio_or_their_vectors():
    true = np.arange(20) % 2
    names = np.array([f"u{i}" for i in range(20)], dtype=object)

    def with_right(n):
        predicted = np.where(np.arange(20) < n, true, 1 - true)[None]
        return Predictions(("neu", "ang"), [0], names, names, names, names, true, predicted)

    results = {
        TableSystem("acoustic"): with_right(10),
        TableSystem("embedding", "speech", 50): with_right(12),
        TableSystem("dual", "speech", 50): with_right(16),
        TableSystem("dual", "word", 50): with_right(14),
        TableSystem("dual", "speech", 100): with_right(18),
        TableSystem("svm"): with_right(11),
    }
    compared = compare_systems(results)
    shown = {(d.first, d.second): d.points.value for d in compared if d.shown}
    assert shown == {
        ("dual encoder, speech vectors, d = 50", "acoustic only"): pytest.approx(0.3),
        ("dual encoder, word vectors, d = 50", "acoustic only"): pytest.approx(0.2),
        ("dual encoder, speech vectors, d = 100", "acoustic only"): pytest.approx(0.4),
        ("dual encoder, speech vectors, d = 50", "embedding only, speech vectors, d = 50"): pytest.approx(0.2),
        ("dual encoder, word vectors, d = 50", "dual encoder, speech vectors, d = 50"): pytest.approx(-0.1),
        ("linear SVM on statistics", "dual encoder, speech vectors, d = 50"): pytest.approx(-0.25),
    }
    # The file has every pair, in both measures, and says what the two differ in.
    made = Tables("COMPOSITE-a-b-seed0", "session5", 1, 20, [], compared)
    header, *rows = made.difference_rows()
    assert len(rows) == 2 * 15 and {row[0] for row in rows} == {"COMPOSITE-a-b-seed0"}
    first = dict(zip(header, rows[0], strict=True))
    assert first["first"] == "embedding only, speech vectors, d = 50" and first["differ in"] == "several"
    about = {(row[1], row[2]): row[3] for row in rows}
    dual = "dual encoder, {} vectors, d = {}".format
    assert about[dual("speech", 50), "acoustic only"] == "words"
    assert about[dual("speech", 50), "embedding only, speech vectors, d = 50"] == "audio"
    assert about[dual("word", 50), dual("speech", 50)] == "vectors"
    assert about[dual("speech", 100), dual("speech", 50)] == "vector size"
    assert about[dual("speech", 100), dual("word", 50)] == "several"


def test_one_seed_of_a_deterministic_system_is_enough_to_be_judged():
    """`voice` is the same with every seed, and so is a fusion of such; the seeds of networks count."""
    true, names = np.arange(40) % 2, np.array([f"u{i}" for i in range(40)], dtype=object)

    def with_right(n, n_seeds):
        predicted = np.where(np.arange(40) < n, true, 1 - true)
        return Predictions(
            ("neu", "ang"), list(range(n_seeds)), names, names, names, names, true, [predicted] * n_seeds
        )

    for one, n_seeds in (("voice", 1), ("voice+evector", 1), ("hmm", MIN_SEEDS)):
        systems = TableSystem("dual", "speech", 50), TableSystem(one)
        (found,) = (
            d
            for d in compare_systems({systems[0]: with_right(20, MIN_SEEDS), systems[1]: with_right(38, n_seeds)})
            if d.measure == "UA"
        )
        assert found.significant and found.points.value == pytest.approx(0.45)
    few = compare_systems({systems[0]: with_right(20, MIN_SEEDS), TableSystem("hmm"): with_right(38, 1)})
    assert not any(d.significant for d in few)


def test_a_difference_is_that_of_the_two_on_the_same_draws():
    """One system is always right; WA and UA differ, because the classes are not equally many."""
    true = np.array([0] * 30 + [1] * 10)
    names = np.array([f"u{i}" for i in range(40)], dtype=object)

    def wrong(n_first, n_second):
        predicted = true.copy()
        predicted[:n_first], predicted[30 : 30 + n_second] = 1, 0
        return Predictions(("neu", "ang"), [0], names, names, names, names, true, predicted[None])

    results = {TableSystem("acoustic"): wrong(0, 0), TableSystem("embedding", "speech", 50): wrong(6, 4)}
    points = {d.measure: d.points for d in compare_systems(results)}
    assert points["WA"].value == pytest.approx(-10 / 40) and points["UA"].value == pytest.approx(-(6 / 30 + 4 / 10) / 2)
    error = np.sqrt(0.25 * 0.75 / 40)  # only the second system varies
    # Each utterance is its own speaker.
    assert points["WA"].low == pytest.approx(-0.25 - 1.96 * error, abs=0.04)
    assert points["WA"].high == pytest.approx(-0.25 + 1.96 * error, abs=0.04)
    with pytest.raises(UserError, match="tested on different utterances"):
        results[TableSystem("acoustic")] = wrong(0, 0).where(np.arange(40) != 3)
        compare_systems(results)


def test_published_figures_are_compared_with_their_own_sampling_error():
    assert published_differences() == [
        "dual, speech minus word vectors, d = 50: +1.37 [-2.31, +5.05], not significant",
        "dual, speech vectors minus E-vector + MCNN + LSTM: +2.59 [-1.10, +6.28], not significant",
        "embedding only, speech minus word vectors: -0.65 [-4.50, +3.20], not significant",
    ]


@pytest.mark.parametrize("n_seeds", [1, 2])
def test_a_deviation_over_seeds_needs_two(n_seeds):
    names = np.array([f"u{i}" for i in range(4)], dtype=object)
    said = np.array([[0, 0, 1, 1], [0, 1, 1, 1]])[:n_seeds]
    predictions = Predictions(
        ("a", "b"), list(range(n_seeds)), names, names, names, names, np.array([0, 0, 1, 1]), said
    )
    row = Row(1, "acoustic only", 50.0, TableSystem("acoustic"))
    rows = [(row, score_predictions(predictions, n_draws=50).scores)]
    rows += [(Row(table, "published", 50.0, None), None) for table in (2, 3)]
    made = Tables("corpus", "session5", n_seeds, 4, rows, [])
    header, first = made.csv_rows()[:2]
    assert str(made).count("±") == (0 if n_seeds == 1 else 3) and str(made) in made._repr_html_()
    assert made.to_dict()["tables"][0]["system"] == "acoustic only"
    assert first[header.index("WA deviation")] == ("" if n_seeds == 1 else 17.68)
    assert first[header.index("WA mean")] == (100 if n_seeds == 1 else 87.5)
    of = [(row[header.index("published corpus")], row[header.index("corpus")]) for row in made.csv_rows()[1:]]
    assert of == [("IEMOCAP, session 5", "corpus"), *[("IEMOCAP, session 5", "")] * 2]
