"""The Python interface: light to import, and the same results as the commands."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner

import emotion
from emotion.classifiers import CLASSIFIERS
from emotion.cli.app import app

SMALL = {"model.hidden_size": 4, "model.dense_size": 4, "training.epochs": 1}


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, emotion; print([name for name in ('torch', 'numpy', 'librosa') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"
    assert {"load", "prepare", "train", "evaluate", "tables"} <= set(dir(emotion))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        emotion.nothing  # noqa: B018


def test_the_documentation_of_training_names_all_classifiers():
    assert not [name for name in CLASSIFIERS if f'"{name}"' not in emotion.train.__doc__]
    shown = " ".join(CliRunner().invoke(app, ["train", "--help"], terminal_width=200).stdout.split())
    assert not [name for name in CLASSIFIERS if name not in shown]


def test_from_a_table_to_a_prediction(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["audio,text,speaker,label"]
    for i in range(24):
        sf.write(tmp_path / f"{i}.wav", 0.1 * rng.normal(size=8000), 16000)
        rows.append(f"{i}.wav,words {i},s{i % 3},{('neutral', 'happy', 'sad', 'angry')[i // 3 % 4]}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    prepared = emotion.prepare("table", tmp_path / "table.csv", tmp_path / "prepared", name="<mine>")
    assert str(prepared).startswith("<mine>: 24 utterances, 3 speakers") and not prepared.failures
    assert prepared._repr_html_().startswith("<pre>&lt;mine&gt;: 24")
    assert prepared.to_dict()["meta"]["counts"]["utterances"] == 24
    classifier = emotion.train(
        tmp_path / "prepared", tmp_path / "run", model="acoustic", folds=3, seeds=1, settings=SMALL
    )
    evaluation = emotion.evaluate(classifier)
    assert str(evaluation).startswith("acoustic on <mine>") and "&lt;mine&gt;" in evaluation._repr_html_()
    assert evaluation.to_dict()["parts"]["all"]["utterances"] == 24
    assert not (tmp_path / "run" / "evaluation").exists()
    printed = CliRunner().invoke(app, ["evaluate", str(tmp_path / "run"), "--quiet"]).stdout
    assert printed == f"{evaluation}\n" == (tmp_path / "run" / "evaluation" / "report.txt").read_text()
    found = emotion.load(tmp_path / "run").predict(tmp_path / "0.wav", chunk=0.3)
    assert [one.end for one in found.predictions] == [pytest.approx(0.5)]  # a rest of 0.2 s is no part of its own
    (whole,) = classifier.predict([tmp_path / "0.wav"]).predictions
    assert sum(whole.probabilities.values()) == pytest.approx(1)
    command = ["predict", str(tmp_path / "run"), str(tmp_path / "0.wav"), "--quiet"]
    assert CliRunner().invoke(app, command).stdout == f"{classifier.predict(tmp_path / '0.wav')}\n"
