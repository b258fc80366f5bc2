"""Inputs of a run's members: nothing of a fold's training depends on the recordings that it is tested on."""

from pathlib import Path

import numpy as np
import pytest

from emotion.classifiers.registry import load_classifier
from emotion.data.dataset import Prepared, PreparedWriter
from emotion.settings import EmotionSettings
from emotion.training.folds import build_examples, fold_parts
from emotion.training.run import Run
from speech2vec.corpus.manifest import Utterance

SPEAKERS = "aaabbbccc"
SPLITS = {"one": {name: [f"u{i}" for i in range(9) if SPEAKERS[i] in who] for name, who in (("train", "ab"),)}}
SPLITS["one"] |= {"development": [], "test": ["u6", "u7", "u8"]}


def parts(folder, normalisation, model="acoustic", of_test=0.0):
    """Training and test part of a fold whose test speaker is moved by `of_test`."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    with PreparedWriter(folder, n_features=3) as writer:
        for i, speaker in enumerate(SPEAKERS):
            own = rng.standard_normal((6, 3)) * (1 + "abc".index(speaker)) + 10 * "abc".index(speaker)
            utterance = Utterance(f"u{i}", Path("a.wav"), "", speaker, extras={"label_full": "neu"})
            writer.add(utterance, own + of_test * (speaker == "c"), 1.0, "neu")
        writer.finish({"labels": ["neu"], "name": "made", "features": {}}, {})
    prepared = Prepared.open(folder)
    info = {"model": model, "labels": ["neu"], "features": {}, "n_features": 3}
    settings = EmotionSettings(training={"normalisation": normalisation})
    run = Run.create(folder / "run", info, settings, SPLITS)
    train, _, test = fold_parts(run, prepared, build_examples(run, prepared), "one", load_classifier(model))
    return train, test


@pytest.mark.parametrize("normalisation", ["training", "speaker", "speaker-mean", "corpus", "none"])
@pytest.mark.parametrize(("model", "name"), [("acoustic", "frames"), ("svm", "statistics")])
def test_the_training_part_does_not_depend_on_the_test_speakers(tmp_path, normalisation, model, name):
    plain, moved = (parts(tmp_path / str(by), normalisation, model, by)[0] for by in (0.0, 50.0))
    np.testing.assert_array_equal(np.stack(getattr(plain, name)), np.stack(getattr(moved, name)))


def test_each_normalisation_is_by_the_recordings_of_the_part(tmp_path):
    raw, raw_test = parts(tmp_path / "training", "training")  # this one comes later, with the scaling
    assert np.concatenate(raw.frames).mean() > 3
    for normalisation in ("speaker", "corpus"):
        for part in parts(tmp_path / normalisation, normalisation):
            groups = [part.frames[:3], part.frames[3:]] if normalisation == "speaker" else [part.frames]
            for own in (np.concatenate(group) for group in groups if group):
                np.testing.assert_allclose(own.mean(axis=0), 0, atol=1e-5)
                np.testing.assert_allclose(own.std(axis=0), 1, atol=1e-5)
    # The mean of the test speaker is shrunk to that of the training speakers.
    _, test = parts(tmp_path / "speaker-mean", "speaker-mean")
    population = np.mean([np.concatenate(raw.frames[:3]).mean(axis=0), np.concatenate(raw.frames[3:]).mean(axis=0)], 0)
    own = np.concatenate(raw_test.frames)
    expected = own - (3 / 8 * own.mean(axis=0) + 5 / 8 * population)
    np.testing.assert_allclose(np.concatenate(test.frames), expected, rtol=1e-4, atol=1e-4)
