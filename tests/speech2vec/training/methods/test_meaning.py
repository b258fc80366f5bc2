"""Meaning and distilled, on a made-up language of two topics: words of one topic stand in the same utterances."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from aligned_folders import Program
from fakes import made_up_store
from spoken import WORDS, spoken_store

import speech2vec as s2v
from speech2vec.features.store import Store
from speech2vec.model.encoding import encode_instances
from speech2vec.runtime.errors import UserError
from speech2vec.training.methods.distilled import text_vectors, unheard_types
from speech2vec.training.sampler import split
from speech2vec.vectors.word_vectors import WordVectors, average_instances, read_vectors

SETTINGS = {"clusters": 200, "nearest": 2}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return spoken_store(tmp_path_factory.mktemp("topics") / "store", speakers=6, utterances=60, topics=2)


def fitted(store: Store, folder: Path, preset: str, **settings: object) -> s2v.Run:
    method = "meaning" if preset.startswith("meaning") else preset
    given = {f"{method}.{key}": value for key, value in {**SETTINGS, **settings}.items()}
    return s2v.train(store.path, folder, preset=preset, settings=given, device="cpu", quiet=True)


def words_of(run: s2v.Run) -> WordVectors:
    return average_instances(run.vectors(), run.store.word_id, run.store.types)


def topics_of(vectors: WordVectors) -> np.ndarray:
    return np.array([2 * WORDS.index(word) // len(WORDS) for word in vectors.words])


def topics_apart(vectors: WordVectors) -> float:
    """Mean cosine of words of one topic less that of words of two."""
    topic = topics_of(vectors)
    cosine = np.corrcoef(vectors.vectors)
    same, other = topic[:, None] == topic, np.eye(len(topic), dtype=bool)
    return float(cosine[same & ~other].mean() - cosine[~same].mean())


def test_words_of_one_topic_come_together_without_labels(store: Store, tmp_path: Path) -> None:
    run = fitted(store, tmp_path / "run", "meaning", vector_size=4)
    assert run.labels == "none"
    assert topics_apart(words_of(run)) > 0.5
    sound = average_instances(encode_instances(run.untrained(), store), store.word_id, store.types)
    assert abs(topics_apart(sound)) < 0.1


def test_clusters_that_are_counted_in_parts_have_vectors_in_one_space(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fitted(store, tmp_path / "whole", "meaning", vector_size=4)
    monkeypatch.setattr("speech2vec.training.methods.meaning._COUNTS_AT_ONCE", 3_000)  # several parts a clustering
    parts = fitted(store, tmp_path / "parts", "meaning", vector_size=4)
    assert not np.array_equal(parts.vectors(), whole.vectors())
    assert topics_apart(words_of(parts)) > 0.5


def test_labels_of_some_speakers_are_recorded(store: Store, tmp_path: Path) -> None:
    run = fitted(store, tmp_path / "run", "meaning-labels", vector_size=4, label_share=0.5)
    assert run.labels == "words of 3 of 6 speakers"
    assert topics_apart(words_of(run)) > 0.5


def test_sounds_of_held_out_speakers_have_the_vectors_that_the_text_teaches(store: Store, tmp_path: Path) -> None:
    run = fitted(store, tmp_path / "run", "distilled", vector_size=20)
    assert run.labels == "text of the transcripts"
    parts = split(store, run.settings.data.held_out, run.settings.seed)
    taught = average_instances(run.vectors(parts.train), store.word_id[parts.train], store.types)
    cosine = run.vectors(parts.held_out) @ taught.unit(np.arange(len(taught))).T
    said = np.array([taught.index[store.types[i]] for i in store.word_id[parts.held_out]])
    topic = topics_of(taught)
    nearest = cosine.argmax(axis=1)
    assert (topic[nearest] == topic[said]).mean() > 0.9
    assert (nearest == said).mean() > 0.4  # most words have a homophone


def test_the_held_out_speakers_words_have_vectors_of_their_own(store: Store, tmp_path: Path, program: Program) -> None:
    run = fitted(store, tmp_path / "run", "distilled", vector_size=20)
    assert program("export", run.path, "-o", tmp_path / "vectors.txt", "--held-out", "--device", "cpu")[0] == 0
    rows = split(store, run.settings.data.held_out, run.settings.seed).held_out
    expected = average_instances(run.vectors(rows), store.word_id[rows], store.types)
    written = read_vectors(tmp_path / "vectors.txt")
    assert written.words == expected.words
    np.testing.assert_allclose(written.vectors, expected.vectors, atol=1e-6)


def test_words_that_are_not_to_be_heard_teach_no_cluster(
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    checkout: Path,
) -> None:
    from scripts import score_distilled

    everything = fitted(store, tmp_path / "all", "distilled", vector_size=20)
    run = fitted(store, tmp_path / "run", "distilled", vector_size=20, unheard=0.1)
    left_out = unheard_types(store, run.settings.of_method, run.settings.seed)
    assert len(left_out) == len(store.types) // 10
    rows = np.flatnonzero(np.isin(store.word_id, left_out))
    assert nearest_to_own(run, rows) < 0.3 < nearest_to_own(everything, rows)
    monkeypatch.setattr("sys.argv", ["score_distilled", str(run.path)])
    score_distilled.main()
    printed = capsys.readouterr().out
    assert "never heard with random words, against the teacher's: rho" in printed
    assert "teacher, MEN: " not in printed or "distilled, MEN: " in printed


def nearest_to_own(run: s2v.Run, rows: np.ndarray) -> float:
    """Share of words nearest to the teacher's vector of themselves."""
    store = run.store
    train = split(store, run.settings.data.held_out, run.settings.seed).train
    taught, vectors = text_vectors(store, train, run.settings.of_method, run.settings.seed)
    number = np.full(len(store.types), -1)
    number[store.word_id[train]] = taught
    return float(((run.vectors(rows) @ vectors.T).argmax(axis=1) == number[store.word_id[rows]]).mean())


def test_more_clusters_than_words_are_told(store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        run = fitted(store, tmp_path / "run", "meaning", clusters=90_000)
    assert any("clusters, not 90000" in message for message in caplog.messages)
    assert np.isfinite(run.vectors()).all()


def test_utterances_of_one_word_are_refused(tmp_path: Path) -> None:
    lonely = made_up_store(tmp_path / "store", speakers=4, utterances=20, words=1)
    for preset, message in (("meaning", "every utterance is one word"), ("distilled", "its text teaches nothing")):
        with pytest.raises(UserError, match=message):
            s2v.train(lonely.path, tmp_path / preset, preset=preset, device="cpu", quiet=True)
