"""Every setting works with every other from training to vectors, and a preset is what its source says."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import WORDS, made_up_store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speech2vec.cli.app import main
from speech2vec.features.mfcc import MfccSettings
from speech2vec.features.store import Store
from speech2vec.model.encoding import encode_instances
from speech2vec.model.recurrence import gru_steps, layers, lstm_steps
from speech2vec.runtime.config import fingerprint, validate_settings
from speech2vec.training.checkpoint import load_checkpoint
from speech2vec.training.methods import PUBLISHED
from speech2vec.training.metrics import EpochState
from speech2vec.training.presets import FEATURES, PRESETS, TrainSettings
from speech2vec.training.run import Run, checkpoint_file
from speech2vec.training.trainer import TrainOptions, train
from speech2vec.vectors.instances import word_vectors
from speech2vec.vectors.word_vectors import average_instances, read_vectors

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def _steps() -> Iterator[None]:
    """The LSTM step by step: the compiled kernel (tested elsewhere) takes seconds to compile for each hidden size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "_lstm_engine", lambda *_: lstm_steps)
        patch.setattr(layers, "_gru_engine", lambda *_: gru_steps)
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made_up_store(tmp_path_factory.mktemp("made-up") / "store", speakers=3, utterances=4, words=5)


# What takes part, what is decoded how, and what the loss is; the last of these go with every one of the others.
DECODED = [
    *product(["conditioned"], ["skipgram", "cbow"], [True, False]),
    ("attention", "skipgram", True),
]
CHOICES = st.fixed_dictionaries(
    {
        "cell": st.sampled_from(["lstm", "gru"]),
        "decoded": st.sampled_from(DECODED),
        "size": st.sampled_from([(10, True), (50, True), (300, True), (10, False), (51, False)]),
        "reduction": st.sampled_from(["mean", "sum", "padded"]),
        "across_utterances": st.booleans(),
        "subsample": st.sampled_from(["words", "centres"]),
        "sample": st.sampled_from([0.0, 0.05]),
        "name": st.sampled_from(["adam", "sgd"]),
        "unit_instances": st.booleans(),
    }
)


def chosen_settings(choice: dict[str, Any]) -> TrainSettings:
    (decoder, objective, teacher_forcing), (size, bidirectional) = choice["decoded"], choice["size"]
    model = {
        "cell": choice["cell"],
        "decoder": decoder,
        "objective": objective,
        "teacher_forcing": teacher_forcing,
        "vector_size": size,
        "bidirectional": bidirectional,
    }
    data = {name: choice[name] for name in ("across_utterances", "subsample", "sample")}
    optimiser = {"name": choice["name"], "reduction": choice["reduction"], "batch_size": 40, "epochs": 2}
    return validate_settings(
        TrainSettings,
        {
            "model": model,
            "data": {**data, "held_out": 0.3},
            "optimiser": {**optimiser, "learning_rate": 1e-2},
            "vectors": {"unit_instances": choice["unit_instances"]},
        },
    )


class KilledError(Exception):
    """In place of a signal."""


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CHOICES)
def test_any_choice_trains_resumes_exactly_and_gives_vectors(store: Store, choice: dict[str, Any]) -> None:
    chosen = chosen_settings(choice)

    def stop(end: EpochState) -> dict[str, float]:
        if end.epoch == 1:
            raise KilledError
        return {}

    with tempfile.TemporaryDirectory() as name:
        whole, killed = Path(name) / "whole", Path(name) / "killed"
        metrics = train(store, whole, chosen, CPU, TrainOptions(quiet=True)).metrics
        assert all(np.isfinite(values["dev_loss"]) for values in metrics)
        assert np.isfinite(metrics[-1]["train_loss"]) and metrics[-1]["gradient_norm"] > 0
        with pytest.raises(KilledError):
            train(store, killed, chosen, CPU, TrainOptions(checkpoint_every=2, quiet=True), on_epoch_end=stop)
        train(store, killed, chosen, CPU, TrainOptions(resume=True, quiet=True))
        one, other = (load_checkpoint(checkpoint_file(run, "last")).weights for run in (whole, killed))
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)

        loaded = Run.load(whole, checkpoint="last")
        vectors = word_vectors(loaded)
        size, _ = choice["size"]
        assert vectors.vectors.shape == (len(store.types), size) and np.isfinite(vectors.vectors).all()
        instances = encode_instances(loaded.model, store)
        if choice["unit_instances"]:
            instances = instances / np.linalg.norm(instances, axis=1, keepdims=True)
        expected = average_instances(instances, store.word_id, store.types)
        np.testing.assert_allclose(vectors.vectors, expected.vectors, atol=1e-6)


def test_the_reality_check_is_what_its_paper_and_code_say() -> None:
    chosen = validate_settings(TrainSettings, PRESETS["reality-check"])
    assert (chosen.model.objective, chosen.model.vector_size, chosen.model.cell) == ("skipgram", 50, "lstm")
    assert chosen.model.bidirectional and chosen.model.teacher_forcing and chosen.model.decoder == "attention"
    data, optimiser = chosen.data, chosen.optimiser
    assert (data.window, data.min_count, data.sample, data.subsample) == (3, 4, 1e-3, "centres")
    assert data.across_utterances
    assert (optimiser.name, optimiser.learning_rate, optimiser.final_learning_rate) == ("sgd", 1e-3, 1e-3)
    assert (optimiser.batch_size, optimiser.epochs, optimiser.reduction) == (4096, 500, "padded")
    assert optimiser.gradient_clip == 0 and chosen.vectors.unit_instances
    features = validate_settings(MfccSettings, FEATURES["reality-check"])
    assert features.frame_shift == 0.032 and features.max_frames == 20


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_of_features_and_of_training(name: str) -> None:
    chosen = validate_settings(TrainSettings, PRESETS[name])
    assert chosen.preset == name and (chosen.method == PUBLISHED) == (name in FEATURES)  # other methods take any
    validate_settings(MfccSettings, FEATURES.get(name, {}))


def test_a_run_of_before_the_settings_came_has_their_defaults() -> None:
    """The settings of a run as they were written once, with the defaults of their day."""
    before = {
        "model": {"objective": "skipgram", "vector_size": 50, "bidirectional": True, "teacher_forcing": False},
        "data": {"window": 3, "min_count": 1, "sample": 0.0, "held_out": 0.1},
    }
    assert fingerprint(validate_settings(TrainSettings, before)) == fingerprint(TrainSettings())


def speech2vec(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["speech2vec", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code


def test_the_reality_check_from_training_to_scores(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, wordsim = tmp_path / "run", tmp_path / "wordsim"
    wordsim.mkdir()
    pairs = [(one, other) for one in WORDS for other in WORDS if one < other]
    lines = [f"{one}\t{other}\t{number % 7}\n" for number, (one, other) in enumerate(pairs)]
    (wordsim / "EN-MEN-TR-3k.txt").write_text("".join(lines))
    options = ("--vector-size", 10, "--epochs", 1, "--set", "data.min_count=2", "--device", "cpu")
    speech2vec(monkeypatch, "train", store.path, "-o", run, "--preset", "reality-check", *options)
    told = capsys.readouterr().err
    assert "preset reality-check expects features with hop_length = 512 (not 160)" in told
    assert "'speech2vec features ALIGNED -o STORE --preset reality-check' computes them" in told
    speech2vec(monkeypatch, "export", run, "-o", run / "vectors.txt", "--device", "cpu")
    vectors = read_vectors(run / "vectors.txt")
    assert vectors.vectors.shape == (len(store.types), 10)
    assert (np.linalg.norm(vectors.vectors, axis=1) < 1).all()  # means of vectors of length 1
    speech2vec(
        monkeypatch, "evaluate", run / "vectors.txt", "--wordsim", wordsim, "-o", tmp_path / "out", "--device", "cpu"
    )
    assert "untrained run" in capsys.readouterr().out


def test_the_same_features_are_no_reason_to_warn(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    same = dataclasses.replace(store, settings=validate_settings(MfccSettings, FEATURES["paper"]).model_dump())
    monkeypatch.setattr(Store, "open", classmethod(lambda *_: same))
    options = ("--vector-size", 10, "--epochs", 1, "--device", "cpu", "--evaluate-every", 0)
    speech2vec(monkeypatch, "train", store.path, "-o", tmp_path / "run", "--preset", "paper", *options)
    assert "has features with" not in capsys.readouterr().err
