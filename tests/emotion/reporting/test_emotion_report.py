"""The report of an emotion run: what it says follows from the predictions, and the page stands alone."""

import csv
import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

import emotion
from emotion.cli.app import app
from emotion.evaluation.calibration import measure_calibration
from emotion.evaluation.predictions import Predictions
from emotion.metrics import wilson_interval
from emotion.reporting.text import statements
from speech2vec.runtime.errors import UserError

LABELS = ("neu", "hap", "sad", "ang")
N_SPEAKERS, N_EACH = 6, 16  # utterances of each class


def predictions(probabilities, true, n_speakers=N_SPEAKERS):
    n = len(true)
    nothing = np.array([""] * n, dtype=object)
    speaker = np.array([f"s{i % n_speakers}" for i in range(n)], dtype=object)
    names = np.array([f"u{i}" for i in range(n)], dtype=object)
    arrays = np.asarray(probabilities)[None]
    return Predictions(LABELS, [0], names, speaker, nothing, nothing, np.array(true), arrays.argmax(axis=-1), arrays)


def drawn(confidence_of, n=2_000, seed=0):
    """Predictions with confidences from .4 to 1, right with the probability `confidence_of` them."""
    draw = np.random.default_rng(seed)
    true = draw.integers(4, size=n)
    sure = draw.uniform(0.4, 1, size=n)
    right = draw.random(n) < confidence_of(sure)
    taken = np.where(right, true, (true + 1) % 4)
    probabilities = np.repeat(((1 - sure) / 3)[:, None], 4, axis=1)
    probabilities[np.arange(n), taken] = sure
    return predictions(probabilities, true)


def test_calibrated_probabilities_are_told_from_others():
    assert measure_calibration(drawn(lambda sure: sure)).calibrated
    too_sure = measure_calibration(drawn(lambda sure: sure - 0.15))
    assert not too_sure.calibrated and too_sure.confidence > too_sure.accuracy
    assert too_sure.error == pytest.approx(0.15, abs=0.03) and too_sure.chance < 0.05
    few = measure_calibration(drawn(lambda sure: sure, n=60))
    assert few.error > 0.05 and few.calibrated  # so few utterances show as much by chance


def test_the_bins_hold_all_utterances_and_give_the_error_again():
    found = measure_calibration(drawn(lambda sure: sure**2))
    assert sum(one.n for one in found.bins) == 2_000
    gaps = sum(one.n * abs(one.accuracy.value - one.confidence) for one in found.bins)
    assert gaps / 2_000 == pytest.approx(found.error)
    assert all(one.low <= one.confidence <= one.high for one in found.bins)
    assert all(one.accuracy.low <= one.accuracy.value <= one.accuracy.high for one in found.bins)


def test_a_share_of_few_trials_has_a_wide_interval():
    assert wilson_interval(0.0, 5).high == pytest.approx(0.434, abs=1e-3)
    assert wilson_interval(0.5, 28).low == pytest.approx(0.326, abs=1e-3)


def written_run(folder, accuracy, *, seed=0, corpus="made-up", control=None, labels=LABELS):
    """A run folder with predictions that are right with these probabilities by class, and their control's."""
    folder.mkdir()
    draw = np.random.default_rng(seed)
    (folder / "splits.json").write_text(json.dumps({"1": {}}))
    (folder / "config.toml").write_text("")
    member = folder / "members" / "1" / "seed-0"
    member.mkdir(parents=True)
    (member / "member.json").write_text("{}")
    info = {"model": "voice", "labels": labels, "features": {}, "corpus": corpus, "seeds": [0], "format": 1}
    (folder / "run.json").write_text(json.dumps({**info, "protocol": "speaker-folds"}))
    for file, chances in (("predictions.csv", accuracy), ("control.csv", control)):
        if chances is None:
            continue
        with (folder / file).open("w", newline="") as out:
            writer = csv.writer(out)
            head = ["seed", "fold", "utterance_id", "speaker", "style", "label", "predicted"]
            writer.writerow([*head, *(f"p_{label}" for label in labels)])
            for speaker in range(N_SPEAKERS):
                for i, label in enumerate(labels):
                    for j in range(N_EACH):
                        taken = i if draw.random() < chances[i] else (i + 1) % len(labels)
                        p = [0.8 if k == taken else 0.2 / (len(labels) - 1) for k in range(len(labels))]
                        row = [0, "1", f"s{speaker}-{label}-{j}", f"s{speaker}", "", label, labels[taken]]
                        writer.writerow([*row, *p])
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    written_run(folder / "good", (0.9, 0.8, 0.55, 0.95), control=(0.5, 0.5, 0.5, 0.5))
    written_run(folder / "other", (0.6, 0.6, 0.6, 0.6), seed=1)
    written_run(folder / "elsewhere", (0.5, 0.5), seed=2, corpus="SYNTHETIC-two", labels=("neu", "joy"))
    return folder


def test_what_one_learns_follows_from_the_predictions(home, tmp_path):
    found = emotion.report(home / "good", tmp_path / "r.html", others=[home / "other", home / "elsewhere"], draws=200)
    rows = list(csv.DictReader((home / "good" / "predictions.csv").open()))
    of_class = {label: [row for row in rows if row["label"] == label] for label in LABELS}
    recall = {label: np.mean([row["predicted"] == label for row in own]) for label, own in of_class.items()}
    text = "\n".join(statements(found))
    assert f"it recognises {100 * np.mean(list(recall.values())):.0f} % in the mean" in text
    assert "better than guessing (25 %)" in text
    assert "This run is better than the linear SVM on statistics on the same folds" in text
    assert f"sad worst ({100 * recall['sad']:.0f} %)" in text and "it takes sad for ang" in text
    assert "Can its probabilities be believed? Yes" in text  # .8 sure, .8 right
    assert "better than other (" in text
    assert "elsewhere" in text and "on other utterances, which cannot be compared" in text
    assert [one.label for one in found.own.classes] == list(LABELS)
    for one in found.own.classes:
        assert one.n == N_SPEAKERS * N_EACH and one.recall.value == pytest.approx(recall[one.label])
        taken = [row["label"] for row in rows if row["predicted"] == one.label]
        assert one.precision == pytest.approx(taken.count(one.label) / len(taken))
    values = [one.accuracy.value for one in found.speakers]
    assert values == sorted(values) and {one.n for one in found.speakers} == {4 * N_EACH}


def test_the_page_stands_alone_and_can_be_read_aloud(home, tmp_path):
    page = tmp_path / "r.html"
    emotion.report(home / "good", page, others=[home / "other", home / "elsewhere"], draws=200)
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", text) and "url(" not in text
    assert page.stat().st_size < 400_000
    assert "Confusion matrix of good" in text and "Confusion matrix of linear SVM" in text
    assert all(re.search(r"scope=", cell) for cell in re.findall(r"<th\b[^>]*>", text))
    scrolled = re.findall(r'<div class="scroll[^"]*"[^>]*>', text)
    assert scrolled and all('tabindex="0"' in one and "aria-label" in one for one in scrolled)
    assert all("aria-label" in one for one in re.findall(r'<[^>]*role="img"[^>]*>', text))
    assert "Made by speech2vec-emotion" in text


def test_a_synthetic_corpus_is_named_first(home, tmp_path):
    emotion.report(home / "elsewhere", tmp_path / "r.html", draws=100)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "no human spoke it" in text[text.index("<body>") : text.index("<h1>")]
    assert "None is beside this run" in text


def invoke(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_the_command_prints_what_one_learns_and_keeps_what_is_there(home, tmp_path):
    page = tmp_path / "r.html"
    text = invoke("report", home / "good", home / "other", "-o", page, "--draws", 100, "--quiet")
    assert text.startswith("How good?") and f"written: {page}" in text
    before = page.read_bytes()
    with pytest.raises(UserError, match="already exists; --force replaces it"):
        invoke("report", home / "good", "-o", page, "--quiet")
    assert page.read_bytes() == before
    with pytest.raises(UserError, match="is not a run of speech2vec-emotion"):
        invoke("report", tmp_path, "-o", tmp_path / "new.html", "--quiet")
    with pytest.raises(UserError, match="is or contains the input"):
        invoke("report", home / "good", "-o", home / "good", "--force", "--quiet")
    (home / "other" / "members" / "1" / "seed-0" / "member.json").rename(tmp_path / "member.json")
    try:
        with pytest.raises(UserError, match="is incomplete"):
            invoke("report", home / "good", home / "other", "-o", tmp_path / "new.html", "--quiet")
    finally:
        (tmp_path / "member.json").rename(home / "other" / "members" / "1" / "seed-0" / "member.json")
    assert not (tmp_path / "new.html").exists()


@pytest.mark.parametrize("number", ["nan", "inf", "1e300", "-3"])
def test_a_damaged_probability_is_one_line(tmp_path, number):
    run = written_run(tmp_path / "run", (0.9, 0.8, 0.7, 0.6))
    text = (run / "predictions.csv").read_text().replace("0.8", number, 1)
    (run / "predictions.csv").write_text(text)
    with pytest.raises(UserError, match=r"a probability is not between 0 and 1"):
        emotion.report(run, tmp_path / "r.html", draws=100)
    assert not (tmp_path / "r.html").exists()
