"""The classifier on a frozen encoder: it tells sounds apart, is the same once loaded, and says what it lacks."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile as sf

pytest.importorskip("transformers")

from encoders import save_whisper

from emotion.classifiers.base import Context
from emotion.classifiers.pretrained import Pretrained
from emotion.data.examples import WAVEFORM, make_examples
from emotion.settings import classifier_settings
from speech2vec.corpus.manifest import Utterance
from speech2vec.features.pretrained import open_encoder
from speech2vec.runtime.errors import UserError

LABELS = ("low", "high")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_whisper(tmp_path_factory.mktemp("encoders") / "whisper")


def context(encoder, **given):
    settings = {"pretrained.encoder": str(encoder), "pretrained.costs": [1e-2], "pretrained.inner_folds": 2, **given}
    return Context(labels=LABELS, settings=classifier_settings("default", changes=settings))


def recordings(folder, n=24, seed=0, informative=True, loudness=1.0):
    """Noise of four speakers, dull or bright."""
    rng, utterances = np.random.default_rng(seed), []
    folder.mkdir(exist_ok=True)
    labels = np.arange(n) % 2
    for i, label in enumerate(labels if informative else rng.permutation(labels)):
        noise = rng.standard_normal(4000)
        noise = np.convolve(noise, [1, 0.9 if label == 0 else -0.9], "same") * 0.05 * loudness
        sf.write(folder / f"{seed}-{i}.wav", noise, 16000, subtype="FLOAT")
        utterances.append(Utterance(f"{seed}-{i}", folder / f"{seed}-{i}.wav", "", f"s{i // 2 % 4}"))
    return make_examples(
        {WAVEFORM},
        labels=labels.astype(np.int64),
        speakers=[utterance.speaker for utterance in utterances],
        frames=[np.zeros((1, 1), np.float32)] * n,
        texts=[""] * n,
        utterances=utterances,
    )


@pytest.mark.parametrize("normalisation", ["training", "speaker"])
def test_it_tells_sounds_apart_and_is_the_same_once_loaded(tmp_path, encoder, normalisation):
    train, test = recordings(tmp_path / "audio"), recordings(tmp_path / "audio", 16, 1)
    train = replace(train, cache=tmp_path / "cache")
    about = context(encoder, **{"training.normalisation": normalisation})
    fitted = Pretrained().fit(train, train.part(np.zeros(0, np.int64)), about)
    probabilities = fitted.predict_proba(test)
    assert (probabilities.argmax(axis=1) == test.labels).mean() > 0.8 and np.allclose(probabilities.sum(axis=1), 1)
    assert fitted.facts["parameters"] == 2 * (5 * 32 + 1) and json.dumps(fitted.facts)
    (tmp_path / "model").mkdir()
    fitted.save(tmp_path / "model")
    loaded = Pretrained().load(tmp_path / "model", about)
    np.testing.assert_allclose(loaded.predict_proba(test), probabilities, atol=1e-6)
    cached = Pretrained().fit(train, train.part(np.zeros(0, np.int64)), about)  # from the cache
    np.testing.assert_allclose(cached.predict_proba(test), probabilities, atol=1e-6)


def test_pooling_chooses_the_statistics(tmp_path, encoder):
    train = replace(recordings(tmp_path / "audio"), cache=tmp_path / "cache")
    nothing = train.part(np.zeros(0, np.int64))
    about = context(encoder, **{"pretrained.pooling": ["mean", "deviation"]})
    fitted = Pretrained().fit(train, nothing, about)
    assert fitted.facts["parameters"] == 2 * (2 * 32 + 1)
    assert Pretrained().fit(train, nothing, context(encoder)).facts["parameters"] == 2 * (5 * 32 + 1)  # another cache
    (tmp_path / "model").mkdir()
    fitted.save(tmp_path / "model")
    loaded = Pretrained().load(tmp_path / "model", about)
    np.testing.assert_allclose(loaded.predict_proba(train), fitted.predict_proba(train), atol=1e-6)


def test_it_finds_nothing_where_there_is_nothing(tmp_path, encoder):
    train, test = recordings(tmp_path, 32, 0, informative=False), recordings(tmp_path, 60, 1, informative=False)
    fitted = Pretrained().fit(train, train.part(np.zeros(0, np.int64)), context(encoder))
    assert (fitted.predict_proba(test).argmax(axis=1) == test.labels).mean() < 0.75  # standard error 0.065


def test_what_it_lacks_is_said_in_one_line(tmp_path, encoder):
    train = recordings(tmp_path / "audio", 8)
    nothing = train.part(np.zeros(0, np.int64))
    for given, told in (
        ({"pretrained.encoder": ""}, "needs --set pretrained.encoder"),
        ({"pretrained.encoder": "someone/no-such-encoder"}, "hf download someone/no-such-encoder"),
        ({"pretrained.layers": [1, 7]}, "has 2 layers"),
    ):
        with pytest.raises(UserError, match=told):
            Pretrained().fit(train, nothing, context(encoder, **given))
    fitted = Pretrained().fit(train, nothing, context(encoder))
    fitted.save(tmp_path)
    described = json.loads((tmp_path / "pretrained.json").read_text())
    (tmp_path / "pretrained.json").write_text(json.dumps({**described, "weights": "0"}))
    open_encoder.cache_clear()
    with pytest.raises(UserError, match="has other weights"):
        Pretrained().load(tmp_path, context(encoder))
