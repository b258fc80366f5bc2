"""What a report shows of a run's words: a map, their nearest words, decoded and true segments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from speech2vec.corpus.pronunciations import Phones
from speech2vec.model.encoding import decode_pair
from speech2vec.model.speech2vec import Speech2Vec
from speech2vec.reporting.word_groups import WordGroups, word_groups
from speech2vec.runtime.progress import log
from speech2vec.runtime.seeds import DECODED_PAIRS, generator
from speech2vec.training.run import Run
from speech2vec.training.sampler import neighbour_pairs
from speech2vec.vectors.baselines import text_ceiling
from speech2vec.vectors.word_vectors import WordVectors

_NEIGHBOURS = 12  # of each word


@dataclass(frozen=True)
class WordMap:
    """The most frequent words in two projections to a plane.

    Parameters
    ----------
    words : list of str
    seconds : ndarray [shape=(n_words,)], seconds
        Mean duration.
    pca, tsne : ndarray [shape=(n_words, 2)]
    explained : float
        Share of the variance explained by the two principal components.
    groups : list of WordGroups
        By sound and by meaning.
    """

    words: list[str]
    seconds: np.ndarray
    pca: np.ndarray
    tsne: np.ndarray
    explained: float
    groups: list[WordGroups] = field(default_factory=list)


@dataclass(frozen=True)
class Neighbours:
    """The nearest words to each of the most frequent words, among those.

    Parameters
    ----------
    words : list of str
    counts : ndarray [shape=(n_words,)], int
    nearest : ndarray [shape=(n_words, n_neighbours)], int
        Indices into `words`, nearest first.
    cosines : ndarray [shape=(n_words, n_neighbours)], float32
    """

    words: list[str]
    counts: np.ndarray
    nearest: np.ndarray
    cosines: np.ndarray

    @property
    def first(self) -> int:
        """The word that is shown first: the most frequent one of five letters or more."""
        return next((i for i, word in enumerate(self.words) if len(word) > 4), 0)

    def heard(self) -> list[str]:
        """All words, those first that are shown first."""
        return [self.words[i] for i in (self.first, *self.nearest[self.first], *range(len(self.words)))]


@dataclass(frozen=True)
class DecodedExample:
    """A held-out neighbour, true and decoded from the centre's vector [shape=(n_frames, n_mfcc)]."""

    centre: str
    context: str
    true: np.ndarray
    decoded: np.ndarray
    hop_seconds: float


def project_words(
    run: Run, vectors: WordVectors, n_words: int, seed: int, pronunciations: Mapping[str, Phones]
) -> WordMap | None:
    """Project the most frequent words by PCA and t-SNE; None if there are fewer than ten."""
    rows = np.flatnonzero(vectors.has_direction)[:n_words]
    if len(rows) < 10:
        return None
    unit = vectors.unit(rows).astype(np.float64)
    centred = unit - unit.mean(axis=0)
    log.info("mapping %s words", f"{len(rows):,}")
    pca = PCA(2, random_state=seed).fit(centred)
    planes = pca.transform(centred)
    # Vectors with a large common part differ by little: rescaled, as t-SNE depends on the unit of distance.
    scale = float(centred.std()) or 1.0
    perplexity = min(30.0, (len(rows) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(centred / scale)
    store = run.store
    seconds = np.bincount(store.word_id, store.end - store.start, len(store.types)) / np.maximum(store.counts, 1)
    of_type = dict(zip(store.types, seconds.tolist(), strict=True))
    words = [vectors.words[row] for row in rows]
    explained = pca.explained_variance_ratio_.sum()
    return WordMap(
        words=words,
        seconds=np.array([of_type[word] for word in words]),
        pca=planes,
        tsne=tsne,
        explained=float(explained) if math.isfinite(explained) else 0.0,
        groups=word_groups(words, unit, pronunciations, text_ceiling(store, vectors.vector_size), seed),
    )


def nearest_words(vectors: WordVectors, n_words: int) -> Neighbours | None:
    """The nearest words to each of the most frequent words; None if there are fewer than two."""
    rows = np.flatnonzero(vectors.has_direction)[:n_words]
    if len(rows) < 2:
        return None
    n_neighbours = min(_NEIGHBOURS, len(rows) - 1)
    unit = vectors.unit(rows)
    nearest = np.empty((len(rows), n_neighbours), dtype=np.int64)
    cosines = np.empty((len(rows), n_neighbours), dtype=np.float32)
    for start in range(0, len(rows), 512):
        block = unit[start : start + 512] @ unit.T
        line = np.arange(len(block))
        block[line, start + line] = -np.inf
        best = np.argpartition(-block, n_neighbours - 1, axis=1)[:, :n_neighbours]
        order = np.argsort(-np.take_along_axis(block, best, axis=1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        nearest[start : start + 512] = best
        cosines[start : start + 512] = np.take_along_axis(block, best, axis=1)
    counts = vectors.counts[rows] if vectors.counts is not None else np.zeros(len(rows), dtype=np.int64)
    return Neighbours([vectors.words[row] for row in rows], counts, nearest, cosines)


def decoded_examples(run: Run, n_examples: int = 3, seed: int = 0) -> list[DecodedExample]:
    """Some held-out neighbours, decoded: a seeded draw from the longer half, whose shape can be seen.

    None where the run's method has no decoder.
    """
    store = run.store
    if not isinstance(run.model, Speech2Vec) or run.split is None:
        return []
    rows = run.split.held_out
    centre, context = (rows[side] for side in neighbour_pairs(store.utterance[rows], window=1))
    if len(context) == 0:
        return []
    n_frames = store.n_frames[context]
    chosen = generator(seed, DECODED_PAIRS).permutation(np.flatnonzero(n_frames >= np.median(n_frames)))[:n_examples]
    hop = store.settings["hop_length"] / store.settings["sampling_rate"]
    examples = []
    for first, second in zip(centre[chosen].tolist(), context[chosen].tolist(), strict=True):
        decoded, true = decode_pair(run.model, store, first, second)
        words = [store.types[store.word_id[row]] for row in (first, second)]
        examples.append(DecodedExample(words[0], words[1], true, decoded, hop))
    return examples
