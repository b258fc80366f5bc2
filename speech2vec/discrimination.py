"""Same-different word discrimination: do two instances of one word lie closer than instances of two words?

Every pair of instances is ranked by its similarity and the ranking is scored by its average precision, with the
pairs of one word as the relevant ones (Carlin et al. 2011, "Rapid evaluation of speech representations for spoken
term discovery"). No classifier is trained, so the measure tells about the representation alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from speech2vec.average_precision import (
    average_precision,
    count_by_word,
    levels_of,
    precision_interval,
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
    ap, low, high : float
        Over all pairs of instances, and its 95 % interval (bootstrap over words, see `average_precision`); NaN for the
        interval under ten words.
    ap_cross_speaker, low_cross_speaker, high_cross_speaker : float
        Over the pairs of two speakers only, same and different word alike; NaN where there is no such pair.
    n_instances : int
    n_same, n_different : int
        Pairs of one word, and of two.
    n_same_cross_speaker, n_different_cross_speaker : int
    """

    ap: float
    low: float
    high: float
    ap_cross_speaker: float
    low_cross_speaker: float
    high_cross_speaker: float
    n_instances: int
    n_same: int
    n_different: int
    n_same_cross_speaker: int
    n_different_cross_speaker: int

    @property
    def chance(self) -> float:
        """What a random ranking expects: the share of same-word pairs."""
        return self.n_same / (self.n_same + self.n_different)

    @property
    def chance_cross_speaker(self) -> float:
        """What a random ranking of the cross-speaker pairs expects; NaN where there is no such pair."""
        pairs = self.n_same_cross_speaker + self.n_different_cross_speaker
        return self.n_same_cross_speaker / pairs if pairs else float("nan")

    def to_json(self) -> dict[str, Any]:
        """As JSON takes it: None for NaN."""
        row = {**asdict(self), "chance": self.chance, "chance_cross_speaker": self.chance_cross_speaker}
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


def same_different(
    vectors: np.ndarray,
    word_id: np.ndarray,
    speaker: np.ndarray,
    max_instances: int | None = MAX_INSTANCES,
    seed: int = 0,
) -> SameDifferent:
    """Same-different average precision by cosine over all pairs of instances.

    Memory stays at some two hundred megabytes, whatever the number of instances.

    Parameters
    ----------
    vectors : ndarray [shape=(n_instances, vector_size)]
    word_id : ndarray [shape=(n_instances,)], int
    speaker : ndarray [shape=(n_instances,)], int
    max_instances : int or None
        A seeded random sample is drawn where there are more.
    seed : int
        Of the sample and of the interval.

    Raises
    ------
    ValueError
        The numbers of vectors, words and speakers differ.
    UserError
        No two instances are of one word, or all are: nothing can be told apart. Or a vector is not a finite number.

    Examples
    --------
    >>> vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    >>> same_different(vectors, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])).ap
    1.0
    """
    vectors, word_id, speaker = np.asarray(vectors), np.asarray(word_id), np.asarray(speaker)
    if not len(vectors) == len(word_id) == len(speaker):
        raise ValueError(f"{len(vectors)} vectors, {len(word_id)} words and {len(speaker)} speakers differ in number")
    if not np.isfinite(vectors).all():
        raise UserError("some instances' vectors are not finite numbers: the model they come from has diverged")
    if max_instances is not None and len(vectors) > max_instances:
        chosen = np.sort(generator(seed).choice(len(vectors), max_instances, replace=False))
        vectors, word_id, speaker = vectors[chosen], word_id[chosen], speaker[chosen]
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
    thresholds, at_threshold, n_same = np.unique(same.similarity, return_inverse=True, return_counts=True)
    n_same_cross = np.bincount(at_threshold[same.is_cross], minlength=len(thresholds))
    levels = levels_of(same.similarity)
    different, one_speaker = different_word_pairs(unit, word, speaker, starts, thresholds, levels)
    ap = precision_of_counts(n_same, different.above)
    ap_cross = precision_of_counts(n_same_cross, different.above - one_speaker.above)
    level = np.searchsorted(levels, same.similarity, side="right")
    by_word = count_by_word(same.word, level, len(types), len(levels))
    by_word_cross = count_by_word(same.word[same.is_cross], level[same.is_cross], len(types), len(levels))
    low, high = precision_interval(ap, by_word, different.by_word, seed)
    low_cross, high_cross = precision_interval(ap_cross, by_word_cross, different.by_word - one_speaker.by_word, seed)
    return SameDifferent(
        ap=ap,
        low=low,
        high=high,
        ap_cross_speaker=ap_cross,
        low_cross_speaker=low_cross,
        high_cross_speaker=high_cross,
        n_instances=len(unit),
        n_same=len(same.similarity),
        n_different=different.n,
        n_same_cross_speaker=int(same.is_cross.sum()),
        n_different_cross_speaker=different.n - one_speaker.n,
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

    def measured(chosen: np.ndarray) -> tuple[float, float, float]:
        ap = average_precision(similarity[chosen], same[chosen])
        first, second, other = chosen & same, chosen & ~same, (len(types), len(levels))
        of_two = [count_by_word(word[of][second], level[second], *other) for of in (rows, columns)]
        of_one = count_by_word(word[rows][first], level[first], *other)
        return ap, *precision_interval(ap, of_one, of_two[0] + of_two[1], seed)

    ap, low, high = measured(np.ones_like(cross))
    ap_cross, low_cross, high_cross = measured(cross)
    return SameDifferent(
        ap=ap,
        low=low,
        high=high,
        ap_cross_speaker=ap_cross,
        low_cross_speaker=low_cross,
        high_cross_speaker=high_cross,
        n_instances=len(word_id),
        n_same=int(same.sum()),
        n_different=int((~same).sum()),
        n_same_cross_speaker=int((same & cross).sum()),
        n_different_cross_speaker=int((~same & cross).sum()),
    )
