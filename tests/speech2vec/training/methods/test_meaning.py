"""Meaning and distilled, on a made-up language of two topics: words of one topic stand in the same utterances."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from fakes import made_up_store
from spoken import WORDS, spoken_store

import speech2vec as s2v
from speech2vec.features.store import Store
from speech2vec.model.encoding import encode_instances
from speech2vec.runtime.errors import UserError
from speech2vec.training.sampler import split
from speech2vec.vectors.word_vectors import WordVectors, average_instances

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


def test_more_clusters_than_words_are_told(store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        run = fitted(store, tmp_path / "run", "meaning", clusters=50_000)
    assert any("clusters, not 50000" in message for message in caplog.messages)
    assert np.isfinite(run.vectors()).all()


def test_utterances_of_one_word_are_refused(tmp_path: Path) -> None:
    lonely = made_up_store(tmp_path / "store", speakers=4, utterances=20, words=1)
    for preset, message in (("meaning", "every utterance is one word"), ("distilled", "its text teaches nothing")):
        with pytest.raises(UserError, match=message):
            s2v.train(lonely.path, tmp_path / preset, preset=preset, device="cpu", quiet=True)
