"""Frames of a pretrained encoder in place of features: in a corpus, a network, and for the recordings it is given."""

import json

import numpy as np
import pytest
import soundfile as sf

pytest.importorskip("transformers")

from encoders import save_whisper

import emotion
from emotion.features.settings import FeatureSettings, compute
from speech2vec.features.pretrained import open_encoder
from speech2vec.runtime.errors import UserError

LABELS = ("neu", "hap", "sad", "ang")
SMALL = {"model.hidden_size": 4, "model.dense_size": 4, "training.epochs": 2}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(save_whisper(tmp_path_factory.mktemp("encoders") / "whisper"))


def test_they_are_the_frames_of_the_layer_every_20_ms(encoder):
    signal = np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    settings = FeatureSettings(encoder=encoder, layer=1, n_mels=40).resolved
    found = compute(signal, settings)
    np.testing.assert_array_equal(found, open_encoder(encoder).encode_layers(signal, layers=(1,))[0])
    assert found.shape == (25, len(settings.names)) and settings.hop == 0.02 and settings.n_mels == 0
    assert compute(signal[:100], settings).shape == (0, len(settings.names))


def test_what_is_not_there_or_other_is_refused(encoder):
    with pytest.raises(UserError, match="has 2 layers"):
        _ = FeatureSettings(encoder=encoder, layer=3).resolved
    with pytest.raises(UserError, match="hf download someone/nothing"):
        _ = FeatureSettings(encoder="someone/nothing").resolved
    with pytest.raises(UserError, match="has other weights"):
        _ = FeatureSettings(encoder=encoder, weights="0").resolved


def test_a_network_on_them_classifies_recordings(tmp_path, encoder):
    rng = np.random.default_rng(0)
    rows = ["audio,text,speaker,label"]
    for i in range(24):
        sf.write(tmp_path / f"{i}.wav", 0.1 * rng.standard_normal(6400), 16000)
        rows.append(f"{i}.wav,,s{i % 3},{LABELS[i // 3 % 4]}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    given = {"features.encoder": encoder, "features.layer": 1}
    emotion.prepare("table", tmp_path / "table.csv", tmp_path / "prepared", settings=given, quiet=True)
    meta = json.loads((tmp_path / "prepared" / "meta.json").read_text())
    assert meta["features"]["weights"] == open_encoder(encoder).weights
    run = emotion.train(
        tmp_path / "prepared", tmp_path / "run", model="acoustic", folds=3, seeds=1, settings=SMALL, quiet=True
    )
    (found,) = run.predict(tmp_path / "0.wav").predictions
    assert sum(found.probabilities.values()) == pytest.approx(1)
