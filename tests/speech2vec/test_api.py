"""The Python interface: one call a step, on paths; results print, show in a notebook and become dictionaries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from aligned_folders import make_aligned
from gensim.models import KeyedVectors
from spoken import spoken_store

import speech2vec as s2v
from speech2vec.corpus.manifest import Word, read_utterances, read_words
from speech2vec.model.encoding import encode_instances
from speech2vec.runtime.errors import UserError

SMALL = {"model.vector_size": 6, "optimiser.batch_size": 64}


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_aligned(tmp_path_factory.mktemp("corpus") / "aligned", n_utterances=6)


@pytest.fixture(scope="module")
def run(aligned: Path) -> s2v.Run:
    s2v.extract(str(aligned), str(aligned.parent / "store"), jobs=1, quiet=True)
    return s2v.train(
        str(aligned.parent / "store"), str(aligned.parent / "run"), epochs=2, settings=SMALL, device="cpu", quiet=True
    )


@pytest.fixture(scope="module")
def spoken_run(tmp_path_factory: pytest.TempPathFactory) -> s2v.Run:
    """Of a store with homophones and rated words."""
    home = tmp_path_factory.mktemp("spoken")
    spoken_store(home / "store")
    return s2v.train(home / "store", home / "run", epochs=1, settings=SMALL, device="cpu", quiet=True)


def test_importing_the_package_loads_nothing_heavy_and_names_all_there_is() -> None:
    code = "import sys, speech2vec; print({'torch', 'gensim', 'librosa'} & sys.modules.keys(), dir(speech2vec))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.startswith("set() ") and all(f"'{name}'" in told for name in s2v.__all__)
    assert all(getattr(s2v, name) is not None for name in s2v.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        s2v.trian  # noqa: B018


def test_an_extraction_prints_its_counts(aligned: Path, tmp_path: Path) -> None:
    result = s2v.extract(aligned, tmp_path / "store", settings={"n_mfcc": 5}, jobs=1, quiet=True)
    assert str(result).startswith("30 words, ") and result.to_dict()["n_words"] == 30
    assert "30 words" in result._repr_html_()
    with pytest.raises(UserError, match="already exists"):
        s2v.extract(aligned, tmp_path / "store", jobs=1, quiet=True)
    with pytest.raises(UserError, match="n_mfc"):
        s2v.extract(aligned, tmp_path / "other", settings={"n_mfc": 5}, quiet=True)


def test_a_run_has_its_metrics_settings_and_vectors(run: s2v.Run) -> None:
    assert [row["epoch"] for row in run.metrics] == [0, 1, 2]
    assert run.settings.model.vector_size == 6 and run.settings.optimiser.epochs == 2
    assert str(run).startswith(f"run {run.path}: 2 epochs, held-out loss ") and "held-out loss" in run._repr_html_()
    json.dumps(run.to_dict())
    vectors = run.word_vectors()
    assert isinstance(vectors, KeyedVectors) and vectors.vector_size == 6
    assert {word: vectors.get_vecattr(word, "count") for word in vectors.index_to_key} == dict(
        zip(run.store.types, run.store.counts.tolist(), strict=True)
    )
    assert len(run.word_vectors(min_count=8)) == sum(run.store.counts >= 8) < len(vectors)


def test_a_run_that_is_loaded_is_the_one_that_was_trained(run: s2v.Run) -> None:
    again = s2v.load(str(run.path), device="cpu")
    np.testing.assert_array_equal(again.word_vectors().vectors, run.word_vectors().vectors)
    untrained = s2v.load(run.path, device="cpu", trained=False)
    assert not np.allclose(untrained.word_vectors().vectors, run.word_vectors().vectors)
    with pytest.raises(UserError, match="is not a run"):
        s2v.load(run.path.parent)
    resumed = s2v.train(run.store.path, run.path, epochs=2, settings=SMALL, device="cpu", resume=True, quiet=True)
    assert resumed.metrics == run.metrics


def test_words_of_new_audio_are_encoded_from_words_or_from_times(run: s2v.Run, aligned: Path) -> None:
    utterance = next(iter(read_utterances(aligned)))
    words = [Word(**row) for row in read_words(aligned).to_pylist() if row["utterance_id"] == utterance.utterance_id]
    z = run.encode(str(utterance.audio), words)
    assert z.shape == (len(words), 6) and z.dtype == np.float32
    np.testing.assert_array_equal(z, run.encode(utterance.audio, [(word.start, word.end) for word in words]))
    with pytest.raises(UserError, match="outside the recording"):
        run.encode(utterance.audio, [(0.1, 0.2), (100.0, 101.0)])


def test_embedding_an_alignment_gives_the_vectors_of_its_store(run: s2v.Run, aligned: Path) -> None:
    for given in (run, str(run.path)):
        embeddings = s2v.embed(given, str(aligned), jobs=1, quiet=True)
        np.testing.assert_allclose(embeddings.vectors, encode_instances(run.model, run.store), atol=1e-6)


def test_every_measure_takes_a_run_and_its_vectors(spoken_run: s2v.Run, tmp_path: Path) -> None:
    vectors = spoken_run.word_vectors()
    results = [
        s2v.evaluate(vectors, run=spoken_run, resamples=100),
        s2v.same_different(spoken_run, dtw_instances=0, quiet=True),
        s2v.homophones(vectors, run=spoken_run, min_count=1),
    ]
    for result in results:
        assert str(result) and "<table>" in result._repr_html_()
        json.dumps(result.to_dict())
    s2v.report(spoken_run, tmp_path / "report.html", dtw_instances=0, quiet=True)
    assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_both_ways_to_a_run_are_one(aligned: Path, run: s2v.Run, program) -> None:  # type: ignore[no-untyped-def]
    other = aligned.parent / "by-command"
    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    command = ("train", run.store.path, "-o", other, "--epochs", 2, *settings, "--device", "cpu", "--quiet")
    assert program(*command)[0] == 0
    mine, theirs = s2v.load(other, device="cpu"), run
    np.testing.assert_array_equal(mine.word_vectors().vectors, theirs.word_vectors().vectors)
