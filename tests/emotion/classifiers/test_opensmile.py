"""The classifiers on openSMILE's functionals: of made-up voices, with a cache, and refusals."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from emotion.classifiers.base import Context
from emotion.classifiers.registry import load_classifier
from emotion.data.examples import make_examples
from emotion.settings import classifier_settings
from speech2vec.corpus.manifest import Utterance
from speech2vec.runtime.errors import UserError

pytest.importorskip("opensmile")
LABELS = ("neu", "ang")
RATE = 16000


def voices(folder, n=24, informative=True):
    """Buzzes of three speakers, whose pitch tells the class, or not."""
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    labels = np.arange(n) % 2
    time = np.arange(RATE) / RATE
    utterances = []
    for i, heard in enumerate(labels if informative else rng.permutation(labels)):
        pitch = (110, 220)[heard] * rng.uniform(0.95, 1.05)
        signal = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 12))
        signal = 0.1 * signal + 0.01 * rng.standard_normal(RATE)
        soundfile.write(folder / f"{i}.wav", signal.astype(np.float32), RATE)
        utterances.append(Utterance(f"u{i}", folder / f"{i}.wav", "", f"s{i // 2 % 3}"))
    speakers = [utterance.speaker for utterance in utterances]
    nothing = {"frames": [np.zeros((0, 1))] * n, "texts": [""] * n}
    given = {"labels": labels, "speakers": speakers, "utterances": utterances, "cache": folder / "cache", **nothing}
    return make_examples({"waveform"}, **given)


def context(**given):
    return Context(labels=LABELS, settings=classifier_settings("default", changes=given))


@pytest.mark.parametrize("normalisation", ["training", "speaker"])
def test_egemaps_hears_pitch_and_is_the_same_once_loaded(tmp_path, normalisation):
    classifier, examples = load_classifier("egemaps"), voices(tmp_path)
    given = context(**{"training.normalisation": normalisation})
    train, test = examples.part(np.arange(12)), examples.part(np.arange(12, 24))
    fitted = classifier.fit(train, test, given)
    probabilities = fitted.predict_proba(test)
    assert (probabilities.argmax(axis=1) == test.labels).all()
    fitted.save(tmp_path)
    np.testing.assert_allclose(classifier.load(tmp_path, given).predict_proba(test), probabilities)
    # Without the cache, and from it with the audio gone.
    uncached = replace(test, cache=None)
    np.testing.assert_allclose(classifier.load(tmp_path, given).predict_proba(uncached), probabilities)
    for utterance in test.waveform:
        utterance.audio.unlink()
    np.testing.assert_allclose(classifier.load(tmp_path, given).predict_proba(test), probabilities)


def test_it_finds_nothing_where_there_is_nothing(tmp_path):
    classifier, examples = load_classifier("egemaps"), voices(tmp_path, 48, informative=False)
    fitted = classifier.fit(examples.part(np.arange(24)), examples.part(np.zeros(0, int)), context())
    test = examples.part(np.arange(24, 48))
    assert (fitted.predict_proba(test).argmax(axis=1) == test.labels).mean() < 0.75


def test_compare_has_its_6373_functionals_of_the_shortest_recording_too(tmp_path):
    from emotion.classifiers.opensmile import functionals

    soundfile.write(tmp_path / "short.wav", np.sin(np.arange(800)).astype(np.float32), RATE)
    found = functionals(Utterance("short", tmp_path / "short.wav", "", "s"), "ComParE_2016")
    assert found.shape == (6373,) and np.isfinite(found).all()


def test_a_damaged_cache_and_a_missing_library_are_one_line(tmp_path, monkeypatch):
    classifier, examples = load_classifier("egemaps"), voices(tmp_path, 12)
    given = context()
    examples.cache.mkdir()
    (examples.cache / "opensmile-levelled-eGeMAPSv02.npz").write_bytes(b"PK nothing")
    with pytest.raises(UserError, match="or is damaged"):
        classifier.fit(examples, examples, given)
    from emotion.classifiers import opensmile as module

    module._extractor.cache_clear()
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(UserError, match="pip install"):
        classifier.fit(*2 * [replace(voices(tmp_path / "new", 12), cache=None)], given)
