"""The instances of a run's words as vectors: by the trained encoder and its controls, all or a sample of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from speech2vec.features.store import Store
from speech2vec.model.encoding import encode_instances
from speech2vec.model.speech2vec import Speech2Vec, seeded_model
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import log
from speech2vec.runtime.seeds import INSTANCES, generator
from speech2vec.training.presets import VectorSettings
from speech2vec.training.run import Run
from speech2vec.vectors.word_vectors import WordVectors, average_instances, unit_length

InstanceEncoder = Callable[[np.ndarray], np.ndarray]


TRAINED, UNTRAINED, MEAN_MFCC = "trained", "untrained", "mean MFCC"


# Where a word has more instances, means of them are taken over a sample of this many.
_INSTANCES_A_WORD = 400


def encoders_of(loaded: Run) -> dict[str, InstanceEncoder]:
    """The run's encoder and its two controls: each takes rows of the store and gives their vectors."""
    store, settings = loaded.store, loaded.settings
    untrained = seeded_model(store.n_mfcc, settings.model, settings.seed).to(loaded.model.device).eval()
    return {
        TRAINED: lambda rows: encode_instances(loaded.model, store, rows),
        UNTRAINED: lambda rows: encode_instances(untrained, store, rows),
        MEAN_MFCC: lambda rows: mean_frames(store.frames, store.first_frame[rows], store.n_frames[rows]),
    }


def instance_vectors(
    model: Speech2Vec, store: Store, vectors: VectorSettings, rows: np.ndarray | None = None
) -> np.ndarray:
    """As `encode_instances`; of length 1 each if the run's settings say so."""
    instances = encode_instances(model, store, rows)
    if vectors.unit_instances:
        unit_length(instances)
    return instances


def word_vectors(loaded: Run, min_count: int = 1) -> WordVectors:
    """The vectors of a run's words: the mean over a word's instances, of length 1 each if the run's settings say so.

    Parameters
    ----------
    loaded : LoadedRun
    min_count : int
        Words with fewer instances get no vector.
    """
    store = loaded.store
    instances = instance_vectors(loaded.model, store, loaded.settings.vectors)
    return average_instances(instances, store.word_id, store.types, min_count)


def at_most_each(word_id: np.ndarray, rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most `most` seeded random rows of each word, ascending."""
    shuffled = generator(seed, INSTANCES).permutation(rows)
    by_word = shuffled[np.argsort(word_id[shuffled], kind="stable")]
    words = word_id[by_word]
    first = np.searchsorted(words, words)
    return np.sort(by_word[np.arange(len(words)) - first < most])


def with_counts(words: WordVectors, store: Store) -> WordVectors:
    """The vectors of the words that a store holds, with its counts, most frequent first.

    Raises
    ------
    UserError
        The store holds none of them.
    """
    counts = dict(zip(store.types, store.counts.tolist(), strict=True))
    known = [row for row, word in enumerate(words.words) if word in counts]
    if not known:
        raise UserError(f"none of the {len(words):,} words is in the store {store.path}: is it another run's?")
    if len(known) < len(words):
        log.warning("%d words are not in the store %s and take no part", len(words) - len(known), store.path)
    known.sort(key=lambda row: -counts[words.words[row]])
    spelled = [words.words[row] for row in known]
    return WordVectors(spelled, words.vectors[known], np.array([counts[word] for word in spelled]))


def instances_by_row(loaded: Run, words: WordVectors, rows: np.ndarray, seed: int = 0) -> dict[int, np.ndarray]:
    """The vectors of the instances of some words, a seeded sample of the most frequent words'.

    Parameters
    ----------
    loaded : LoadedRun
    words : WordVectors
        Of words that the run's store holds.
    rows : ndarray [shape=(n,)], int
        Rows of `words`.

    Returns
    -------
    dict of int to ndarray [shape=(n_instances, vector_size)]
    """
    store = loaded.store
    type_of = {word: number for number, word in enumerate(store.types)}
    row_of = np.full(len(store.types), -1)
    row_of[[type_of[words.words[row]] for row in rows]] = rows
    chosen = at_most_each(store.word_id, np.flatnonzero(row_of[store.word_id] >= 0), _INSTANCES_A_WORD, seed)
    encoded = instance_vectors(loaded.model, store, loaded.settings.vectors, chosen)
    row = row_of[store.word_id[chosen]]
    order = np.argsort(row, kind="stable")
    found, first = np.unique(row[order], return_index=True)
    return dict(zip(found.tolist(), np.split(encoded[order], first[1:]), strict=True))


def mean_frames(frames: np.ndarray, first_frame: np.ndarray, n_frames: np.ndarray) -> np.ndarray:
    """The baseline that hears no order: each instance as the mean of its MFCC frames.

    Parameters
    ----------
    frames : ndarray [shape=(total_frames, n_mfcc)]
    first_frame, n_frames : ndarray [shape=(n_instances,)], int

    Returns
    -------
    ndarray [shape=(n_instances, n_mfcc)], float32
    """
    return np.array(
        [
            frames[first : first + n].mean(axis=0, dtype=np.float64)
            for first, n in zip(first_frame.tolist(), n_frames.tolist(), strict=True)
        ],
        dtype=np.float32,
    ).reshape(len(first_frame), frames.shape[1])
