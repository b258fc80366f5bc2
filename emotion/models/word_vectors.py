"""Word vectors for the classifier: from a word2vec file, random as a control, or from the sound of each word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path, require_file
from speech2vec.runtime.guarded import check_arrays, parsing
from speech2vec.runtime.seeds import generator
from speech2vec.vectors.portable import PortableEncoder
from speech2vec.vectors.word_vectors import read_vectors

PADDING, UNKNOWN = 0, 1  # the first two rows of an embedding layer
RANDOM, SEGMENTS = "random", "segments"  # sources of vectors other than a file


@dataclass(frozen=True)
class Vocabulary:
    """The words of the embedding layer.

    Parameters
    ----------
    words : list of str
        Most frequent first; word i has row i + 2.
    """

    words: list[str]

    @classmethod
    def of_texts(cls, texts: Sequence[str]) -> Vocabulary:
        counts = Counter(word for text in texts for word in tokenize(text))
        return cls(sorted(counts, key=lambda word: (-counts[word], word)))

    def rows(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Rows of the words of each text [shape=(n_words,)], int64; `UNKNOWN` for words outside the vocabulary."""
        row = {word: i + 2 for i, word in enumerate(self.words)}
        return [np.array([row.get(word, UNKNOWN) for word in tokenize(text)], dtype=np.int64) for text in texts]


@dataclass(frozen=True)
class Pretrained:
    """Vectors for a vocabulary, before training.

    Parameters
    ----------
    name : str
        Their name in tables and reports.
    vectors : ndarray [shape=(n_words, vector_size)], float32
        Zero for words without a vector.
    known : ndarray [shape=(n_words,)], bool
        Whether a word has a vector.
    mean, deviation : ndarray [shape=(vector_size,)], float32
        Over all vectors of the file; vectors of missing words are sampled from this distribution.
    """

    name: str
    vectors: np.ndarray
    known: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    @property
    def vector_size(self) -> int:
        return self.vectors.shape[1]

    def table(self, seed: int, scale: float = 0.0) -> np.ndarray:
        """Rows of an embedding layer [shape=(n_words + 2, vector_size)], float32.

        Row 0 (padding) is zero; row 1 (unknown word) and the rows of words without a vector are sampled from the
        normal distribution with the loaded vectors' mean and standard deviation.

        Parameters
        ----------
        seed : int
        scale : float
            Scale the rows so that the root mean square of their entries has this value; 0 disables.
        """
        n_words = len(self.vectors)
        drawn = generator(seed, 2).standard_normal((n_words + 2, self.vector_size), dtype=np.float32)
        rows = drawn * self.deviation + self.mean
        rows[2:][self.known] = self.vectors[self.known]
        if scale:
            rows *= scale / max(float(np.sqrt(np.mean(np.square(rows[1:])))), 1e-12)
        rows[PADDING] = 0.0
        return rows.astype(np.float32)


def load_pretrained(source: str, vocabulary: Vocabulary) -> Pretrained:
    """Vectors for `vocabulary`.

    Parameters
    ----------
    source : str
        A word2vec file (text or binary), or ``random:D`` for random vectors of size D.
    vocabulary : Vocabulary

    Raises
    ------
    UserError
        The file is unreadable, or contains none of the words.
    """
    n_words = len(vocabulary.words)
    if is_random(source):
        size = random_size(source)
        zeros, known = np.zeros((n_words, size), dtype=np.float32), np.zeros(n_words, dtype=bool)
        return Pretrained(source, zeros, known, np.zeros(size, dtype=np.float32), np.ones(size, dtype=np.float32))
    loaded = read_vectors(Path(source))
    if not len(loaded):
        raise UserError(f"{source} contains no words")
    vectors = np.zeros((n_words, loaded.vector_size), dtype=np.float32)
    known = np.zeros(n_words, dtype=bool)
    for i, word in enumerate(vocabulary.words):
        for spelling in (word, word.upper(), word.capitalize()):  # some programs write cased words
            if spelling in loaded:
                vectors[i], known[i] = loaded[spelling], True
                break
    if n_words and not known.any():
        first = ", ".join(vocabulary.words[:3])
        raise UserError(f"{source} contains none of the corpus' {n_words:,} words ({first}, ...)")
    mean, deviation = loaded.vectors.mean(axis=0), loaded.vectors.std(axis=0)
    return Pretrained(Path(source).name, vectors, known, mean, deviation)


def is_random(source: str) -> bool:
    return source == RANDOM or source.startswith(RANDOM + ":")


def is_segments(source: str | None) -> bool:
    return bool(source) and str(source).startswith(SEGMENTS + ":")


def source_path(source: str | None) -> Path | None:
    """The vectors file, or the RUN of ``segments:RUN``; None for random vectors."""
    if source is None or is_random(source):
        return None
    return Path(source.partition(":")[2] if is_segments(source) else source)


def random_size(source: str) -> int:
    """The D of ``random:D``, by default 50.

    Raises
    ------
    UserError
        D is not a positive integer.
    """
    size = source.partition(":")[2] or "50"
    if not size.isdigit() or int(size) == 0:
        raise UserError(f"--embeddings {source}: D of random:D must be a positive integer, as in random:50")
    return int(size)


def coverage(texts: Sequence[str], vocabulary: Vocabulary, pretrained: Pretrained) -> dict[str, Any]:
    """Count types and tokens with and without a vector, and texts without words."""
    tokens = Counter(word for text in texts for word in tokenize(text))
    missing = [word for word, known in zip(vocabulary.words, pretrained.known, strict=True) if not known]
    return {
        "types": len(vocabulary.words),
        "tokens": sum(tokens.values()),
        "types_without_vector": len(missing),
        "tokens_without_vector": sum(tokens[word] for word in missing),
        "most_frequent_without_vector": missing[:10],
        "texts_without_words": sum(not tokenize(text) for text in texts),
    }


@dataclass(frozen=True)
class WordSegments:
    """The vectors of all aligned words of some utterances, each made from the word's own sound.

    The paper argues that word embeddings learned from speech carry what a speaker and a channel add; a table with one
    vector for each word cannot.

    Parameters
    ----------
    vectors : ndarray [shape=(n_words, vector_size)], float32
        Utterance after utterance, in time order.
    n_words : ndarray [shape=(n_utterances,)], int64
    """

    vectors: np.ndarray
    n_words: np.ndarray

    @classmethod
    def encode(
        cls, encoder: PortableEncoder, aligned: Path, utterance_ids: Sequence[str], jobs: int = 1
    ) -> WordSegments:
        """Encode the aligned words of some utterances.

        Parameters
        ----------
        encoder : PortableEncoder
        aligned : Path
            What ``speech2vec-align`` made of their utterances.jsonl.
        utterance_ids : sequence of str
            In the order that is wanted; an utterance without aligned words gets no vectors.
        jobs : int
            Processes for the MFCC.

        Raises
        ------
        UserError
            None of the utterances has an aligned word.
        """
        embeddings = encoder.encode_aligned(aligned, jobs=jobs)
        rows_of: dict[str, list[int]] = {name: [] for name in utterance_ids}
        for row, name in enumerate(embeddings.utterance_id):
            if name in rows_of:
                rows_of[name].append(row)
        rows = [row for name in utterance_ids for row in rows_of[name]]
        if not rows:
            raise UserError(f"{aligned} has aligned words for none of the {len(utterance_ids)} utterances")
        n_words = np.array([len(rows_of[name]) for name in utterance_ids], dtype=np.int64)
        return cls(embeddings.vectors[rows], n_words)

    def of_each(self) -> list[np.ndarray]:
        """Each utterance's vectors [shape=(n_words, vector_size)]; no rows where it has no aligned word."""
        return np.split(self.vectors, np.cumsum(self.n_words)[:-1])

    def coverage(self) -> dict[str, Any]:
        """How many words were encoded, and how many utterances have none."""
        return {"tokens": int(self.n_words.sum()), "texts_without_words": int((self.n_words == 0).sum())}

    def save(self, path: Path) -> None:
        with atomic_path(path) as temporary:
            save_file({"vectors": self.vectors, "n_words": self.n_words}, temporary)

    @classmethod
    def load(cls, path: Path) -> WordSegments:
        """Read what `save` wrote; a `UserError` names a damaged file."""
        with parsing(path, "a file of word segments, or is damaged"):
            tensors = load_file(require_file(path))
            vectors, n_words = tensors["vectors"], tensors["n_words"]
            if n_words.dtype != np.int64 or n_words.ndim != 1 or (n_words < 0).any() or vectors.ndim != 2:
                raise ValueError("its vectors are not those of its words")
            check_arrays(tensors, {"vectors": (int(n_words.sum()), vectors.shape[1])})
            return cls(vectors, n_words)
