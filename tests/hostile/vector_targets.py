"""The readers of stores, runs, encoders and vectors; see `targets`."""

from __future__ import annotations

import shutil
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from aligned_folders import make_aligned, speechlike
from fakes import made_up_encoders, made_up_store
from targets import WORDS, Target, write_texts

import speech2vec
from speech2vec.evaluation.benchmarks import read_benchmarks
from speech2vec.evaluation.evaluate import evaluate
from speech2vec.evaluation.scores import read_evaluation
from speech2vec.features.extraction import extract, merge
from speech2vec.features.frontend import FrontEnd, PretrainedSettings
from speech2vec.features.mfcc import MfccSettings
from speech2vec.features.parts import read_frames, read_parts, read_plan
from speech2vec.features.pretrained import PretrainedEncoder
from speech2vec.features.store import Store
from speech2vec.runtime.config import load_settings
from speech2vec.training.presets import TrainSettings
from speech2vec.training.run import checkpoint_file, resume_run
from speech2vec.training.step import make_optimiser
from speech2vec.training.trainer import TrainOptions, train
from speech2vec.vectors.portable import PortableEncoder
from speech2vec.vectors.trained_run import Run
from speech2vec.vectors.word_vectors import WordVectors, read_vectors, write_vectors

SMALL = ("model.vector_size=8", "optimiser.epochs=1", "optimiser.batch_size=30", "data.held_out=0.2")


def _make_store(folder: Path) -> None:
    made_up_store(folder, 2, 3, 4)


def _read_store(folder: Path) -> None:
    store = Store.open(folder)
    store.words()
    for i in range(min(store.n_words, 100)):
        store.segment(i).sum()
    store.gather(np.arange(store.n_words))
    store.find_non_finite()


def _make_parts(folder: Path) -> None:
    aligned = make_aligned(folder.parent / "aligned-of-parts", 3, 0.7, ".wav")
    extract(aligned, folder / "shard", MfccSettings(), quiet=True, shard=(1, 1))


def _read_parts(folder: Path) -> None:
    shard = folder / "shard" / "parts"
    read_plan(shard / "plan.json")
    files = sorted(shard.glob("*.parquet"))
    _, tables = read_parts(files)
    for file, table in zip(files, tables, strict=True):
        read_frames(file, table)
    store = folder.parent / "merged-parts"
    shutil.rmtree(store, ignore_errors=True)
    merge([folder / "shard"], store)


def _make_run(folder: Path) -> None:
    store = made_up_store(folder / "store", 3, 4, 5)
    settings = load_settings(TrainSettings, overrides=SMALL)
    run = train(store, folder / "run", settings, torch.device("cpu"), TrainOptions(quiet=True))
    vectors = WordVectors(list(WORDS), np.eye(2, 8, dtype=np.float32))
    _pairs(folder)
    evaluate({"x": vectors}, wordsim=folder / "pairs").save(run.path / "evaluation")


def _pairs(folder: Path) -> None:
    (folder / "pairs").mkdir()
    (folder / "pairs" / "MEN.txt").write_text("".join(f"hello world {i}\n" for i in range(6)))


def _read_run(folder: Path) -> None:
    run = Run.load(folder / "run", folder / "store")
    str(run)
    run.to_dict()
    if (folder / "run" / "evaluation" / "evaluation.json").exists():
        str(read_evaluation(folder / "run" / "evaluation" / "evaluation.json"))


def _resume_run(folder: Path) -> None:
    store = Store.open(folder / "store")
    run = Run.load(folder / "run", folder / "store", checkpoint="best")
    checkpoint = resume_run(folder / "run", store, run.settings)
    if checkpoint is not None:
        checkpoint.restore(run.model, make_optimiser(run.model, run.settings.optimiser))
    assert checkpoint_file(folder / "run")


def _make_encoder(folder: Path) -> None:
    for name, encoder in made_up_encoders(13).items():
        PortableEncoder(encoder, FrontEnd(MfccSettings())).save(folder / f"{name}.safetensors")


def _read_encoder(folder: Path) -> None:
    (path,) = folder.glob("*.safetensors")
    encoder = PortableEncoder.load(path)
    encoder.encode(speechlike(0.4, 1), 16000, [(0.1, 0.3)])


def _make_clusters(folder: Path) -> None:
    store = made_up_store(folder / "store", 3, 12, 5)
    given = {"meaning.clusters": 20, "meaning.nearest": 2, "meaning.vector_size": 4}
    speech2vec.train(store.path, folder / "run", preset="meaning", settings=given, device="cpu", quiet=True)


def _read_method(folder: Path) -> None:
    run = Run.load(folder / "run", folder / "store")
    str(run)
    assert np.isfinite(run.vectors()).all()


def _make_wavlm(folder: Path) -> None:
    from encoders import save_wavlm

    save_wavlm(folder / "encoder")


def _make_ctranslate2(folder: Path) -> None:
    from encoders import save_converted_whisper

    save_converted_whisper(folder / "encoder")


def _read_pretrained(folder: Path) -> None:
    PretrainedEncoder.open(folder / "encoder", -1, "cpu").encode(speechlike(0.4, 1))


def _make_pretrained_store(folder: Path) -> None:
    _make_wavlm(folder)
    aligned = make_aligned(folder / "aligned", 3, 0.7, ".wav")
    settings = PretrainedSettings(encoder=str(folder / "encoder"), n_components=8)
    extract(aligned, folder / "store", settings, quiet=True)


def _read_pretrained_store(folder: Path) -> None:
    store = Store.open(folder / "store")
    FrontEnd.of_store(store).frames(speechlike(0.4, 1))


@lru_cache(maxsize=1)
def _vectors() -> WordVectors:
    drawn = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    return WordVectors(["hello", "world", "café", "a", "b"], drawn)


def _make_vectors(folder: Path) -> None:
    write_vectors(folder / "a.txt", _vectors())
    write_vectors(folder / "b.bin", _vectors(), binary=True)
    (folder / "c.txt").write_bytes((folder / "a.txt").read_bytes().partition(b"\n")[2])


def _read_vectors(folder: Path) -> None:
    (path,) = folder.glob("?.*")
    vectors = read_vectors(path)
    if "hello" in vectors and vectors.has_direction[vectors.index["hello"]]:
        vectors.neighbours("hello")


def _make_pairs(folder: Path) -> None:
    write_texts(folder, MEN_DOT_txt="# a comment\nhello\tworld\t3.5\nsun\tmoon\t7\n", mine_DOT_tsv="a b 1\nc d 2.5\n")


VECTOR_TARGETS = [
    Target("store", _make_store, _read_store, "*.*", 3),
    Target("parts", _make_parts, _read_parts, "shard/parts/*"),
    Target("run", _make_run, _read_run, "run/*.[jt]*", 2),
    Target("evaluation", _make_run, _read_run, "run/evaluation/*.json", 2),
    Target("checkpoints", _make_run, _resume_run, "run/checkpoints/*", 2),
    Target("run's store", _make_run, _read_run, "store/*"),
    Target("encoder", _make_encoder, _read_encoder, "*", 4),
    Target("clusters", _make_clusters, _read_method, "run/**/*.*", 2),
    Target("pretrained", _make_wavlm, _read_pretrained, "encoder/*"),
    Target("CTranslate2", _make_ctranslate2, _read_pretrained, "encoder/model.bin"),
    Target("pretrained store", _make_pretrained_store, _read_pretrained_store, "store/*.*"),
    Target("vectors", _make_vectors, _read_vectors, "?.*", 2),
    Target("pairs", _make_pairs, read_benchmarks),
]
