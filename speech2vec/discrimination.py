"""Same-different word discrimination: do two instances of one word lie closer than instances of two words?

Every pair of instances is ranked by its similarity and the ranking is scored by its average precision, with the
pairs of one word as the relevant ones (Carlin et al. 2011, "Rapid evaluation of speech representations for spoken
term discovery"). No classifier is trained, so the measure tells about the representation alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from speech2vec.average_precision import (
    Precision,
    average_precision,
    count_by_word,
    drawn_precisions,
    levels_of,
    precision_of_counts,
)
from speech2vec.errors import UserError
from speech2vec.instance_pairs import different_word_pairs, same_word_pairs
from speech2vec.seeds import generator
from speech2vec.vectors import unit_length

# As in the studies that follow Carlin et al. (Kamper et al. 2016, for one): short words are too easily confused.
MIN_CHARACTERS = 5
MIN_SECONDS = 0.5
MAX_INSTANCES = 10_000


@dataclass(frozen=True)
class SameDifferent:
    """Average precision of telling pairs of one word from pairs of two.

    Parameters
    ----------
    n_instances : int
    all_pairs : Precision
        Over all pairs of instances.
    across_speakers : Precision
        Over the pairs of two speakers only, same and different word alike.
    """

    n_instances: int
    all_pairs: Precision
    across_speakers: Precision

    def to_json(self) -> dict[str, Any]:
        """As JSON takes it: None for NaN."""
        row: dict[str, Any] = {"n_instances": self.n_instances}
        for over, precision in (("", self.all_pairs), ("_cross_speaker", self.across_speakers)):
            for name in ("ap", "low", "high", "n_same", "n_different", "chance"):
                row[f"{name}{over}"] = getattr(precision, name)
        return {key: None if value != value else value for key, value in row.items()}


def select_instances(
    types: Sequence[str],
    word_id: np.ndarray,
    seconds: np.ndarray,
    min_characters: int = MIN_CHARACTERS,
    min_seconds: float = MIN_SECONDS,
    max_instances: int | None = MAX_INSTANCES,
    seed: int = 0,
) -> np.ndarray:
    """The instances that are compared: long words that are said at least twice, at most `max_instances` of them.

    Parameters
    ----------
    types : sequence of str
        The vocabulary.
    word_id : ndarray [shape=(n_words,)], int
        Each instance's index in `types`.
    seconds : ndarray [shape=(n_words,)]
        Each instance's duration.
    min_characters : int
        Letters of the spelling, apostrophes not counted.
    min_seconds : float, seconds
    max_instances : int or None
        A seeded random sample is drawn where there are more.

    Returns
    -------
    ndarray [shape=(n_instances,)], int64
        Indices of instances, ascending.
    """
    word_id, seconds = np.asarray(word_id), np.asarray(seconds)
    long_enough = np.array([len(word.replace("'", "")) >= min_characters for word in types], dtype=bool)
    # Word times are multiples of a hop: a word of exactly 0.5 s must not be lost to 0.49999999.
    candidates = np.flatnonzero(long_enough[word_id] & (seconds >= min_seconds - 1e-6))
    counts = np.bincount(word_id[candidates], minlength=len(types))
    candidates = candidates[counts[word_id[candidates]] >= 2]
    if max_instances is not None and len(candidates) > max_instances:
        candidates = np.sort(generator(seed).choice(candidates, max_instances, replace=False))
    return candidates.astype(np.int64)


def same_different(vectors: np.ndarray, word_id: np.ndarray, speaker: np.ndarray, seed: int = 0) -> SameDifferent:
    """Same-different average precision by cosine over all pairs of instances.

    Memory stays at some two hundred megabytes, whatever the number of instances.

    Parameters
    ----------
    vectors : ndarray [shape=(n_instances, vector_size)]
    word_id : ndarray [shape=(n_instances,)], int
    speaker : ndarray [shape=(n_instances,)], int
    seed : int
        Of the interval.

    Raises
    ------
    ValueError
        The numbers of vectors, words and speakers differ.
    UserError
        No two instances are of one word, or all are: nothing can be told apart. Or a vector is not a finite number.

    Examples
    --------
    >>> vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    >>> same_different(vectors, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])).all_pairs.ap
    1.0
    """
    vectors, word_id, speaker = np.asarray(vectors), np.asarray(word_id), np.asarray(speaker)
    if not len(vectors) == len(word_id) == len(speaker):
        raise ValueError(f"{len(vectors)} vectors, {len(word_id)} words and {len(speaker)} speakers differ in number")
    if not np.isfinite(vectors).all():
        raise UserError("some instances' vectors are not finite numbers: the model they come from has diverged")
    # By word, so that the pairs of one word are blocks on the diagonal.
    order = np.argsort(word_id, kind="stable")
    unit, speaker = vectors[order].astype(np.float64), speaker[order]
    unit_length(unit)
    types, starts, word = np.unique(word_id[order], return_index=True, return_inverse=True)
    if len(types) in (0, 1, len(unit)):
        raise UserError(
            f"same-different needs words that are said at least twice, and at least two words; "
            f"here {len(unit)} instances are of {len(types)} words"
        )
    same = same_word_pairs(unit, speaker, starts)
    thresholds, at_threshold = np.unique(same.similarity, return_inverse=True)
    levels = levels_of(same.similarity)
    level = np.searchsorted(levels, same.similarity, side="right")
    different, one_speaker = different_word_pairs(unit, word, speaker, starts, thresholds, levels)

    def precision(chosen: np.ndarray, above: np.ndarray, by_word: np.ndarray, n_different: int) -> Precision:
        ap = precision_of_counts(np.bincount(at_threshold[chosen], minlength=len(thresholds)), above)
        of_one = count_by_word(same.word[chosen], level[chosen], len(types), len(levels))
        return Precision(ap, int(chosen.sum()), n_different, drawn_precisions(ap, of_one, by_word, seed))

    return SameDifferent(
        n_instances=len(unit),
        all_pairs=precision(np.ones_like(same.is_cross), different.above, different.by_word, different.n),
        across_speakers=precision(
            same.is_cross,
            different.above - one_speaker.above,
            different.by_word - one_speaker.by_word,
            different.n - one_speaker.n,
        ),
    )


def same_different_from_distances(
    distances: np.ndarray, word_id: np.ndarray, speaker: np.ndarray, seed: int = 0
) -> SameDifferent:
    """The same measure from distances computed elsewhere (dynamic time warping).

    Parameters
    ----------
    distances : ndarray [shape=(n_instances * (n_instances - 1) / 2,)]
        Of the pairs in the order of ``numpy.triu_indices(n_instances, 1)``.
    word_id, speaker : ndarray [shape=(n_instances,)], int
    seed : int
        Of the interval.

    Raises
    ------
    UserError
        No two instances are of one word, or all are.
    """
    rows, columns = np.triu_indices(len(word_id), k=1)
    same, cross = word_id[rows] == word_id[columns], speaker[rows] != speaker[columns]
    if not same.any() or same.all():
        raise UserError("same-different needs words that are said at least twice, and at least two words")
    similarity = -np.asarray(distances)
    types, word = np.unique(word_id, return_inverse=True)
    levels = levels_of(similarity[same])
    level = np.searchsorted(levels, similarity, side="right")

    def precision(chosen: np.ndarray) -> Precision:
        ap = average_precision(similarity[chosen], same[chosen])
        first, second, other = chosen & same, chosen & ~same, (len(types), len(levels))
        of_two = [count_by_word(word[of][second], level[second], *other) for of in (rows, columns)]
        of_one = count_by_word(word[rows][first], level[first], *other)
        drawn = drawn_precisions(ap, of_one, of_two[0] + of_two[1], seed)
        return Precision(ap, int(first.sum()), int(second.sum()), drawn)

    return SameDifferent(len(word_id), precision(np.ones_like(cross)), precision(cross))
