"""Inputs of a run's members."""

from pathlib import Path

import numpy as np

from emotion.data.dataset import Prepared, PreparedWriter
from emotion.settings import EmotionSettings
from emotion.training.folds import build_examples
from emotion.training.run import Run
from speech2vec.corpus.manifest import Utterance


def test_each_speaker_s_features_are_standardised_where_the_settings_say_so(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "p").mkdir()
    with PreparedWriter(tmp_path / "p", n_features=3) as writer:
        for i in range(8):
            utterance = Utterance(f"u{i}", Path("a.wav"), "", "ab"[i % 2], extras={"label_full": "neu"})
            writer.add(utterance, (1 + i % 2) * rng.standard_normal((6, 3)) + 10 * (i % 2), 1.0, "neu")
        writer.finish({"labels": ["neu"]}, {})
    prepared = Prepared.open(tmp_path / "p")
    for normalisation in ("speaker", "training"):
        settings = EmotionSettings(training={"normalisation": normalisation})
        run = Run(tmp_path, {"model": "acoustic", "n_features": 3, "functionals": 3}, settings)
        features = build_examples(run, prepared).frames
        if normalisation == "training":  # that comes later, fold by fold
            np.testing.assert_array_equal(np.concatenate(features), prepared.features)
            continue
        for own in (np.concatenate(features[::2]), np.concatenate(features[1::2])):
            np.testing.assert_allclose(own.mean(axis=0), 0, atol=1e-5)
            np.testing.assert_allclose(own.std(axis=0), 1, atol=1e-5)
