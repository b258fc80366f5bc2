"""Word vectors: means, files that gensim opens, faulty files, neighbours."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from fakes import random_vectors
from gensim.models import KeyedVectors
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from speech2vec.runtime.errors import UserError
from speech2vec.vectors.word_vectors import WordVectors, as_word_vectors, average_instances, read_vectors, write_vectors

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda word: word.encode().split() == [word.encode()]
)


def some_vectors(n_words: int = 50, vector_size: int = 7, seed: int = 0) -> WordVectors:
    return random_vectors([f"word{i}" for i in range(n_words)], vector_size, seed)


class TestAverage:
    def test_equals_the_mean_word_by_word(self) -> None:
        rng = np.random.default_rng(3)
        word_id = rng.integers(0, 6, 200)
        word_id[word_id == 4] = 5  # one type has no instance
        instances = rng.standard_normal((200, 8)).astype(np.float32)
        types = list("abcdef")
        averaged = average_instances(instances, word_id, types)
        assert sorted(averaged.words) == ["a", "b", "c", "d", "f"]
        assert averaged.counts is not None
        assert list(averaged.counts) == sorted(averaged.counts, reverse=True)
        for word in averaged.words:
            of_word = instances[word_id == types.index(word)]
            np.testing.assert_allclose(averaged[word], of_word.astype(np.float64).mean(axis=0), rtol=1e-6)
            assert averaged.counts[averaged.index[word]] == len(of_word)

    def test_min_count_leaves_rare_words_out(self) -> None:
        averaged = average_instances(np.eye(4, dtype=np.float32), np.array([1, 1, 1, 0]), ["rare", "often"], 2)
        assert averaged.words == ["often"]

    def test_sums_in_double_precision(self) -> None:
        # In float32 a running sum of a million times 0.1 is off in the third digit.
        instances = np.full((1_000_000, 1), 0.1, dtype=np.float32)
        averaged = average_instances(instances, np.zeros(1_000_000, dtype=np.int64), ["a"])
        assert averaged["a"][0] == np.float32(0.1)

    def test_a_diverged_encoder_is_told(self) -> None:
        instances = np.ones((3, 2), dtype=np.float32)
        instances[1, 0] = np.nan
        with pytest.raises(UserError, match=r"1 word instances hold NaN.*instance 1, 'b'"):
            average_instances(instances, np.array([0, 1, 1]), ["a", "b"])


class TestFiles:
    @pytest.mark.parametrize("binary", [False, True])
    def test_gensim_opens_what_is_written(self, tmp_path: Path, binary: bool) -> None:
        vectors = some_vectors()
        path = tmp_path / "vectors"
        write_vectors(path, vectors, binary)
        opened = KeyedVectors.load_word2vec_format(str(path), binary=binary)
        assert opened.index_to_key == vectors.words
        np.testing.assert_array_equal(opened.vectors, vectors.vectors)

    @pytest.mark.parametrize("binary", [False, True])
    def test_what_gensim_writes_is_read(self, tmp_path: Path, binary: bool) -> None:
        vectors = some_vectors()
        keyed = KeyedVectors(vectors.vector_size)
        keyed.add_vectors(vectors.words, vectors.vectors)
        path = tmp_path / "vectors"
        keyed.save_word2vec_format(str(path), binary=binary)
        read = read_vectors(path)
        assert read.words == vectors.words
        np.testing.assert_array_equal(read.vectors, vectors.vectors)

    @settings(max_examples=60, deadline=None)
    @given(
        words=st.lists(WORDS, unique=True, max_size=12),
        rows=st.integers(2, 9).flatmap(lambda size: arrays(np.float32, (12, size), elements=FLOATS)),
        binary=st.booleans(),
    )
    def test_round_trip(self, tmp_path_factory, words: list[str], rows: np.ndarray, binary: bool) -> None:
        vectors = WordVectors(words, rows[: len(words)])
        path = tmp_path_factory.mktemp("round") / "vectors"
        write_vectors(path, vectors, binary)
        read = read_vectors(path)
        assert read.words == words
        np.testing.assert_array_equal(read.vectors, vectors.vectors)

    def test_a_binary_row_of_characters_that_numbers_have_is_binary(self, tmp_path: Path) -> None:
        vectors = WordVectors(["0"], np.frombuffer(b"-7Y[-7Y[", dtype=np.float32)[None])
        write_vectors(tmp_path / "vectors", vectors, binary=True)
        np.testing.assert_array_equal(read_vectors(tmp_path / "vectors").vectors, vectors.vectors)

    @settings(max_examples=150, deadline=None)
    @given(content=st.binary(max_size=80), header=st.sampled_from([b"", b"2 3\n", b"1 2\n", b"3 1\n"]))
    def test_any_bytes_are_read_or_refused_in_one_line(self, tmp_path_factory, content: bytes, header: bytes) -> None:
        path = tmp_path_factory.mktemp("any") / "vectors"
        path.write_bytes(header + content)
        try:
            read = read_vectors(path)
        except UserError as error:
            assert str(path) in str(error)
        else:
            assert np.isfinite(read.vectors).all()

    @pytest.mark.parametrize("word", ["", "new york", "a\tb", "a\nb"])
    def test_words_that_the_format_cannot_hold_are_refused(self, tmp_path: Path, word: str) -> None:
        with pytest.raises(UserError, match="white space"):
            write_vectors(tmp_path / "v", WordVectors([word], np.ones((1, 2), dtype=np.float32)))
        assert not (tmp_path / "v").exists()

    def test_trailing_spaces_and_empty_lines(self, tmp_path: Path) -> None:
        path = tmp_path / "v.vec"
        path.write_bytes(b"2 2\nthe 1 2 \r\ncat 3 4 \r\n\r\n")
        read = read_vectors(path)
        assert read.words == ["the", "cat"]
        np.testing.assert_array_equal(read.vectors, [[1, 2], [3, 4]])

    def test_a_byte_order_mark(self, tmp_path: Path) -> None:
        path = tmp_path / "v.txt"
        path.write_bytes(b"\xef\xbb\xbf1 2\nthe 1 2\n")
        assert read_vectors(path).words == ["the"]

    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    def test_a_file_without_a_header_as_glove_has_them(self, tmp_path: Path, mark: bytes) -> None:
        path = tmp_path / "glove.txt"
        path.write_bytes(mark + b"the 0.1 0.2 -1e-3\n, 1 2 3\ncat 4 5 6\n")
        read = read_vectors(path)
        assert read.words == ["the", ",", "cat"]
        np.testing.assert_array_equal(read.vectors, np.float32([[0.1, 0.2, -1e-3], [1, 2, 3], [4, 5, 6]]))

    def test_words_with_spaces(self, tmp_path: Path) -> None:
        text = tmp_path / "text"
        text.write_text("3 2\nnew york 1 2\nice cream 3 4\nroute 66 5 6\n")
        binary = tmp_path / "binary"
        rows = b"".join(word + b" " + struct.pack("<2f", *row) + b"\n" for word, row in
                        [(b"plain", (1, 2)), (b"new york", (3, 4)), (b"a b c", (5, 6))])  # fmt: skip
        binary.write_bytes(b"3 2\n" + rows)
        assert read_vectors(text).words == ["new york", "ice cream", "route 66"]
        read = read_vectors(binary)
        assert read.words == ["plain", "new york", "a b c"]
        np.testing.assert_array_equal(read["a b c"], [5, 6])

    def test_duplicates_keep_the_first_and_are_told(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = tmp_path / "v"
        path.write_text("3 2\ncat 1 2\ndog 3 4\ncat 5 6\n")
        read = read_vectors(path)
        assert read.words == ["cat", "dog"]
        np.testing.assert_array_equal(read["cat"], [1, 2])
        assert "'cat', line 4" in caplog.text

    def test_latin1_is_read_and_told(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = tmp_path / "v"
        path.write_bytes("2 2\nthe 1 2\ncafé 3 4\n".encode("latin-1"))
        assert read_vectors(path).words == ["the", "café"]
        assert "line 3" in caplog.text and "Latin-1" in caplog.text

    def test_zero_vectors_are_told(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = tmp_path / "v"
        path.write_text("2 2\nthe 0 0\ncat 3 4\n")
        assert list(read_vectors(path).has_direction) == [False, True]
        assert "1 vectors are zero (first: 'the')" in caplog.text

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "line 1: a word2vec file starts with"),
            (b"the 0.1 x\n", "line 1: a word2vec file starts with"),
            (b"2 1\nthe 1 2 3\ncat 4 5 6\n", "line 1: the header says 1 numbers for a word, but more follow"),
            (b"the 0.1 0.2\ncat 0.3\n", "line 2: 1 numbers instead of 2"),
            (b"3 0\n", "line 1: the vector size is 0"),
            (b"2 2\nthe 1 2\ncat 1\n", "line 3: 1 numbers instead of 2"),
            (b"2 2\nthe 1 2\ncat 1 x\n", "line 3: b?'x' is not a number"),
            (b"2 2\nthe 1 2\ncat nan 1\n", "line 3: the vector of 'cat' holds NaN"),
            (b"2 2\nthe 1 inf\ncat 1 1\n", "line 2: the vector of 'the' holds NaN"),
            (b"2 2\nthe 1 1e40\ncat 1 1\n", "line 2: the vector of 'the' holds .* too large for float32"),
            (b"1 2\nthe 1 2\ncat 3 4\n", "line 3: more rows than the 1"),
            (b"3 2\nthe 1.25 2.25\ncat 3.25 4.25\n", "promises 3 words, the file ends after 2"),
            (b"999999999999 300\nthe 1 2\n", "line 1: the header promises 999,999,999,999 words"),
            (b"2 2\nthe 1 2\n 3 4\n", "line 3: 1 numbers instead of 2"),
        ],
    )
    def test_faults_name_file_and_line(self, tmp_path: Path, content: bytes, message: str) -> None:
        path = tmp_path / "faulty.txt"
        path.write_bytes(content)
        with pytest.raises(UserError, match=message) as caught:
            read_vectors(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_truncated_binary_file(self, tmp_path: Path) -> None:
        path = tmp_path / "v.bin"
        write_vectors(path, some_vectors(), binary=True)
        whole = path.read_bytes()
        for keep in (len(whole) - 5, len(whole) // 2, 30):
            path.write_bytes(whole[:keep])
            with pytest.raises(UserError, match=r"truncated|line 1|damaged"):
                read_vectors(path)

    def test_a_binary_header_that_promises_too_little(self, tmp_path: Path) -> None:
        path = tmp_path / "v.bin"
        write_vectors(path, some_vectors(), binary=True)
        path.write_bytes(path.read_bytes().replace(b"50 7\n", b"40 7\n", 1))
        with pytest.raises(UserError, match="bytes follow the 40 words"):
            read_vectors(path)

    def test_nan_in_a_binary_file_names_the_word(self, tmp_path: Path) -> None:
        vectors = some_vectors()
        vectors.vectors[3, 2] = np.nan
        write_vectors(tmp_path / "v.bin", vectors, binary=True)
        with pytest.raises(UserError, match="word 4: the vector of 'word3' holds NaN"):
            read_vectors(tmp_path / "v.bin")

    def test_a_missing_file_and_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="cannot be read"):
            read_vectors(tmp_path / "nowhere.txt")
        with pytest.raises(UserError, match="folder"):
            read_vectors(tmp_path)

    @pytest.mark.parametrize("binary", [False, True])
    def test_memory_holds_the_vectors_once(self, tmp_path: Path, binary: bool) -> None:
        vectors = some_vectors(4_000, 100)
        write_vectors(tmp_path / "v", vectors, binary)
        tracemalloc.start()
        read = read_vectors(tmp_path / "v")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        words = 400 * len(read)  # the strings, their set and their index
        assert peak < read.vectors.nbytes + words


class TestGensim:
    def test_there_and_back(self) -> None:
        vectors = WordVectors(["often", "rare"], np.eye(2, dtype=np.float32), np.array([7, 2]))
        keyed = vectors.to_keyed_vectors()
        assert keyed.get_vecattr("often", "count") == 7 and keyed.get_vecattr("rare", "count") == 2
        back = WordVectors.from_keyed_vectors(keyed)
        assert back.words == vectors.words and back.counts is not None and back.counts.tolist() == [7, 2]
        np.testing.assert_array_equal(back.vectors, vectors.vectors)

    def test_without_counts(self) -> None:
        assert WordVectors.from_keyed_vectors(some_vectors().to_keyed_vectors()).counts is None

    def test_vectors_of_every_kind_are_taken(self, tmp_path: Path) -> None:
        vectors = some_vectors()
        write_vectors(tmp_path / "v.txt", vectors)
        assert as_word_vectors(vectors) is vectors
        for one in (tmp_path / "v.txt", str(tmp_path / "v.txt"), vectors.to_keyed_vectors()):
            taken = as_word_vectors(one)
            assert taken.words == vectors.words
            np.testing.assert_array_equal(taken.vectors, vectors.vectors)


class TestNeighbours:
    def test_equal_gensim_and_change_nothing(self) -> None:
        vectors = some_vectors(300, 12)
        before = vectors.vectors.copy()
        keyed = KeyedVectors(12)
        keyed.add_vectors(vectors.words, vectors.vectors)
        expected = keyed.most_similar("word5", topn=7)
        got = vectors.neighbours("Word5", 7)
        assert [word for word, _ in got] == [word for word, _ in expected]
        np.testing.assert_allclose([c for _, c in got], [c for _, c in expected], atol=1e-6)
        np.testing.assert_array_equal(vectors.vectors, before)

    def test_zero_vectors_are_nobodys_neighbour(self) -> None:
        vectors = WordVectors(["a", "b", "zero"], np.array([[1, 0], [-1, 0], [0, 0]], dtype=np.float32))
        assert vectors.neighbours("a") == [("b", -1.0)]
        with pytest.raises(UserError, match="'zero' is zero"):
            vectors.neighbours("zero")

    def test_an_unknown_word_brings_suggestions(self) -> None:
        vectors = WordVectors(["house", "horse"], np.eye(2, dtype=np.float32))
        with pytest.raises(UserError, match="close in spelling: hous"):
            vectors.neighbours("houes")

    def test_huge_and_tiny_vectors_have_a_direction(self) -> None:
        vectors = WordVectors(["huge", "tiny"], np.array([[3e38, 3e38], [1e-45, 1e-45]], dtype=np.float32))
        assert vectors.neighbours("huge")[0][1] == pytest.approx(1.0, abs=1e-6)


def test_words_must_be_unique() -> None:
    with pytest.raises(ValueError, match="unique"):
        WordVectors(["a", "a"], np.ones((2, 2), dtype=np.float32))


@pytest.mark.parametrize(
    "header", ["1 " + "9" * 20, "9" * 20 + " 2", "0 " + "9" * 20, "1 " + "9" * 15, "9" * 15 + " 1"]
)
def test_a_header_of_numbers_beyond_any_file(tmp_path: Path, header: str) -> None:
    (tmp_path / "v.txt").write_text(f"{header}\nword 1 2\n")
    with pytest.raises(UserError, match="the header promises"):
        read_vectors(tmp_path / "v.txt")
