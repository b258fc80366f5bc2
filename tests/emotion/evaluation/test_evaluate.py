"""Scores of a run's predictions, in figures that can be checked by hand."""

import csv
import json

import numpy as np
import pytest

from emotion.evaluation.evaluate import evaluate_run, score_predictions
from emotion.evaluation.predictions import Predictions, Resampled, paired_difference
from emotion.metrics import Resampling, expected_calibration_error, interval
from emotion.settings import EmotionSettings
from emotion.training.run import CONTROL_FILE, PREDICTIONS_FILE, SPLITS_FILE, Run

LABELS = ("neu", "ang")


def predictions(true, predicted, speakers=None):
    """Of one seed or more; each utterance is its own speaker's unless `speakers` says otherwise."""
    n = len(true)
    names = np.array([f"u{i}" for i in range(n)], dtype=object)
    nothing = np.array([""] * n, dtype=object)
    speaker = names if speakers is None else np.array(speakers, dtype=object)
    seeds = list(range(len(predicted)))
    return Predictions(LABELS, seeds, names, speaker, nothing, nothing, np.array(true), np.array(predicted))


def trained_run(folder, rows):
    """A run of one seed with these test predictions: fold, style, true and predicted class."""
    folds = sorted({row[0] for row in rows})
    (folder / SPLITS_FILE).write_text(json.dumps({fold: {} for fold in folds}))
    for fold in folds:
        member = folder / "members" / fold / "seed-0"
        member.mkdir(parents=True)
        (member / "member.json").write_text("{}")
    with (folder / PREDICTIONS_FILE).open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["fold", "style", "label", "predicted", "seed", "utterance_id", "speaker", "p_neu", "p_ang"])
        for i, row in enumerate(rows):
            writer.writerow([*row, 0, f"u{i}", f"s{i % 6}", *((0.8, 0.2) if row[3] == "neu" else (0.2, 0.8))])
    info = {"labels": LABELS, "seeds": [0], "model": "acoustic", "corpus": "c", "protocol": "p", "embeddings": None}
    return Run(folder, info, EmotionSettings())


def test_styles_and_folds_are_scored_by_their_own_utterances(tmp_path):
    """What is improvised is always right, what is scripted never, and that is in the second fold only."""
    rows = [(fold, "improvised", label, label) for fold in ("1", "2") for label in LABELS]
    rows += [("2", "scripted", "neu", "ang"), ("2", "scripted", "ang", "neu")]
    found = evaluate_run(trained_run(tmp_path, rows), n_draws=50)
    assert {name: (part.n, part.scores["UA"].mean) for name, part in found.parts.items()} == {
        "all": (6, pytest.approx(2 / 3)),
        "improvised": (4, 1.0),
        "scripted": (2, 0.0),
    }
    assert {fold: scores["UA"] for fold, scores in found.by_fold.items()} == {"1": 1.0, "2": 0.5}


def test_the_bootstrap_s_seed_chooses_its_draws_and_no_score(tmp_path):
    rows = [("1", "", LABELS[i % 2], LABELS[i % 3 % 2]) for i in range(31)]
    run = trained_run(tmp_path, rows)
    first, same, other = (evaluate_run(run, 200, seed).parts["all"].scores["WA"] for seed in (0, 0, 1))
    assert first == same and first.by_utterance != other.by_utterance and first.mean == other.mean
    assert evaluate_run(run, 200).parts["all"].scores["WA"] == first


def test_deviation_over_seeds_has_one_less_below():
    of_both = score_predictions(predictions([0, 0, 1, 1], [[0, 0, 1, 1], [0, 1, 0, 1]]), n_draws=50).scores["WA"]
    assert of_both.mean == 0.75 and of_both.deviation == pytest.approx(0.5 / np.sqrt(2))
    assert score_predictions(predictions([0, 1], [[0, 1]]), n_draws=50).scores["WA"].deviation is None


@pytest.mark.parametrize("n_speakers", [4, 5])
def test_five_speakers_are_enough_for_an_interval_over_speakers(n_speakers):
    """Some speakers are always right, the others never: other speakers would change more than other utterances."""
    speakers = np.repeat([f"s{i}" for i in range(n_speakers)], 20)
    true = np.arange(len(speakers)) % 2
    right = np.repeat(np.arange(n_speakers) % 2 == 0, 20)
    score = score_predictions(predictions(true, [np.where(right, true, 1 - true)], speakers), n_draws=500).scores["WA"]
    if n_speakers == 4:
        assert score.by_speaker is None
    else:
        over_utterances = score.by_utterance.high - score.by_utterance.low
        assert score.by_speaker.high - score.by_speaker.low > 3 * over_utterances


def test_an_interval_over_speakers_is_stretched_for_their_number():
    speakers = np.repeat([f"s{i}" for i in range(8)], 20)
    true = np.arange(160) % 2
    predicted = np.where(np.random.default_rng(0).random(160) < 0.6, true, 1 - true)[None]
    score = score_predictions(predictions(true, predicted, speakers), n_draws=500).scores["WA"]
    sample = Resampling.make(speakers, 500).sample(true, predicted, 2)["WA"]
    assert score.by_speaker == interval(score.mean, sample, 8) != interval(score.mean, sample)
    assert score.by_utterance == interval(
        score.mean, Resampling.make(np.arange(160), 500).sample(true, predicted, 2)["WA"]
    )


def test_confidence_is_held_against_accuracy(tmp_path):
    """Four of six are right at a confidence of 0.8."""
    true, sure = np.array([0, 1, 0, 1]), np.eye(2)[[0, 1, 0, 0]]
    assert expected_calibration_error(true, sure) == pytest.approx(0.25)
    assert expected_calibration_error(true, 0.5 * sure + 0.25) == pytest.approx(0.0)
    # Errors in two bins do not cancel.
    mixed = np.array([[0.9, 0.1], [0.1, 0.9], [0.4, 0.6], [0.6, 0.4]])
    assert expected_calibration_error(true, mixed) == pytest.approx((2 * 0.1 + 2 * 0.6) / 4)
    rows = [("1", "", label, label) for label in LABELS] * 2 + [("1", "", "neu", "ang"), ("1", "", "ang", "neu")]
    found = evaluate_run(trained_run(tmp_path, rows), n_draws=50)
    assert found.parts["all"].calibration_error == pytest.approx(0.8 - 4 / 6)
    assert "expected calibration error 13.3 %" in str(found)


def test_a_run_is_compared_with_the_linear_machine_beside_it(tmp_path):
    labels = [LABELS[i % 2] for i in range(60)]
    other = {"neu": "ang", "ang": "neu"}
    rows = [("1", "", label, label if i % 5 else other[label]) for i, label in enumerate(labels)]
    run = trained_run(tmp_path, rows)
    assert evaluate_run(run, n_draws=50).control is None
    table = list(csv.DictReader((tmp_path / PREDICTIONS_FILE).open()))
    for i, row in enumerate(table):
        row["predicted"] = row["label"] if i % 5 and i % 3 else other[row["label"]]
    with (tmp_path / CONTROL_FILE).open("w", newline="") as out:
        writer = csv.DictWriter(out, table[0])
        writer.writeheader()
        writer.writerows(table)
    found = evaluate_run(run, n_draws=200)
    points = found.control.differences["WA"]
    assert points.value == pytest.approx(16 / 60) and points.low < points.value < points.high
    assert "linear SVM on statistics (control, over speakers): WA 53.3 %, this run +26.7 points" in str(found)
    assert found.to_dict()["control"]["run less control"]["WA"]["value"] == pytest.approx(16 / 60)


def test_seeds_that_differ_widen_the_interval_of_a_difference():
    true = np.arange(200) % 2
    base = np.where(np.arange(200) < 120, true, 1 - true)

    def seeds(*extra):  # each with so many more right
        return predictions(true, np.array([np.where(np.arange(200) < 150 + n, true, 1 - true) for n in extra]))

    control = Resampled.of(predictions(true, base[None]), 400)
    widths = []
    for given in (seeds(0), seeds(0, 0, 0), seeds(-20, 0, 20)):
        points = paired_difference(Resampled.of(given, 400), control, "WA")
        assert points.value == pytest.approx(0.15)
        widths.append(points.high - points.low)
    assert widths[0] == pytest.approx(widths[1])
    error = 0.1 / np.sqrt(3)  # of the mean of three seeds
    assert widths[2] > 2 * 4.30 * error  # Student's quantile with two degrees of freedom
