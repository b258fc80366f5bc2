"""The Python interface: one call a step, on paths; results print, show in a notebook and become dictionaries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from aligned_folders import Program, make_aligned
from fakes import made_up_store
from gensim.models import KeyedVectors
from spoken import spoken_store, write_recordings

import speech2vec as s2v
from speech2vec.corpus.manifest import Utterance, Word, read_utterances, read_words, write_utterances, write_words
from speech2vec.evaluation.scores import read_evaluation
from speech2vec.features.store import Store
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
    page = s2v.report(spoken_run, tmp_path / "report.html", evaluation=results[0], dtw_instances=0, quiet=True)
    assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "has not been measured" not in str(page) and "what words mean" in str(page)
    pages = s2v.compare([spoken_run, spoken_run], tmp_path / "compare.html", quiet=True)
    for result in (page, pages):
        assert "same" in str(result) and "<table>" in result._repr_html_() and len(repr(result)) < 300
        json.dumps(result.to_dict(), allow_nan=False)
    assert len(repr(spoken_run)) < 300
    results[0].save(tmp_path / "evaluation")
    assert read_evaluation(tmp_path / "evaluation" / "evaluation.json") == results[0]


def test_every_path_may_be_a_string(spoken_run: s2v.Run, aligned: Path, tmp_path: Path) -> None:
    run, store, out = str(spoken_run.path), str(spoken_run.store.path), str(tmp_path)
    write_recordings(spoken_run.store, tmp_path / "recordings")
    rated = tmp_path / "rated"
    rated.mkdir()
    rated.joinpath("own.txt").write_text("happy cheerful 9\ndoctor nurse 8\nwinter summer 7\nocean street 1\n")
    dictionary = f"{out}/own.dict"
    rows = zip(*[spoken_run.store.types] * 2, strict=True)
    Path(dictionary).write_text("".join(f"{word} {' '.join(spelled.upper())} T\n" for word, spelled in rows))
    with Path(dictionary).open("a") as lines:
        lines.write("ate(2) AH\n")
    for number in (1, 2):
        s2v.extract(str(aligned), f"{out}/shard{number}", shard=(number, 2), jobs=1, quiet=True)
    assert s2v.merge([f"{out}/shard1", f"{out}/shard2"], f"{out}/merged").n_words == 30
    loaded = s2v.load(run, store, device="cpu")
    loaded.word_vectors(held_out=True).save_word2vec_format(f"{out}/vectors.txt")
    given = {"run": run, "store": store, "wordsim": str(rated)}
    found = s2v.evaluate(f"{out}/vectors.txt", text=f"{out}/vectors.txt", resamples=100, **given)
    found.save(f"{out}/evaluation")
    s2v.homophones(f"{out}/vectors.txt", min_count=1, **given)
    with pytest.raises(UserError, match="no two of the"):
        s2v.homophones(f"{out}/vectors.txt", dictionary=dictionary, min_count=1, **given)
    s2v.same_different(run, store=store, dtw_instances=0, quiet=True)
    options = {"wordsim": str(rated), "quiet": True}
    s2v.report(run, f"{out}/report.html", store=store, dtw_instances=0, aligned=f"{out}/recordings", **options)
    s2v.compare([run, run], f"{out}/compare.html", **options)
    utterance = next(iter(read_utterances(aligned)))
    assert loaded.encode(str(utterance.audio), [(0.05, 0.2)]).shape == (1, 6)
    s2v.embed(run, str(aligned), jobs=1, quiet=True).save(f"{out}/embeddings.npz")


def test_an_instance_of_settings_silences_no_argument(aligned: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"settings is an instance, .*: set encoder in it"):
        s2v.extract(aligned, tmp_path / "store", settings=s2v.MfccSettings(), encoder="wavlm", quiet=True)
    store, given = made_up_store(tmp_path / "made").path, s2v.TrainSettings()
    with pytest.raises(UserError, match="set vector_size and seed in it"):
        s2v.train(store, tmp_path / "run", settings=given, vector_size=6, seed=2, quiet=True)
    with pytest.raises(UserError, match="evaluate_every counts epochs"):
        s2v.train(store, tmp_path / "run", settings=given, evaluate_every=-1, quiet=True)
    assert not (tmp_path / "store").exists() and not (tmp_path / "run").exists()


def test_none_is_a_value_of_a_setting(aligned: Path, tmp_path: Path) -> None:
    given = {"max_frames": None}
    s2v.extract(aligned, tmp_path / "store", preset="reality-check", settings=given, jobs=1, quiet=True)
    assert Store.open(tmp_path / "store").settings["max_frames"] is None


def test_short_settings_are_those_of_the_method_that_is_chosen(tmp_path: Path, program: Program) -> None:
    store = made_up_store(tmp_path / "store").path
    chosen = {"method": "acoustic", "acoustic.adaptation.rounds": 0}
    run = s2v.train(store, tmp_path / "run", settings=chosen, vector_size=7, evaluate_every=0, quiet=True)
    assert run.model.vector_size == 7
    options = [word for key, value in chosen.items() for word in ("--set", f"{key}={value}")]
    code, _, told = program("train", store, "-o", tmp_path / "other", *options, "--vector-size", 7, "--quiet")
    assert code == 0, told
    for name, message in (("best", "keeps one checkpoint, 'last'"), ("bogus", "there is no 'bogus'")):
        with pytest.raises(UserError, match=message):
            s2v.load(run.path, checkpoint=name)
    with pytest.raises(UserError, match="the checkpoints last and best, not 'bogus'"):
        s2v.load(s2v.train(store, tmp_path / "p", epochs=1, settings=SMALL, quiet=True).path, checkpoint="bogus")


def test_held_out_words_are_those_of_the_run(tmp_path: Path) -> None:
    stores = [made_up_store(tmp_path / name, seed=seed).path for seed, name in enumerate("ab")]
    run = s2v.train(stores[0], tmp_path / "run", epochs=1, settings=SMALL, device="cpu", quiet=True)
    assert 0 < len(run.word_vectors(held_out=True)) <= len(run.word_vectors())
    other = s2v.load(run.path, stores[1], device="cpu")
    assert other.split is None and len(other.word_vectors()) > 0
    with pytest.raises(UserError, match=r"are not those that .* was trained on: none is held out"):
        other.word_vectors(held_out=True)


def test_a_recording_of_another_rate_is_encoded_as_embed_does(
    run: s2v.Run, aligned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utterance = next(iter(read_utterances(aligned)))
    samples, rate = sf.read(utterance.audio)
    monkeypatch.setattr("speech2vec.corpus.audio.MAX_SAMPLES", len(samples) + 16)  # after resampling
    sf.write(tmp_path / "new.wav", np.repeat(samples, 2), 2 * rate)
    spans = [(0.05, 0.2), (0.2, 0.4)]
    write_utterances(tmp_path / "utterances.jsonl", [Utterance("u", tmp_path / "new.wav", "a b", "s")])
    write_words(tmp_path / "words.parquet", [Word("u", name, *span) for name, span in zip("ab", spans, strict=True)])
    embedded = s2v.embed(run, tmp_path, jobs=1, quiet=True).vectors
    np.testing.assert_allclose(run.encode(tmp_path / "new.wav", spans), embedded, atol=1e-6)


def test_both_ways_to_a_run_are_one(aligned: Path, run: s2v.Run, program) -> None:  # type: ignore[no-untyped-def]
    other = aligned.parent / "by-command"
    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    command = ("train", run.store.path, "-o", other, "--epochs", 2, *settings, "--device", "cpu", "--quiet")
    assert program(*command)[0] == 0
    mine, theirs = s2v.load(other, device="cpu"), run
    np.testing.assert_array_equal(mine.word_vectors().vectors, theirs.word_vectors().vectors)
