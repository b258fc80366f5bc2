"""Word2Vec, fastText and the closed form on text: what they are trained on, and `speech2vec baseline` as a command."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from gensim.models import KeyedVectors, Word2Vec
from sentences import SENTENCES, make_store, run

from speech2vec.corpus.manifest import UTTERANCES_FILE, WORDS_FILE, Utterance, Word, write_utterances, write_words
from speech2vec.features.store import Store
from speech2vec.runtime.errors import UserError
from speech2vec.vectors.baselines import BaselineSettings, read_sentences, text_ceiling, train_baseline
from speech2vec.vectors.word_vectors import read_vectors


class TestBaseline:
    def test_sentences_of_a_store_an_aligned_folder_and_transcripts(self, tmp_path: Path) -> None:
        store = make_store(tmp_path / "store", SENTENCES)
        aligned = tmp_path / "aligned"
        words = [
            Word(f"u{i}", word, float(k), k + 1.0)
            for i, sentence in enumerate(SENTENCES)
            for k, word in enumerate(sentence)
        ]
        write_words(aligned / WORDS_FILE, words)
        said = [Utterance(f"u{i}", Path("x.wav"), " ".join(s).upper(), "s") for i, s in enumerate(SENTENCES)]
        write_utterances(tmp_path / UTTERANCES_FILE, said)
        text = tmp_path / "all.text"
        text.write_text("".join(f"u{i} {' '.join(s).upper()}\n" for i, s in enumerate(SENTENCES)))
        for source in (store, aligned, tmp_path / UTTERANCES_FILE, text):
            assert read_sentences(source) == SENTENCES, source

    def test_words_that_go_together_end_up_together(self) -> None:
        rng = np.random.default_rng(0)
        topics = [["cat", "dog", "horse", "cow"], ["sun", "moon", "star", "sky"]]
        sentences = [list(rng.choice(topics[i % 2], 6)) for i in range(600)]
        for kind in ("word2vec", "fasttext"):
            for objective in ("skipgram", "cbow"):
                settings = BaselineSettings(
                    kind=kind, objective=objective, vector_size=8, epochs=5, sample=0.0, buckets=500
                )
                vectors = train_baseline(sentences, settings)
                nearest = {word for word, _ in vectors.neighbours("cat", 3)}
                assert nearest == {"dog", "horse", "cow"}, (kind, objective)
                assert vectors.counts is not None and int(vectors.counts.sum()) == 3600

    def test_the_closed_form_places_rare_words_among_those_they_go_with(self) -> None:
        rng = np.random.default_rng(0)
        topics = [["cat", "dog", "horse", "cow"], ["sun", "moon", "star", "sky"]]
        sentences = [list(rng.choice(topics[i % 2], 6)) for i in range(100)]
        sentences += [["cat", "pony", "cow"], ["moon", "comet", "star"]]
        settings = BaselineSettings(kind="ppmi", vector_size=3, min_count=1)
        vectors = train_baseline(sentences, settings)
        for word, topic in (("cat", topics[0]), ("pony", topics[0]), ("comet", topics[1])):
            assert {near for near, _ in vectors.neighbours(word, 3)} < {*topic, "pony", "comet"}, word
        assert vectors.vectors.dtype == np.float32 and vectors["pony"].shape == (3,)
        assert vectors.counts is not None and vectors.counts[vectors.index["pony"]] == 1
        # What is rare shapes nothing: the others are what they are without it, but for the window that it takes up.
        frequent = train_baseline(sentences, settings.model_copy(update={"min_count": 5}))
        assert "pony" not in frequent and len(frequent) == 8
        again = train_baseline(sentences, settings)
        np.testing.assert_array_equal(again.vectors, vectors.vectors)
        with pytest.raises(UserError, match="no word occurs 1000 times or more"):
            train_baseline(sentences, settings.model_copy(update={"min_count": 1000}))

    @pytest.mark.parametrize("sentences", [[["a"]], [["a", "a"]], [["a", "b"]], [["a"], ["b"]], [["a", "b", "c"]]])
    def test_the_closed_form_of_next_to_no_text(self, sentences: list[list[str]]) -> None:
        vectors = train_baseline(sentences, BaselineSettings(kind="ppmi", min_count=1))
        assert vectors.words == sorted({word for words in sentences for word in words})
        assert np.isfinite(vectors.vectors).all()

    def test_the_ceiling_of_a_store_has_all_its_words(self, tmp_path: Path) -> None:
        store = Store.open(make_store(tmp_path / "store", SENTENCES * 20))
        ceiling = text_ceiling(store, 3)
        assert sorted(ceiling.words) == sorted(store.types) and ceiling.vector_size <= 3

    @pytest.mark.parametrize(("objective", "skipgram"), [("skipgram", 1), ("cbow", 0)])
    def test_the_vectors_are_those_of_gensim_under_the_same_settings(
        self, objective: Literal["skipgram", "cbow"], skipgram: int
    ) -> None:
        rng = np.random.default_rng(0)
        sentences = [[f"w{i}" for i in rng.integers(0, 12, 8)] for _ in range(50)]
        found = {}
        for seed in (2, 3):
            settings = BaselineSettings(
                objective=objective, vector_size=5, window=2, min_count=30, negative=3, epochs=2, seed=seed
            )
            vectors = train_baseline(sentences, settings)
            expected = Word2Vec(
                sentences,
                vector_size=5,
                window=2,
                min_count=30,
                negative=3,
                epochs=2,
                sg=skipgram,
                seed=seed,
                workers=1,
            ).wv
            assert vectors.words == expected.index_to_key
            np.testing.assert_array_equal(vectors.vectors, expected.vectors)
            found[seed] = vectors
        assert not np.allclose(found[2]["w0"], found[3]["w0"])

    def test_the_command_writes_what_gensim_opens_and_repeats_itself(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        store = make_store(tmp_path / "store", SENTENCES * 20)
        for name in ("a.txt", "b.txt"):
            assert run("baseline", store, "--vector-size", 6, "--epochs", 2, "-o", tmp_path / name) == 0
        assert "6 words of 6 dimensions, word2vec skipgram, 2 epochs, window 3" in capsys.readouterr().out
        assert (tmp_path / "a.txt").read_bytes() == (tmp_path / "b.txt").read_bytes()
        opened = KeyedVectors.load_word2vec_format(str(tmp_path / "a.txt"))
        assert set(opened.index_to_key) == {"the", "cat", "sat", "dog", "down", "end"}
        assert read_vectors(tmp_path / "a.txt").words[0] == "the"
        binary = tmp_path / "f.bin"
        assert run("baseline", store, "--kind", "fasttext", "--objective", "cbow", "--set", "buckets=100",
                   "--vector-size", 6, "--epochs", 1, "--binary", "-o", binary) == 0  # fmt: skip
        assert KeyedVectors.load_word2vec_format(str(binary), binary=True).vector_size == 6

    def test_faults(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        store = make_store(tmp_path / "store", SENTENCES)
        assert run("baseline", store, "--min-count", 50, "-o", tmp_path / "v") == 2
        assert "no word occurs 50 times or more" in capsys.readouterr().err
        assert run("baseline", tmp_path, "-o", tmp_path / "v") == 2
        assert "is not a store, an ALIGNED folder" in capsys.readouterr().err
        assert run("baseline", store, "--vector-size", 0, "-o", tmp_path / "v") == 2
        assert "vector_size" in capsys.readouterr().err
        empty = tmp_path / "empty.text"
        empty.write_text("u1\nu2 \n")
        with pytest.raises(UserError, match="holds no words"):
            read_sentences(empty)
        nothing = tmp_path / "aligned"
        nothing.mkdir()
        (nothing / UTTERANCES_FILE).touch()
        write_words(nothing / WORDS_FILE, [])
        with pytest.raises(UserError, match="holds no words"):
            read_sentences(nothing)

    @pytest.mark.corpus
    def test_the_transcripts_of_real_speech(self, test_data: Path) -> None:
        sentences = read_sentences(test_data / "librispeech" / "transcripts" / "train-clean-100.text")
        assert len(sentences) == 28_539
        assert sum(map(len, sentences)) == 990_101
