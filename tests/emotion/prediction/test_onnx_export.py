"""The exported file gives the network's probabilities in ONNX Runtime, whatever the lengths and the batch."""

import importlib.util
import json

import numpy as np
import pytest
import torch

from emotion.classifiers.networks import FittedNetwork
from emotion.data.examples import Examples
from emotion.data.normalise import Scaler
from emotion.models.word_vectors import SEGMENTS, Pretrained, Vocabulary
from emotion.prediction.ensemble import load_ensemble
from emotion.prediction.onnx_export import export_onnx, random_inputs
from emotion.settings import EmotionSettings
from emotion.training.member import Member
from emotion.training.run import Run
from speech2vec.runtime.errors import UserError

N_FEATURES, VECTOR_SIZE, WORDS = 3, 4, [f"word{i}" for i in range(9)]
VARIANTS = {
    "acoustic": ("acoustic", {"pooling": "mean", "stack": 4, "input_statistics": True, "max_windows": 10}),
    "embedding": ("embedding", {"pooling": "last", "padding": "zeros", "max_words": 8}),
    "dual": ("dual", {"pooling": "attention", "stack": 3, "max_words": 6}),
    "dual-published": ("dual", {"pooling": "last", "padding": "zeros", "max_windows": 20, "max_words": 6}),
    "dual-attention": ("dual", {"pooling": "mean", "stack": 2, "fusion": "attention", "max_words": 6}),
    "dual-segments": ("dual", {"pooling": "statistics"}),
}


def made_run(folder, name):
    """A run of two folds and two seeds, untrained except that every weight is random."""
    model, options = VARIANTS[name]
    rng = np.random.default_rng(0)
    info = {"model": model, "labels": ["neu", "ang", "sad"], "corpus": "SYNTHETIC", "features": {"n_mels": 3}}
    info |= {"n_features": N_FEATURES, "vector_size": VECTOR_SIZE, "seeds": [0, 1], "embeddings": "made"}
    vocabulary = pretrained = None
    if name == "dual-segments":
        info["embeddings"] = SEGMENTS
    elif model != "acoustic":
        vectors = rng.standard_normal((len(WORDS), VECTOR_SIZE), dtype=np.float32)
        moments = (np.zeros(VECTOR_SIZE, np.float32), np.ones(VECTOR_SIZE, np.float32))
        vocabulary, pretrained = Vocabulary(WORDS), Pretrained("made", vectors, np.ones(len(WORDS), bool), *moments)
    settings = EmotionSettings(model={"hidden_size": 6, "dense_size": 5, **options})
    run = Run.create(folder, info, settings, {"1": {}, "2": {}}, vocabulary=vocabulary, pretrained=pretrained)
    for fold, seed in run.fold_seeds():
        context = run.context(10 * int(fold) + seed)
        network = run.classifier.untrained(context)
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(0.3 * torch.randn_like(weight))
        scaler = None
        if run.uses_audio:
            mean, deviation = rng.standard_normal(N_FEATURES), rng.uniform(1, 2, N_FEATURES)
            scaler = Scaler(mean.astype(np.float32), deviation.astype(np.float32))
        fitted = FittedNetwork(network.eval(), settings, "cpu")
        member = Member(fold, seed, fitted, scaler, 1.0 + seed)
        member.save(run.model_folder(fold, seed), np.zeros((0, 3)))
    return run


@pytest.mark.parametrize("name", VARIANTS)
def test_outputs_equal_those_of_the_network(tmp_path, name):
    onnxruntime = pytest.importorskip("onnxruntime")
    run = made_run(tmp_path / "run", name)
    assert export_onnx(run, tmp_path / "model.onnx").largest_difference < 1e-5
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    ensemble = load_ensemble(run)
    for seed, (n_windows, n_words) in enumerate((([1], [1]), ([50], [0]), ([2, 33, 9, 10, 1], [0, 12, 3, 1, 6]))):
        inputs = random_inputs(run, n_windows, n_words, seed=seed)
        assert [given.name for given in session.get_inputs()] == list(inputs)
        (found,) = session.run(["probabilities"], {name: value.numpy() for name, value in inputs.items()})
        with torch.inference_mode():
            np.testing.assert_allclose(found, ensemble(**inputs), atol=1e-5)
        assert found.shape == (len(n_windows), 3)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
        assert len(found) == 1 or np.ptp(found, axis=0).max() > 1e-3  # the inputs make a difference
    metadata = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    wanted = {"model": run.model_name, "labels": ["neu", "ang", "sad"], "features": {"n_mels": 3}}
    wanted |= {"trained_on": "SYNTHETIC"} | ({"vocabulary": WORDS} if run.vocabulary else {})
    assert metadata == wanted


@pytest.mark.parametrize("name", VARIANTS)
def test_the_ensemble_is_the_mean_of_the_networks_as_in_training(tmp_path, name):
    """Its scaling, stacking, cutting and padding are those of `collate`, alone and in a batch."""
    run = made_run(tmp_path / "run", name)
    n_windows, n_words = [2, 33, 9], [0, 12, 3]
    inputs = random_inputs(run, n_windows, n_words)
    with torch.inference_mode():
        found = load_ensemble(run)(**inputs)
    examples = _examples(run, inputs)
    wanted = np.mean([member.predict_proba(examples) for member in run.load_members()], axis=0)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def _examples(run, inputs):
    """The inputs without their padding."""
    frames = vectors = None
    if run.uses_audio:
        frames = [row[:n].numpy() for row, n in zip(inputs["features"], inputs["n_windows"], strict=True)]
    if run.uses_text:
        vectors = [row[:n].numpy() for row, n in zip(inputs["words"], inputs["n_words"], strict=True)]
    labels, speakers = np.zeros(3, np.int64), np.array(["s"] * 3, dtype=object)
    return Examples(labels=labels, speakers=speakers, frames=frames, vectors=vectors)


def test_a_missing_extra_is_one_clear_line(tmp_path, monkeypatch):
    from emotion.prediction import onnx_export

    known = importlib.util.find_spec
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None if name == "onnxruntime" else known(name))
    with pytest.raises(UserError, match=r"needs onnxruntime.*pip install 'speech2vec-emotion\[onnx\]'"):
        export_onnx(made_run(tmp_path / "run", "acoustic"), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
