"""Vectors of the word instances of a run, by its trained encoder and by the controls; words as means of instances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from speech2vec.features.store import Store
from speech2vec.model.encoding import StoreVectors
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import log
from speech2vec.runtime.seeds import INSTANCES, generator
from speech2vec.training.presets import VectorSettings
from speech2vec.training.run import LAST, Run
from speech2vec.training.sampler import voices
from speech2vec.vectors.resampled import resampled_baseline
from speech2vec.vectors.word_vectors import WordVectors, average_instances, unit_length

InstanceEncoder = Callable[[np.ndarray], np.ndarray]
TRAINED, UNTRAINED, RESAMPLED, MEAN_FRAME = "trained", "untrained", "resampled", "mean frame"
_INSTANCES_PER_WORD = 400  # subsample a word's instances above this many


def open_run(
    run: Run | str | Path, store: str | Path | None = None, *, device: str = "auto", checkpoint: str = LAST
) -> Run:
    """A run as it is, or loaded from its folder (see `Run.load`)."""
    return run if isinstance(run, Run) else Run.load(Path(run), store, device=device, checkpoint=checkpoint)


def untrained(run: Run) -> Run:
    """The run with the control in place of its model (`Run.untrained`)."""
    return replace(run, model=run.untrained(), progress={})


def encoders_of(run: Run) -> dict[str, InstanceEncoder]:
    """The run's encoder and its controls: each maps rows of the store to their vectors.

    Untrained, what needs no training (`resampled_baseline`, fitted to the run's training words when it is first asked
    for; on another corpus to all of its words), and the mean frame.
    """
    store = run.store

    @cache
    def resampled() -> StoreVectors:
        train = run.split.train if run.split else np.arange(store.n_words)
        return StoreVectors(resampled_baseline(store, train), store)

    return {
        TRAINED: run.vectors,
        UNTRAINED: untrained(run).vectors,
        RESAMPLED: lambda rows: resampled()(rows),
        MEAN_FRAME: lambda rows: mean_frames(store.frames, store.first_frame[rows], store.n_frames[rows]),
    }


def instance_vectors(encode: StoreVectors, vectors: VectorSettings, rows: np.ndarray | None = None) -> np.ndarray:
    """The vectors of rows of a store; scaled to length 1 if the run's settings ask for it."""
    instances = encode(rows)
    if vectors.unit_instances:
        unit_length(instances)
    return instances


def word_vectors(run: Run, min_count: int = 1, *, held_out: bool = False) -> WordVectors:
    """The vectors of a run's words: the mean over each word's instances (see `instance_vectors`).

    Parameters
    ----------
    run : Run
    min_count : int
        Words with fewer instances get no vector.
    held_out : bool
        Of the held-out speakers alone (utterances, where there is only one speaker).

    Raises
    ------
    UserError
        Held-out words are asked for, and the store holds other words than the run's own.
    """
    store = run.store
    if held_out and run.split is None:
        raise UserError(f"the words of {store.path} are not those that {run.path} was trained on: none is held out")
    rows = run.split.held_out if held_out and run.split else np.arange(store.n_words)
    instances = instance_vectors(run.vectors, run.settings.vectors, rows)
    return average_instances(instances, store.word_id[rows], store.types, min_count)


def at_most_each(word_id: np.ndarray, rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most `most` rows of each word, a seeded random sample, ascending."""
    shuffled = generator(seed, INSTANCES).permutation(rows)
    by_word = shuffled[np.argsort(word_id[shuffled], kind="stable")]
    words = word_id[by_word]
    first = np.searchsorted(words, words)
    return np.sort(by_word[np.arange(len(words)) - first < most])


def with_counts(words: WordVectors, store: Store) -> WordVectors:
    """The vectors of the words that occur in a store, with its counts, most frequent first.

    Raises
    ------
    UserError
        None of them occurs in the store.
    """
    counts = dict(zip(store.types, store.counts.tolist(), strict=True))
    known = [row for row, word in enumerate(words.words) if word in counts]
    if not known:
        raise UserError(
            f"none of the {len(words):,} words occurs in the store {store.path}: the vectors are of another run"
        )
    if len(known) < len(words):
        log.warning("%d words do not occur in the store %s and are left out", len(words) - len(known), store.path)
    known.sort(key=lambda row: -counts[words.words[row]])
    names = [words.words[row] for row in known]
    return WordVectors(names, words.vectors[known], np.array([counts[word] for word in names]))


@dataclass(frozen=True, eq=False)
class Instances:
    """The instances of one word.

    Parameters
    ----------
    vectors : ndarray [shape=(n_instances, vector_size)]
    voice : ndarray [shape=(n_instances,)], int
        The speaker of each; the utterance, where the store has one speaker.
    """

    vectors: np.ndarray
    voice: np.ndarray

    def __len__(self) -> int:
        return len(self.vectors)

    def subset(self, kept: np.ndarray) -> Instances:
        """Some of the instances, by mask or index."""
        return Instances(self.vectors[kept], self.voice[kept])


def instances_by_row(run: Run, words: WordVectors, rows: np.ndarray, seed: int = 0) -> dict[int, Instances]:
    """The instances of some words; of very frequent words, a seeded sample of them.

    Parameters
    ----------
    run : Run
    words : WordVectors
        All of which occur in the run's store.
    rows : ndarray [shape=(n,)], int
        Rows of `words`.

    Returns
    -------
    dict of int to Instances
        By row.
    """
    store = run.store
    type_of = {word: number for number, word in enumerate(store.types)}
    row_of = np.full(len(store.types), -1)
    row_of[[type_of[words.words[row]] for row in rows]] = rows
    chosen = at_most_each(store.word_id, np.flatnonzero(row_of[store.word_id] >= 0), _INSTANCES_PER_WORD, seed)
    encoded = instance_vectors(run.vectors, run.settings.vectors, chosen)
    _, voice = voices(store)
    row = row_of[store.word_id[chosen]]
    order = np.argsort(row, kind="stable")
    found, first = np.unique(row[order], return_index=True)
    groups = np.split(order, first[1:])
    return {int(row): Instances(encoded[own], voice[chosen[own]]) for row, own in zip(found, groups, strict=True)}


def mean_frames(frames: np.ndarray, first_frame: np.ndarray, n_frames: np.ndarray) -> np.ndarray:
    """The control that ignores the order of frames: each instance as the mean of its MFCC.

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
