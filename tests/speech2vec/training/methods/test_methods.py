"""Every method goes the whole way: from a store to a run, and with the run through every command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from aligned_folders import Program
from fakes import made_up_store
from spoken import spoken_store
from torch import Tensor

import speech2vec as s2v
from speech2vec.corpus.manifest import read_utterances, read_words
from speech2vec.features.store import Store
from speech2vec.model.encoding import encode_instances
from speech2vec.model.kinds import KINDS
from speech2vec.model.word_encoder import Words
from speech2vec.runtime.config import Settings, read_toml
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import write_json
from speech2vec.training.methods import METHODS
from speech2vec.training.methods.method import Method, words_of
from speech2vec.training.presets import PRESETS
from speech2vec.training.run import checkpoint_file
from speech2vec.training.sampler import split
from speech2vec.vectors.portable import PortableEncoder

EVERY = sorted(METHODS)


class MeanSettings(Settings):
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class Mean:
    """A word as the mean of its frames, less the mean over the training words."""

    settings: MeanSettings
    mean: np.ndarray

    kind: ClassVar[str] = "mean"
    by_speaker: ClassVar[bool] = False

    @property
    def n_features(self) -> int:
        return len(self.mean)

    @property
    def vector_size(self) -> int:
        return len(self.mean)

    def encode(self, words: Words) -> np.ndarray:
        vectors = np.empty((len(words), self.vector_size), dtype=np.float32)
        for positions, frames in words.chunks(most_frames=40):
            n = words.n_frames[positions]
            vectors[positions] = np.add.reduceat(frames, np.cumsum(n) - n) / n[:, None]
        return (vectors - self.mean) * np.float32(self.settings.scale)

    def tensors(self) -> dict[str, Tensor]:
        return {"mean": torch.from_numpy(self.mean)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Mean:
        return cls(MeanSettings(**settings), tensors["mean"].numpy())


def fit_mean(store: Store, rows: np.ndarray, settings: MeanSettings, **_: object) -> Mean:
    return Mean(settings, store.gather(rows).mean(axis=0))


def plain_mean(encoder: object, store: Store, settings: MeanSettings, **_: object) -> Mean:
    return Mean(settings, np.zeros(store.n_mfcc, dtype=np.float32))


@pytest.fixture
def mean_method(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that it takes to add a method: its class and functions above, and a line in each of three tables."""
    monkeypatch.setitem(KINDS, Mean.kind, Mean)
    monkeypatch.setitem(
        METHODS, "mean", Method(MeanSettings, fit_mean, plain_mean, lambda store, rows, _: words_of(store, rows))
    )
    monkeypatch.setitem(PRESETS, "mean", {"preset": "mean", "method": "mean"})


def go_through_every_command(method: str, store: Path, aligned: Path, folder: Path, program: Program) -> None:
    run = folder / "run"
    commands: list[tuple[object, ...]] = [
        ("train", store, "-o", run, "--preset", method, "--device", "cpu"),
        ("export", run, "-o", run / "vectors.txt"),
        ("export", run, "-o", folder / "untrained.txt", "--untrained"),
        ("embed", run, aligned, "-o", folder / "new.npz"),
        ("same-different", run, "-o", run / "same-different.json", "--dtw", 20),
        ("evaluate", run / "vectors.txt", "--run", run, "-o", run / "evaluation", "--resamples", 100),
        ("homophones", run / "vectors.txt", "--run", run, "--min-count", 1),
        ("report", run, "-o", run / "report.html", "--dtw", 20, "--map-words", 12),
    ]
    for command in commands:
        code, printed, told = program(*command)
        assert code == 0, (command, told)
        if command[0] == "train":
            assert method in printed and "labels used: " in printed and "all pairs: untrained" in printed
    loaded = s2v.load(run, device="cpu")
    vectors = loaded.word_vectors()
    assert vectors.vector_size == loaded.model.vector_size and np.isfinite(vectors.vectors).all()
    text = (run / "report.html").read_text(encoding="utf-8")
    assert f"Labels used: {loaded.labels}." in text
    assert "Decoded frames" not in text and "z of other" not in text and "epochs trained" not in text
    with np.load(folder / "new.npz") as arrays:
        metadata = json.loads(str(arrays["metadata"]))
        assert (metadata["method"], metadata["labels"]) == (method, loaded.labels)
        assert arrays["vectors"].shape[1] == loaded.model.vector_size
    # A second run of the same settings has the same vectors, and replaces the first only when it is told to.
    before = checkpoint_file(run).read_bytes()
    assert program("train", store, "-o", run, "--preset", method, "--device", "cpu")[0] == 2
    assert checkpoint_file(run).read_bytes() == before
    assert program("train", store, "-o", run, "--preset", method, "--device", "cpu", "--force")[0] == 0
    again = s2v.load(run, device="cpu")
    np.testing.assert_array_equal(again.word_vectors().vectors, vectors.vectors)


@pytest.mark.parametrize("method", EVERY)
def test_a_method_goes_through_every_command(method: str, aligned: Path, tmp_path: Path, program: Program) -> None:
    spoken_store(tmp_path / "store")
    go_through_every_command(method, tmp_path / "store", aligned, tmp_path, program)


def test_runs_of_all_methods_are_compared(tmp_path: Path, program: Program) -> None:
    store = spoken_store(tmp_path / "store", utterances=8)
    small = {"model.vector_size": 6}
    runs = [s2v.train(store.path, tmp_path / "published", epochs=1, settings=small, device="cpu", quiet=True)]
    runs += [s2v.train(store.path, tmp_path / name, preset=name, device="cpu", quiet=True) for name in EVERY]
    code, _, told = program("compare", *(run.path for run in runs), "-o", tmp_path / "compare.html")
    assert code == 0, told
    text = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "A Speech2Vec skipgram model of 6 dimensions, trained for 1 epoch" in text
    for run in runs[1:]:
        vectors = f"Vectors of {run.model.vector_size} dimensions by the method {run.settings.method}"
        assert vectors in text and f"Labels used: {run.labels}." in text


def test_a_method_is_added_by_one_module_and_a_line_in_each_table(
    mean_method: None, aligned: Path, tmp_path: Path, program: Program
) -> None:
    spoken_store(tmp_path / "store")
    go_through_every_command("mean", tmp_path / "store", aligned, tmp_path, program)
    assert s2v.load(tmp_path / "run").labels == "words of 3 of 4 speakers"
    code, _, told = program("train", tmp_path / "store", "-o", tmp_path / "other", "--preset", "mean", "--epochs", 3)
    assert code == 2 and "unknown setting 'mean.epochs'" in told


@pytest.mark.parametrize("method", EVERY)
def test_what_is_encoded_does_not_depend_on_what_is_asked_for_with_it(method: str, tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store")
    run = s2v.train(store.path, tmp_path / "run", preset=method, device="cpu", quiet=True)
    everything = run.vectors()
    rows = np.random.default_rng(1).permutation(store.n_words)[:37]
    np.testing.assert_allclose(run.vectors(rows), everything[rows], atol=1e-5)
    np.testing.assert_allclose(encode_instances(run.model, store, rows[:5]), everything[rows[:5]], atol=1e-5)
    in_memory = Words.from_frames(store.gather(np.arange(store.n_words)), store.n_frames, store.speaker)
    np.testing.assert_allclose(run.model.encode(in_memory), everything, atol=1e-5)
    changed = run.vectors()
    changed[:] = 0
    np.testing.assert_array_equal(run.vectors(), everything)
    assert run.model.encode(Words.from_store(store, np.zeros(0, dtype=np.int64))).shape == (0, run.model.vector_size)


@pytest.mark.parametrize("method", EVERY)
def test_a_method_learns_nothing_from_held_out_speakers(method: str, tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store")
    first = s2v.train(store.path, tmp_path / "run", preset=method, device="cpu", quiet=True)
    frames = np.load(store.path / "frames.npy")
    for row in split(store, first.settings.data.held_out, first.settings.seed).held_out:
        start = store.first_frame[row]
        frames[start : start + store.n_frames[row]] += 1
    np.save(store.path / "frames.npy", frames)
    second = s2v.train(store.path, tmp_path / "second", preset=method, device="cpu", quiet=True)
    for name, tensor in first.model.tensors().items():
        assert torch.equal(tensor, second.model.tensors()[name]), name


@pytest.mark.parametrize("method", EVERY)
def test_a_killed_run_starts_again_and_a_complete_one_is_kept(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = made_up_store(tmp_path / "store")
    whole = s2v.train(store.path, tmp_path / "whole", preset=method, device="cpu", quiet=True)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("speech2vec.training.fitting.save_encoder", killed)
        with pytest.raises(KeyboardInterrupt):
            s2v.train(store.path, tmp_path / "run", preset=method, device="cpu", quiet=True)
    with pytest.raises(UserError, match=r"there is no checkpoint .*last\.safetensors: has the run been trained\?"):
        s2v.load(tmp_path / "run")
    run = s2v.train(store.path, tmp_path / "run", preset=method, device="cpu", quiet=True, resume=True)
    np.testing.assert_array_equal(run.vectors(), whole.vectors())
    assert [row["epoch"] for row in run.metrics] == [0, 1]
    modified = checkpoint_file(run.path).stat().st_mtime_ns
    again = s2v.train(store.path, run.path, preset=method, device="cpu", quiet=True, resume=True)
    assert checkpoint_file(run.path).stat().st_mtime_ns == modified and again.metrics == run.metrics
    with pytest.raises(UserError, match=r"was started with other settings \(seed 1, not 2\)"):
        s2v.train(store.path, run.path, preset=method, seed=2, device="cpu", quiet=True, resume=True)
    with pytest.raises(UserError, match="was started with other settings"):
        s2v.train(store.path, run.path, device="cpu", quiet=True, resume=True)


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize(
    "shape", [{"speakers": 1}, {"speakers": 2, "utterances": 5, "words": 5}, {"speakers": 12, "utterances": 1}]
)
def test_small_stores_are_trained_on(method: str, shape: dict[str, int], tmp_path: Path) -> None:
    """Of one speaker, of 50 words, of one utterance a speaker."""
    store = made_up_store(tmp_path / "store", **shape)
    run = s2v.train(store.path, tmp_path / "run", preset=method, device="cpu", quiet=True)
    vectors = run.vectors()
    assert len(vectors) == store.n_words and np.isfinite(vectors).all() and vectors.std() > 0


@pytest.mark.parametrize("method", EVERY)
def test_words_that_all_sound_alike_are_one_clear_line_or_have_vectors(method: str, tmp_path: Path) -> None:
    """Silence throughout: words differ in their duration at most."""
    store = made_up_store(tmp_path / "store", speakers=3, utterances=12)
    np.save(store.path / "frames.npy", np.zeros_like(np.load(store.path / "frames.npy")))
    try:
        run = s2v.train(store.path, tmp_path / "run", preset=method, device="cpu", quiet=True)
    except UserError as error:
        assert len(str(error)) <= 300 and "\n" not in str(error) and "sound" in str(error)
    else:
        assert np.isfinite(run.vectors()).all()


@pytest.mark.parametrize("method", EVERY)
def test_a_file_gives_back_the_encoder(method: str, aligned: Path, tmp_path: Path) -> None:
    s2v.extract(aligned, tmp_path / "store", jobs=1, quiet=True)
    run = s2v.train(tmp_path / "store", tmp_path / "run", preset=method, device="cpu", quiet=True)
    encoder = PortableEncoder.from_run(run)
    encoder.save(tmp_path / "encoder.safetensors")
    loaded = PortableEncoder.load(tmp_path / "encoder.safetensors")
    assert loaded.front_end.settings == encoder.front_end.settings and loaded.model.settings == run.model.settings
    np.testing.assert_array_equal(loaded.encode_aligned(aligned).vectors, encoder.encode_aligned(aligned).vectors)
    utterance = read_utterances(aligned)[0]
    words = [row for row in read_words(aligned).to_pylist() if row["utterance_id"] == utterance.utterance_id]
    vectors = run.encode(utterance.audio, [(word["start"], word["end"]) for word in words])
    assert vectors.shape == (len(words), run.model.vector_size) and np.isfinite(vectors).all()


def test_a_method_of_another_version_is_named(
    mean_method: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = made_up_store(tmp_path / "store")
    run = s2v.train(store.path, tmp_path / "run", preset="mean", device="cpu", quiet=True)
    PortableEncoder.from_run(run).save(tmp_path / "encoder.safetensors")
    monkeypatch.delitem(KINDS, "mean")
    with pytest.raises(UserError, match="holds an encoder of the kind 'mean', and this version knows published"):
        PortableEncoder.load(tmp_path / "encoder.safetensors")
    monkeypatch.delitem(METHODS, "mean")
    with pytest.raises(UserError, match=r"setting method: takes published, .* \(got 'mean'\)"):
        s2v.load(run.path)


def test_settings_of_another_method_are_refused(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store")
    for preset, settings, message in (
        ("acoustic", {"model.cell": "gru"}, "model: a setting of the published method; those of acoustic are acoustic"),
        ("acoustic", {"data.window": 2}, r"data\.window: a setting of the published method"),
        ("acoustic", {"acoustic.pionts": 2}, r"unknown setting 'acoustic\.pionts'"),
        ("default", {"acoustic.points": 2}, "unknown setting 'acoustic'"),
        ("default", {"method": "sorcery"}, r"setting method: takes published, .*\(got 'sorcery'\)"),
    ):
        with pytest.raises(UserError, match=message):
            s2v.train(store.path, tmp_path / "run", preset=preset, settings=settings, device="cpu", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_published_run_records_no_method_and_one_made_before_opens(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store")
    small = {"model.vector_size": 6}
    run = s2v.train(store.path, tmp_path / "run", epochs=1, settings=small, device="cpu", quiet=True)
    assert not {"method", "of_method", *METHODS} & read_toml(run.path / "config.toml").keys()
    origin = json.loads((run.path / "store.json").read_text())
    assert origin.pop("labels") == "none"
    write_json(run.path / "store.json", origin)
    assert s2v.load(run.path).labels == "none"
