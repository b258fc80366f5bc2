"""Word vectors of the classifier: rows, words without a vector, padding, counts."""

import numpy as np
import pytest
from aligned_folders import make_aligned
from safetensors.numpy import save_file
from spoken import spoken_store

from emotion.models.word_vectors import PADDING, UNKNOWN, Vocabulary, WordSegments, coverage, load_pretrained
from speech2vec import api
from speech2vec.corpus.manifest import read_utterances
from speech2vec.runtime.errors import UserError
from speech2vec.training.methods import METHODS
from speech2vec.vectors.portable import PortableEncoder
from speech2vec.vectors.word_vectors import WordVectors, write_vectors

TEXTS = ["Yes, I know.", "No no [LAUGHTER] I don't", "[LAUGHTER]", ""]


@pytest.fixture
def vocabulary():
    return Vocabulary.of_texts(TEXTS)


@pytest.fixture
def vectors_file(tmp_path):
    rng = np.random.default_rng(0)
    vectors = (3 + 2 * rng.standard_normal((400, 6))).astype(np.float32)
    path = tmp_path / "vectors.txt"
    write_vectors(path, WordVectors(["YES", "no", "i", *(f"w{i}" for i in range(397))], vectors))
    return path


def test_words_are_those_of_tokenize(vocabulary):
    assert vocabulary.words == ["i", "no", "don't", "know", "yes"]
    rows = vocabulary.rows(["I never know", "[LAUGHTER]"])
    assert rows[0].tolist() == [2, UNKNOWN, 5] and rows[1].tolist() == []


def test_table_has_loaded_vectors_and_drawn_ones(vocabulary, vectors_file):
    pretrained = load_pretrained(str(vectors_file), vocabulary)
    assert pretrained.known.tolist() == [True, True, False, False, True]
    table = pretrained.table(seed=1)
    assert table.shape == (7, 6) and not table[PADDING].any()
    np.testing.assert_allclose(table[2:][pretrained.known], pretrained.vectors[pretrained.known])
    many = np.array([pretrained.table(seed)[[UNKNOWN, 4, 5]] for seed in range(300)]).reshape(-1, 6)
    np.testing.assert_allclose(many.mean(axis=0), pretrained.mean, atol=0.3)
    np.testing.assert_allclose(many.std(axis=0), pretrained.deviation, atol=0.3)


def test_seed_draws_only_what_is_not_loaded(vocabulary, vectors_file):
    pretrained = load_pretrained(str(vectors_file), vocabulary)
    first, second = pretrained.table(1), pretrained.table(2)
    same = np.all(first == second, axis=1)
    assert same.tolist() == [True, False, True, True, False, False, True]
    np.testing.assert_array_equal(first, pretrained.table(1))


def test_scale_is_the_root_mean_square(vocabulary, vectors_file):
    for source in (str(vectors_file), "random:50"):
        table = load_pretrained(source, vocabulary).table(0, scale=0.3)
        assert np.sqrt(np.mean(table[1:] ** 2)) == pytest.approx(0.3, rel=1e-5)


def test_random_has_the_size_that_is_asked_for(vocabulary):
    assert load_pretrained("random:100", vocabulary).vector_size == 100
    assert load_pretrained("random", vocabulary).vector_size == 50
    with pytest.raises(UserError, match="random:50"):
        load_pretrained("random:many", vocabulary)


def test_coverage_counts(vocabulary, vectors_file):
    found = coverage(TEXTS, vocabulary, load_pretrained(str(vectors_file), vocabulary))
    assert found["types"] == 5 and found["tokens"] == 7
    assert found["types_without_vector"] == 2 and found["tokens_without_vector"] == 2
    assert found["texts_without_words"] == 2


def test_vectors_of_other_words_are_refused(tmp_path, vocabulary):
    path = tmp_path / "other.txt"
    write_vectors(path, WordVectors(["zebra"], np.ones((1, 3), dtype=np.float32)))
    with pytest.raises(UserError, match="contains none of the corpus' 5 words"):
        load_pretrained(str(path), vocabulary)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_segments_are_those_of_any_method(method, tmp_path):
    """Each word's own sound, by the copy of the encoder that a classifier's run keeps."""
    aligned = make_aligned(tmp_path / "aligned", n_utterances=3)
    spoken_store(tmp_path / "store", utterances=8)
    run = api.train(tmp_path / "store", tmp_path / "run", preset=method, device="cpu", evaluate_every=0, quiet=True)
    PortableEncoder.from_run(run).save(tmp_path / "encoder.safetensors")
    utterances = [utterance.utterance_id for utterance in read_utterances(aligned)]
    segments = WordSegments.encode(PortableEncoder.load(tmp_path / "encoder.safetensors"), aligned, utterances[::-1])
    wanted = api.embed(run, aligned, jobs=1, quiet=True)
    assert segments.n_words.tolist() == [5, 5, 5] and segments.vectors.shape[1] == run.model.vector_size
    np.testing.assert_allclose(segments.of_each()[0], wanted.vectors[10:], atol=1e-6)


@pytest.mark.parametrize(
    ("vectors", "n_words"),
    [
        ([[np.nan, 1.0]], [1]),
        ([[1.0, 1.0]], [3, -2]),
        ([[1.0, 1.0]], [2]),
        ([1.0], [1]),
        ([[1.0, 1.0]], [1.0]),
    ],
)
def test_a_damaged_file_of_segments_is_one_line(vectors, n_words, tmp_path):
    save_file({"vectors": np.array(vectors, dtype=np.float32), "n_words": np.array(n_words)}, tmp_path / "segments")
    with pytest.raises(UserError, match="is not a file of word segments, or is damaged"):
        WordSegments.load(tmp_path / "segments")
