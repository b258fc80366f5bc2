"""Real acted emotions: a small acoustic model learns, on speakers that it was not trained on."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from emotion.cli.app import app


@pytest.mark.corpus
@pytest.mark.slow
def test_ravdess_is_learned_across_speakers(test_data, tmp_path):
    corpus = test_data / "ravdess_4class"
    prepare = ["prepare", "ravdess", corpus, "-o", tmp_path / "prepared", "--jobs", 1, "--quiet"]
    train = [
        "train",
        "--model",
        "acoustic",
        tmp_path / "prepared",
        "-o",
        tmp_path / "run",
        "--folds",
        3,
        "--seeds",
        1,
        "--quiet",
    ]
    train += ["--set", "model.hidden_size=32", "--set", "training.epochs=10", "--set", "training.normalisation=speaker"]
    for command in (prepare, train, ["evaluate", tmp_path / "run", "--quiet"]):
        result = CliRunner().invoke(app, [str(a) for a in command])
        assert result.exit_code == 0, (result.output, result.exception)
    part = json.loads((tmp_path / "run" / "evaluation" / "scores.json").read_text())["parts"]["all"]
    assert part["utterances"] == 24 * 28 and part["UA"]["by_speaker"] is not None
    # Chance is 0.25.
    assert part["UA"]["mean"] > 0.55
    confusion = np.array(part["confusion"])
    assert confusion.sum() == 24 * 28
