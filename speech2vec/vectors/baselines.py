"""Text baselines: Word2Vec, fastText and a closed form, on the words of the same speech.

They show how much of meaning can be learned from these words as text. The first two are gensim's, with its defaults
except for the settings: negative sampling, and a window width drawn anew for each word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from gensim.models import FastText, Word2Vec
from pydantic import Field

from speech2vec.corpus.manifest import UTTERANCES_FILE, WORDS_FILE, iterate_utterances, read_words
from speech2vec.corpus.transcripts import tokenize
from speech2vec.features.rows import starts_of_runs
from speech2vec.features.store import META_FILE, Store
from speech2vec.model.ppmi import cooccurrences, factorise, one_hot, ppmi
from speech2vec.runtime.config import Settings
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.guarded import open_utf8
from speech2vec.runtime.seeds import LARGEST_SEED
from speech2vec.vectors.word_vectors import WordVectors

_KNOWN = 5  # occurrences that make a word a context, and let it shape the space; rarer ones are only placed in it
_EMPTY = "no word occurs {} times or more: lower --min-count"


class BaselineSettings(Settings):
    """How a text baseline is trained.

    Parameters
    ----------
    kind : str
        `word2vec`; `fasttext` (a word's vector includes those of its letter n-grams); or `ppmi`, the closed form
        (`speech2vec.model.ppmi`), which of the other settings takes vector_size, window, min_count and seed.
    objective : str
        `skipgram` or `cbow`.
    vector_size : int
    window : int
        Maximum number of neighbours on either side (k in the Speech2Vec paper).
    min_count : int
        Rarer words are left out before windows are taken.
    sample : float
        Subsampling threshold of frequent words; 0 disables it.
    negative : int
        Noise words for each pair.
    epochs : int
    buckets : int
        fastText only: rows of the table into which letter n-grams are hashed.
    seed : int
    """

    kind: Literal["word2vec", "fasttext", "ppmi"] = "word2vec"
    objective: Literal["skipgram", "cbow"] = "skipgram"
    vector_size: int = Field(50, ge=1)
    window: int = Field(3, ge=1)
    min_count: int = Field(5, ge=1)
    sample: float = Field(1e-3, ge=0)
    negative: int = Field(5, ge=1)
    epochs: int = Field(20, ge=1)
    buckets: int = Field(200_000, ge=1)
    seed: int = Field(1, ge=0, le=LARGEST_SEED)


def read_sentences(source: Path) -> list[list[str]]:
    """The words of each utterance, in order.

    Parameters
    ----------
    source : Path
        A store or an ALIGNED folder (the words that have times, so that text and speech models see the same), an
        ``utterances.jsonl``, or a ``.text``/``.txt`` file of lines ``utterance_id WORDS…``, as Kaldi writes it.

    Raises
    ------
    UserError
        `source` is none of these, or holds no words.
    """
    source = Path(source)
    if (source / META_FILE).is_file():
        store = Store.open(source)
        sentences = sentences_of(store)
    elif (source / WORDS_FILE).is_file():
        table = read_words(source)
        ids = table["utterance_id"].combine_chunks().dictionary_encode()
        ids = ids.chunk(0) if isinstance(ids, pa.ChunkedArray) else ids
        sentences = _group(pc.utf8_lower(table["word"]).to_pylist(), ids.indices.to_numpy())
    elif source.suffix == ".jsonl" or (source / UTTERANCES_FILE).is_file():
        file = source / UTTERANCES_FILE if source.is_dir() else source
        sentences = [tokenize(utterance.text) for utterance in iterate_utterances(file)]
    elif source.suffix in {".text", ".txt"}:
        sentences = list(_read_text(source))
    else:
        raise UserError(
            f"{source} is not a store, an ALIGNED folder, an utterances.jsonl or a .text file of 'utterance_id WORDS'"
        )
    sentences = [sentence for sentence in sentences if sentence]
    if not sentences:
        raise UserError(f"{source} holds no words")
    return sentences


def sentences_of(store: Store) -> list[list[str]]:
    """The words of each utterance of a store, in order."""
    return _group(store.words(), store.utterance)


def _group(words: Sequence[str], utterance: np.ndarray) -> list[list[str]]:
    starts = starts_of_runs(utterance).tolist()
    return [list(words[start:end]) for start, end in pairwise([*starts, len(words)])]


def _read_text(path: Path) -> Iterator[list[str]]:
    with open_utf8(path) as lines:
        for line in lines:
            _, _, text = line.partition(" ")
            yield tokenize(text)


def train_baseline(sentences: Sequence[Sequence[str]], settings: BaselineSettings, jobs: int = 1) -> WordVectors:
    """Train a text baseline.

    Parameters
    ----------
    sentences : sequence of sequences of str
        Windows never cross from one to the next.
    settings : BaselineSettings
    jobs : int
        Threads; with more than one the result is not reproducible.

    Returns
    -------
    WordVectors
        Most frequent word first, with counts.

    Raises
    ------
    UserError
        No word is frequent enough.
    """
    if settings.kind == "ppmi":
        return _ppmi_vectors(sentences, settings)
    options = {
        "sentences": sentences,
        "vector_size": settings.vector_size,
        "window": settings.window,
        "min_count": settings.min_count,
        "sample": settings.sample,
        "negative": settings.negative,
        "epochs": settings.epochs,
        "sg": int(settings.objective == "skipgram"),
        "seed": settings.seed,
        "workers": jobs,
    }
    try:
        if settings.kind == "fasttext":
            vectors = FastText(bucket=settings.buckets, **options).wv
        else:
            vectors = Word2Vec(**options).wv
    except RuntimeError as error:
        # gensim's message for an empty vocabulary: "you must first build vocabulary before training the model"
        if "vocabulary" not in str(error):
            raise
        raise UserError(_EMPTY.format(settings.min_count)) from error
    return WordVectors.from_keyed_vectors(vectors)


def text_ceiling(store: Store, vector_size: int) -> WordVectors:
    """What a store's transcripts teach about all of its words: the closed form with a window of 10.

    It is as good on MEN as skip-gram with that window, and takes seconds (docs/evaluation.md). It is the upper limit
    for vectors that learn meaning from the same words as sound.
    """
    settings = BaselineSettings(kind="ppmi", vector_size=vector_size, window=10, min_count=1)
    return train_baseline(sentences_of(store), settings)


def _ppmi_vectors(sentences: Sequence[Sequence[str]], settings: BaselineSettings) -> WordVectors:
    """In closed form (`speech2vec.model.ppmi`).

    Words that occur under five times are no contexts: their counts are noise, which pointwise mutual information takes
    for the strongest of signals. They get the vectors that their neighbours give them.
    """
    counted = Counter(word for words in sentences for word in words)
    kept = [(word, n) for word, n in counted.most_common() if n >= settings.min_count]
    if not kept:
        raise UserError(_EMPTY.format(settings.min_count))
    number = {word: i for i, (word, _) in enumerate(kept)}
    known = [[number[word] for word in words if word in number] for words in sentences]
    counts = np.array([n for _, n in kept], dtype=np.int64)
    ids = np.array([i for words in known for i in words], dtype=np.int64)
    utterance = np.repeat(np.arange(len(known)), [len(words) for words in known])
    words = one_hot(ids, len(kept))
    near = cooccurrences(words, words, utterance, settings.window)
    n_known = int((counts >= _KNOWN).sum())
    if n_known <= settings.vector_size:
        n_known = len(kept)
    vectors = factorise(ppmi(near[:, :n_known]), settings.vector_size, settings.seed, n_known=n_known)
    return WordVectors([word for word, _ in kept], vectors, counts)
