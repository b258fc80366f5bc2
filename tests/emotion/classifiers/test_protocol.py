"""Every classifier of the registry: it learns what can be learned, nothing from noise, and is the same once loaded."""

import importlib.util
import json
import re
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from emotion.classifiers.base import Context
from emotion.classifiers.registry import CLASSIFIERS, check_settings, load_classifier
from emotion.data.examples import INPUTS, Examples, make_examples
from emotion.models.word_vectors import Pretrained, Vocabulary
from emotion.settings import classifier_settings
from speech2vec.corpus.manifest import Utterance
from speech2vec.runtime.errors import UserError

LABELS = ("neu", "ang", "sad")
N_FEATURES, VECTOR_SIZE = 4, 6
WORDS = [f"{label}{i}" for label in LABELS for i in range(3)]  # of each class its own
NAMES = [*CLASSIFIERS, "svm+embedding"]


def context(folder=None, seed=0, **more):
    given = {
        "model.hidden_size": 8,
        "model.dense_size": 8,
        "model.stack": 1,
        "model.dropout": 0.1,
        "model.noise": 0.0,
        "training.epochs": 12,
        "training.batch_size": 8,
        "training.learning_rate": 0.01,
        **more,
    }
    zeros, ones = np.zeros(VECTOR_SIZE, np.float32), np.ones(VECTOR_SIZE, np.float32)
    vectors = np.random.default_rng(0).standard_normal((len(WORDS), VECTOR_SIZE)).astype(np.float32)
    return Context(
        labels=LABELS,
        settings=classifier_settings("default", changes=given),
        seed=seed,
        n_features=N_FEATURES,
        pretrained=Pretrained("made up", vectors, np.ones(len(WORDS), bool), zeros, ones),
        vector_size=VECTOR_SIZE,
    )


def made_up(inputs, n=72, seed=0, informative=True):
    """Utterances of six speakers, whose level, spread, spectrum and words tell the class, or not."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % len(LABELS)
    heard = labels if informative else rng.permutation(labels)
    frames, spectrogram, texts = [], [], []
    for label in heard:
        length = int(rng.integers(6, 14))
        raised = 1.5 * np.eye(len(LABELS), N_FEATURES)[label]
        frames.append((rng.standard_normal((length, N_FEATURES)) + raised).astype(np.float32))
        spectrogram.append((rng.standard_normal((40, 64)) + 2.0 * (np.arange(64) // 22 == label)).astype(np.float32))
        texts.append(" ".join(rng.choice(WORDS[3 * label : 3 * label + 3], 4)))
    names = [f"u{i}" for i in range(n)]
    return make_examples(
        inputs,
        labels=labels.astype(np.int64),
        speakers=[f"s{i // len(LABELS) % 6}" for i in range(n)],
        frames=frames,
        texts=texts,
        utterances=[Utterance(name, f"{name}.wav", text, "s") for name, text in zip(names, texts, strict=True)],
        vectors=Vocabulary(WORDS).rows(texts),
        functionals=np.stack([np.concatenate([own.mean(axis=0), own.std(axis=0)]) for own in frames]),
        spectrogram=spectrogram,
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_classifier_solves_a_solvable_problem_and_is_the_same_once_loaded(tmp_path, name):
    classifier = load_classifier(name)
    if "waveform" in classifier.inputs:
        pytest.skip("needs audio files: see its own test")
    train, development, test = (made_up(classifier.inputs, n, seed) for n, seed in ((72, 0), (24, 1), (48, 2)))
    fitted = classifier.fit(train, development, context())
    probabilities = fitted.predict_proba(test)
    assert probabilities.shape == (48, len(LABELS)) and np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.argmax(axis=1) == test.labels).mean() > 0.8
    assert fitted.facts["parameters"] > 0 and json.dumps(fitted.facts)
    fitted.save(tmp_path)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written and {path.suffix for path in written} <= {".safetensors", ".json", ".jsonl"}
    same = classifier.load(tmp_path, context())
    np.testing.assert_allclose(same.predict_proba(test), probabilities, atol=1e-6)
    # Alone or among others, an utterance gets the same probabilities.
    np.testing.assert_allclose(same.predict_proba(test.part(np.array([5]))), probabilities[[5]], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_classifier_finds_nothing_where_there_is_nothing(name):
    classifier = load_classifier(name)
    if "waveform" in classifier.inputs:
        pytest.skip("needs audio files: see its own test")
    train, development = (made_up(classifier.inputs, n, seed, informative=False) for n, seed in ((72, 0), (24, 1)))
    test = made_up(classifier.inputs, 120, 2, informative=False)
    right = classifier.fit(train, development, context()).predict_proba(test).argmax(axis=1) == test.labels
    assert right.mean() < 0.55  # chance is 0.33, its standard error 0.04


def test_inputs_are_what_was_asked_for():
    for asked in INPUTS:
        examples = made_up({asked}, 6)
        assert getattr(examples, asked) is not None and len(getattr(examples, asked)) == 6
        assert all(getattr(examples, other) is None for other in INPUTS - {asked})
        part = examples.part(np.array([4, 1]))
        assert len(part) == 2 and list(part.speakers) == list(examples.speakers[[4, 1]])


def test_the_weights_of_a_fusion_prefer_the_part_that_knows():
    from emotion.classifiers.fusion import fit_weights, fused

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    knows = 0.2 + 0.4 * np.eye(3)[labels]
    noise = rng.dirichlet(np.ones(3), 300)
    weights, bias = fit_weights([knows, noise], labels, 0.01)
    assert weights[0] > 1 and 0 <= weights[1] < 0.2 and np.abs(bias).max() < 0.2
    assert (fused([knows, noise], weights, bias).argmax(axis=1) == labels).mean() > 0.95
    alone = fused([knows], np.ones(1), np.zeros(3))
    np.testing.assert_allclose(alone, knows, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("svn", "there is no model 'svn'"),
        ("svm+svm", "two or more different models"),
        ("nowhere.at_all:Class", "cannot be imported"),
        ("emotion.classifiers.svm:Svn", "has no class Svn"),
        ("pathlib:Path", "is not a class with methods fit and load"),
        ("emotion.classifiers.base:Classifier", "needs a name, and inputs of"),
        ("+", "there is no model ''"),
    ],
)
def test_a_name_that_is_no_classifier_is_one_line(name, message):
    with pytest.raises(UserError, match=message) as refused:
        load_classifier(name)
    assert len(str(refused.value)) < 300 and "\n" not in str(refused.value)


def test_settings_of_a_classifier_are_checked_by_name():
    svm = load_classifier("svm")
    check_settings(svm, classifier_settings("default", overrides=["svm.costs=[0.1]", "fusion.penalty=1.0"]))
    for override, message in (
        ("svm.cost=1", "svm: unknown setting 'cost'"),
        ("svm.costs=[-1.0]", "setting 'costs.0'"),
        ("smv.costs=[0.1]", "unknown setting smv"),
    ):
        with pytest.raises(UserError, match=message):
            check_settings(svm, classifier_settings("default", overrides=[override]))
    with pytest.raises(UserError, match="unknown setting 'epochs'"):
        classifier_settings("default", overrides=["epochs=3"])


def test_a_class_of_one_s_own_is_a_classifier(tmp_path, monkeypatch):
    (tmp_path / "outside_classifier.py").write_text(
        "class Always:\n"
        "    name, inputs = 'always', frozenset({'words'})\n"
        "    def fit(self, train, development, context): ...\n"
        "    def load(self, folder, context): ...\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    classifier = load_classifier("outside_classifier:Always")
    assert classifier.name == "always" and classifier.settings.model_fields == {}


def test_the_example_of_the_documentation_is_a_classifier(checkout, tmp_path):
    text = (checkout / "docs" / "extending.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "documented_classifier.py").write_text(code)
    spec = importlib.util.spec_from_file_location("documented_classifier", tmp_path / "documented_classifier.py")
    module = sys.modules.setdefault("documented_classifier", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    classifier = load_classifier("documented_classifier:Nearest")
    train, test = (made_up(classifier.inputs, n, seed) for n, seed in ((72, 0), (48, 2)))
    fitted = classifier.fit(train, test, context())
    assert (fitted.predict_proba(test).argmax(axis=1) == test.labels).mean() > 0.8
    fitted.save(tmp_path)
    same = classifier.load(tmp_path, context()).predict_proba(test)
    np.testing.assert_array_equal(same, fitted.predict_proba(test))


def test_states_that_few_short_utterances_never_reach_do_no_harm():
    pytest.importorskip("hmmlearn")
    rng, hmm = np.random.default_rng(0), load_classifier("hmm")
    frames = [rng.standard_normal((5 if i < 3 else 2, N_FEATURES)).astype(np.float32) for i in range(9)]
    frames[0][:] = frames[3][0]  # what a class has of five frames is one frame
    labels, speakers = np.arange(9) % 3, np.array(["s"] * 9, dtype=object)
    train = Examples(labels=labels, speakers=speakers, frames=frames)
    found = hmm.fit(train, train, context()).predict_proba(train)
    assert np.isfinite(found).all() and np.allclose(found.sum(axis=1), 1)


def test_a_hidden_markov_model_whose_states_lead_nowhere_is_not_loaded(tmp_path):
    pytest.importorskip("hmmlearn")
    hmm, examples = load_classifier("hmm"), made_up({"frames"})
    hmm.fit(examples, examples, context()).save(tmp_path)
    tensors = load_file(tmp_path / "hmm.safetensors")
    tensors["0.transmat_"][0] = 1e-155
    save_file(tensors, tmp_path / "hmm.safetensors")
    with pytest.raises(ValueError, match="states have no probabilities"):
        hmm.load(tmp_path, context())


@pytest.mark.parametrize(("frames", "halvings"), [(20, 7), (200, 9)])
def test_convolutions_that_leave_one_number_are_one_line(frames, halvings):
    """Of a last batch of one piece there would be nothing to normalise over."""
    cnn, examples = load_classifier("spectrogram_cnn"), made_up({"spectrogram"}, n=9)
    fewer = {"spectrogram_cnn.frames": frames, "spectrogram_cnn.epochs": 1, "training.batch_size": 8}
    with pytest.raises(UserError, match=rf"{halvings} convolutions halve {frames} frames and 64 bands to one number"):
        cnn.fit(examples, examples, context(**fewer, **{"spectrogram_cnn.channels": (2,) * halvings}))
    assert cnn.fit(examples, examples, context(**fewer, **{"spectrogram_cnn.channels": (2,) * (halvings - 1)}))
