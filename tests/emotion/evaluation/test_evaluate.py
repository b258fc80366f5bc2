"""Scores of a run's predictions, in figures that can be checked by hand."""

import csv
import json

import numpy as np
import pytest

from emotion.evaluation.evaluate import Predictions, evaluate_run, score_predictions
from emotion.metrics import Resampling, interval
from emotion.settings import EmotionSettings
from emotion.training.run import PREDICTIONS_FILE, SPLITS_FILE, Run

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
        writer.writerow(["fold", "style", "label", "predicted", "seed", "utterance_id", "speaker"])
        writer.writerows([*row, 0, f"u{i}", "s"] for i, row in enumerate(rows))
    return Run(folder, {"labels": LABELS, "seeds": [0]}, EmotionSettings())


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
