"""Whole runs of classifiers that are not networks: trained, evaluated, asked about a recording; and of one's own."""

import json
import shutil
import sys

import numpy as np
import pytest
import soundfile as sf
from safetensors.numpy import load_file, save_file

import emotion
from emotion.classifiers.inner import apply_temperature
from emotion.classifiers.svm import Svm
from emotion.data import audio_inputs
from emotion.data.dataset import Prepared
from emotion.features.functionals import VERSION
from emotion.training.folds import build_examples
from emotion.training.run import CONTROL_FILE, Run
from speech2vec.runtime.errors import UserError

LABELS = ("neu", "hap", "sad", "ang")
SMALL = {"model.hidden_size": 4, "model.dense_size": 4, "training.epochs": 2}
OUTSIDE = '''
import numpy as np
from safetensors.numpy import load_file, save_file
from emotion.data.audio_inputs import load_waveform
from speech2vec.runtime.config import Settings

class NearestSettings(Settings):
    sharpness: float = 0.1

class Nearest:
    """The class with the nearest mean spectrum."""
    name = "nearest"
    inputs = frozenset({"spectrogram", "waveform", "words"})
    settings = NearestSettings

    def fit(self, train, development, context):
        assert len(load_waveform(train.waveform[0])) > 4000 and train.words[0][0].startswith("word")
        spectra = np.stack([own.mean(axis=0) for own in train.spectrogram])
        means = np.stack([spectra[train.labels == i].mean(axis=0) for i in range(len(context.labels))])
        return Fitted(means, context.settings.of(self.name, NearestSettings).sharpness)

    def load(self, folder, context):
        means = load_file(folder / "means.safetensors")["means"]
        return Fitted(means, context.settings.of(self.name, NearestSettings).sharpness)

class Fitted:
    def __init__(self, means, sharpness):
        self.means, self.sharpness = means, sharpness

    def predict_proba(self, examples):
        spectra = np.stack([own.mean(axis=0) for own in examples.spectrogram])
        closeness = np.exp(-self.sharpness * np.square(spectra[:, None] - self.means).sum(axis=2))
        return closeness / closeness.sum(axis=1, keepdims=True)

    def save(self, folder):
        save_file({"means": self.means}, folder / "means.safetensors")

    @property
    def facts(self):
        return {"parameters": self.means.size}
'''


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Five speakers, each class twice, each with its pitch and its word; prepared."""
    folder = tmp_path_factory.mktemp("classifiers")
    rng = np.random.default_rng(0)
    rows = ["audio,text,speaker,label"]
    for speaker in range(5):
        for i in range(8):
            time = np.arange(8000 + 400 * speaker) / 16000
            tone = 0.3 * np.sin(2 * np.pi * (300 + 400 * (i % 4) + 10 * speaker) * time)
            sf.write(folder / f"{speaker}-{i}.wav", tone + 0.01 * rng.standard_normal(len(time)), 16000)
            rows.append(f"{speaker}-{i}.wav,word{i % 4} more,s{speaker},{LABELS[i % 4]}")
    (folder / "table.csv").write_text("\n".join(rows))
    emotion.prepare("table", folder / "table.csv", folder / "prepared", jobs=1, quiet=True)
    return folder


def train(home, run, model, settings=None, **more):
    options = {"folds": 5, "seeds": 1, "jobs": 1, "quiet": True, **more}
    return emotion.train(home / "prepared", run, model=model, settings={**SMALL, **(settings or {})}, **options)


def scores(classifier):
    return {name: score.mean for name, score in emotion.evaluate(classifier).parts["all"].scores.items()}


@pytest.mark.parametrize("model", ["svm", "svm+embedding"])
def test_a_run_without_a_network_is_a_run(home, tmp_path, model):
    classifier = train(home, tmp_path / "run", model, embeddings="random:4" if "embedding" in model else None)
    assert scores(classifier)["UA"] > 0.9
    assert (tmp_path / "run" / CONTROL_FILE).exists() is (model != "svm")
    facts = json.loads((tmp_path / "run" / "members" / "fold-1" / "seed-0" / "member.json").read_text())
    assert facts["parameters"] > 0 and facts["seconds"] > 0 and 0.05 <= facts["temperature"] <= 20
    # Asked about a recording of the corpus, the mean of all folds is what it says.
    prepared = Prepared.open(home / "prepared")
    examples = build_examples(classifier.run, prepared)
    wanted = np.mean([member.predict_proba(examples) for member in classifier.run.load_members()], axis=0)
    i = next(i for i, one in enumerate(prepared.utterances()) if one.audio.name == "2-3.wav")
    (found,) = emotion.load(tmp_path / "run").predict(home / "2-3.wav", text=prepared.text[i]).predictions
    np.testing.assert_allclose(list(found.probabilities.values()), wanted[i], atol=1e-5)
    assert found.label == "ang"
    with pytest.raises(UserError, match="export writes networks only"):
        classifier.export(tmp_path / "model.onnx")
    assert not [path for path in (tmp_path / "run").rglob("*") if path.suffix in {".pkl", ".pickle", ".joblib"}]


def test_a_system_from_outside_by_its_class(home, tmp_path, monkeypatch):
    (tmp_path / "outside_system.py").write_text(OUTSIDE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    model = "outside_system:Nearest"
    with pytest.raises(UserError, match="nearest: unknown setting 'sharp'"):
        train(home, tmp_path / "run", model, {"nearest.sharp": 1.0})
    classifier = train(home, tmp_path / "run", model, {"nearest.sharpness": 0.2})
    assert scores(classifier)["UA"] > 0.9
    evaluation = emotion.evaluate(classifier)
    assert str(evaluation).startswith(f"{model} on table") and "linear SVM on statistics (control" in str(evaluation)
    (found,) = emotion.load(tmp_path / "run").predict(home / "1-0.wav", text="word0").predictions
    assert found.label == "neu" and Run.open(tmp_path / "run").classifier.name == "nearest"
    assert list((home / "prepared" / "cache").glob("spectrogram-*.npy"))
    # What was computed from the audio belongs to the prepared corpus: it does not hinder its replacement.
    emotion.prepare("table", home / "table.csv", home / "prepared", jobs=1, quiet=True, force=True)


def test_a_run_made_before_is_read(home, tmp_path):
    """Of a network with the scaling in the file of its weights, and no temperature."""
    train(home, tmp_path / "run", "acoustic")
    new = Run.open(tmp_path / "run").load_member("fold-1", 0)
    examples = build_examples(Run.open(tmp_path / "run"), Prepared.open(home / "prepared"))
    shutil.copytree(tmp_path / "run", tmp_path / "old")
    folder = tmp_path / "old" / "members" / "fold-1" / "seed-0"
    scaler = folder / "scaler.safetensors"
    save_file({**load_file(folder / "model.safetensors"), **load_file(scaler)}, folder / "model.safetensors")
    scaler.unlink()
    (folder / "member.json").write_text(json.dumps({"fold": "fold-1", "seed": 0, "best_epoch": 1}))
    old = Run.open(tmp_path / "old").load_member("fold-1", 0)
    found = apply_temperature(old.predict_proba(examples), new.temperature)
    np.testing.assert_allclose(found, new.predict_proba(examples), atol=1e-6)
    assert old.temperature == 1.0 and old.scaler is not None


def test_calibration_changes_confidence_and_no_decision(home, tmp_path, monkeypatch):
    """Without development data it is fitted on inner speaker folds."""
    monkeypatch.setattr(Svm, "calibrated", False)  # as if it did not do so itself
    runs = [train(home, tmp_path / str(on), "svm", {"training.calibration": on}).run for on in (False, True)]
    plain, calibrated = (run.test_probabilities("fold-1", 0) for run in runs)
    temperature = runs[1].load_member("fold-1", 0).temperature
    assert temperature != 1.0 and runs[0].load_member("fold-1", 0).temperature == 1.0
    np.testing.assert_array_equal(plain.argmax(axis=1), calibrated.argmax(axis=1))
    np.testing.assert_allclose(apply_temperature(plain, temperature), calibrated, atol=1e-6)


def test_a_run_keeps_the_functionals_that_it_was_trained_on(home, tmp_path, monkeypatch):
    """A run made before says nothing of their version."""
    train(home, tmp_path / "run", "voice")
    path = tmp_path / "run" / "run.json"
    info = json.loads(path.read_text())
    asked = []
    compute = audio_inputs.functionals
    monkeypatch.setattr(audio_inputs, "functionals", lambda s, v: asked.append(v) or compute(s, v))
    for version, wanted in ((info.pop("functionals"), VERSION), (None, 2)):
        path.write_text(json.dumps({**info, **({"functionals": version} if version else {})}))
        emotion.load(tmp_path / "run").predict(home / "1-0.wav")
        assert asked.pop() == wanted and not asked
    path.write_text(json.dumps({**info, "functionals": VERSION + 1}))
    with pytest.raises(UserError, match="functionals"):
        Run.open(tmp_path / "run")


def test_one_seed_is_trained_where_all_are_the_same(home, tmp_path):
    classifier = train(home, tmp_path / "run", "svm", seeds=3)
    assert classifier.run.info["seeds"] == [0] and "over seeds" not in str(emotion.evaluate(classifier))
    # A run that was started with several is continued so.
    path = tmp_path / "run" / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "seeds": [0, 1]}))
    classifier = train(home, tmp_path / "run", "svm", seeds=2, resume=True)
    assert len(classifier.members) == 10 and "± 0.0 over seeds" not in str(emotion.evaluate(classifier))
