"""How instances of one word differ: the variance study by frequency, and how much of a vector is its speaker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import gammaln
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from speech2vec.evaluation.bootstrap import draw_groups, percentile_interval
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import PROBE_BOOTSTRAP, PROBE_SPLIT, generator
from speech2vec.training.run import Run
from speech2vec.vectors.instances import TRAINED, UNTRAINED, at_most_each, encoders_of

# The bins of Chung & Glass (2018): instances of a word in the corpus.
BINS: tuple[tuple[int, int | None], ...] = ((5, 99), (100, 999), (1_000, 9_999), (10_000, None))


@dataclass(frozen=True)
class VariabilityBin:
    """Words of like frequency.

    Parameters
    ----------
    low, high : int
        Instances of a word in the corpus; a `high` of None is no limit.
    n_words : int
    deviation : float or None
        The paper's measure: for a word, the standard deviation across its instances, averaged over dimensions; then
        the mean over the bin's words. None in an empty bin.
    relative : float or None
        The same, each dimension divided by its standard deviation across all instances of all words: 1 means that
        instances of one word vary as much as any, 0 that they are all alike. Comparable between models, and between
        bins: that a standard deviation falls short of the true one with few instances is made up for.
    """

    low: int
    high: int | None
    n_words: int
    deviation: float | None
    relative: float | None

    @property
    def label(self) -> str:
        return f"≥ {self.low:,}" if self.high is None else f"{self.low:,}–{self.high:,}"

    def to_json(self) -> dict[str, Any]:
        return {"label": self.label, **asdict(self)}


def variability_by_frequency(
    instances: np.ndarray,
    word_id: np.ndarray,
    counts: np.ndarray,
    bins: Sequence[tuple[int, int | None]] = BINS,
) -> list[VariabilityBin]:
    """The variance study of Chung & Glass (2018).

    Parameters
    ----------
    instances : ndarray [shape=(n_instances, vector_size)]
        May be a sample of a frequent word's instances.
    word_id : ndarray [shape=(n_instances,)], int
    counts : ndarray [shape=(n_types,)], int
        Instances of each word in the corpus, which decide on its bin.
    bins : sequence of (int, int or None)
    """
    instances = np.asarray(instances, dtype=np.float64)
    n_types = len(counts)
    n = np.bincount(word_id, minlength=n_types)
    measured = n >= 2
    overall = instances.std(axis=0)
    deviation, relative = np.zeros(n_types), np.zeros(n_types)
    shortfall = _expected_deviation(np.maximum(n, 2))
    n_dimensions = instances.shape[1]
    centre = instances.mean(axis=0)
    for dimension in range(n_dimensions):
        # Centred first: the variance as a difference of squares would lose what small deviations are made of.
        values = instances[:, dimension] - centre[dimension]
        mean = np.bincount(word_id, values, n_types) / np.maximum(n, 1)
        spread = np.sqrt(np.bincount(word_id, (values - mean[word_id]) ** 2, n_types) / np.maximum(n, 1))
        deviation += spread / n_dimensions
        if overall[dimension] > 0:
            relative += spread / shortfall / overall[dimension] / n_dimensions
    result = []
    for low, high in bins:
        inside = measured & (counts >= low) & (counts <= (high if high is not None else np.inf))
        some = bool(inside.any())
        result.append(
            VariabilityBin(
                low=low,
                high=high,
                n_words=int(inside.sum()),
                deviation=float(deviation[inside].mean()) if some else None,
                relative=float(relative[inside].mean()) if some else None,
            )
        )
    return result


def _expected_deviation(n: np.ndarray) -> np.ndarray:
    """What the standard deviation of n normal values (2 or more, divided by n) is expected to be, of the true one."""
    return np.sqrt(2 / n) * np.exp(gammaln(n / 2) - gammaln((n - 1) / 2))


@dataclass(frozen=True)
class SpeakerProbe:
    """How well a linear classifier names the speaker from one word's vector.

    Parameters
    ----------
    accuracy : float
        On words of utterances that the classifier has not seen; speakers weigh alike.
    low, high : float
        95 % interval (bootstrap over utterances).
    chance : float
        One over the number of speakers.
    n_speakers, n_train, n_test : int
    """

    accuracy: float
    low: float
    high: float
    chance: float
    n_speakers: int
    n_train: int
    n_test: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class ProbeSplit:
    """The instances a probe learns from and those it is tested on [shape=(n,)], int64: the same for all it compares."""

    train: np.ndarray
    test: np.ndarray


def probe_split(
    speaker: np.ndarray,
    utterance: np.ndarray,
    max_speakers: int = 40,
    max_instances: int = 150,
    min_instances: int = 20,
    seed: int = 0,
) -> ProbeSplit:
    """Split every speaker's utterances, about a third for the test, so that no utterance lies on both sides.

    Parameters
    ----------
    speaker, utterance : ndarray [shape=(n_instances,)], int
    max_speakers, max_instances : int
        Seeded samples are drawn where there are more (of one speaker's instances).
    min_instances : int
        Speakers with fewer on the training side, or with one utterance only, are left out.

    Raises
    ------
    UserError
        Fewer than two speakers are left.
    """
    draw = generator(seed, PROBE_SPLIT)
    train: list[np.ndarray] = []
    test: list[np.ndarray] = []
    order = np.argsort(speaker, kind="stable")
    by_speaker = np.split(order, np.flatnonzero(np.diff(speaker[order])) + 1)
    for rows in (by_speaker[i] for i in draw.permutation(len(by_speaker))):
        said = np.unique(utterance[rows])
        if len(said) < 2:
            continue
        held_out = draw.choice(said, max(1, len(said) // 3), replace=False)
        is_test = np.isin(utterance[rows], held_out)
        sides = [draw.permutation(rows[~is_test])[:max_instances], draw.permutation(rows[is_test])[:max_instances]]
        if len(sides[0]) < min_instances:
            continue
        train.append(sides[0])
        test.append(sides[1])
        if len(train) == max_speakers:
            break
    if len(train) < 2:
        raise UserError(
            f"the speaker probe needs two speakers with two utterances and {min_instances} words; "
            f"{len(train)} of {len(by_speaker)} have them"
        )
    return ProbeSplit(np.concatenate(train), np.concatenate(test))


def probe_speaker(
    instances: np.ndarray, speaker: np.ndarray, utterance: np.ndarray, split: ProbeSplit, seed: int = 0
) -> SpeakerProbe:
    """Train a logistic regression on standardised vectors to name the speaker, and test it.

    Parameters
    ----------
    instances : ndarray [shape=(n_instances, vector_size)]
    speaker, utterance : ndarray [shape=(n_instances,)], int
    split : ProbeSplit
    seed : int
    """
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000, C=1.0))
    probe.fit(instances[split.train], speaker[split.train])
    right = (probe.predict(instances[split.test]) == speaker[split.test]).astype(float)
    # Utterances and not words are drawn again: the words of one share its channel and its mood.
    member, times = draw_groups(utterance[split.test], generator(seed, PROBE_BOOTSTRAP))
    weights = np.concatenate([np.ones((1, len(right))), times[:, member]])
    _, who = np.unique(speaker[split.test], return_inverse=True)
    is_speaker = np.eye(int(who.max()) + 1)[who]  # n_test, n_speakers
    total = weights @ is_speaker
    share = np.divide((weights * right) @ is_speaker, total, out=np.full(total.shape, np.nan), where=total > 0)
    accuracy = np.nanmean(share, axis=1)  # a speaker whose utterances were not drawn says nothing
    low, high = percentile_interval(accuracy[1:])
    return SpeakerProbe(
        accuracy=float(accuracy[0]),
        low=low,
        high=high,
        chance=1 / is_speaker.shape[1],
        n_speakers=is_speaker.shape[1],
        n_train=len(split.train),
        n_test=len(split.test),
    )


# Where a word has more instances, its spread is measured on a sample of this many.
_INSTANCES_A_WORD = 1_000


def measure_variability(loaded: Run, seed: int = 0) -> dict[str, list[dict[str, Any]]]:
    """The variance study by frequency, for each representation: a list of bins.

    The mean MFCC is left out: the study is about the dimensions of learned vectors.

    Raises
    ------
    UserError
        No word is said often enough for the first bin.
    """
    store = loaded.store
    frequent = np.flatnonzero(store.counts[store.word_id] >= BINS[0][0])
    rows = at_most_each(store.word_id, frequent, _INSTANCES_A_WORD, seed)
    if len(rows) == 0:
        raise UserError(f"no word is said {BINS[0][0]} times or more: the variance study needs a larger corpus")
    by_name = encoders_of(loaded)
    return {
        name: [
            one.to_json() for one in variability_by_frequency(by_name[name](rows), store.word_id[rows], store.counts)
        ]
        for name in (TRAINED, UNTRAINED)
    }


def measure_speaker(loaded: Run, seed: int = 0) -> dict[str, dict[str, Any]]:
    """How well a linear probe names the speaker from one word, for each representation, on the same split.

    Raises
    ------
    UserError
        Fewer than two speakers have two utterances and enough words.
    """
    store = loaded.store
    sides = probe_split(store.speaker, store.utterance, seed=seed)
    rows = np.concatenate([sides.train, sides.test])
    local = ProbeSplit(np.arange(len(sides.train)), np.arange(len(sides.train), len(rows)))
    return {
        name: probe_speaker(encode(rows), store.speaker[rows], store.utterance[rows], local, seed).to_json()
        for name, encode in encoders_of(loaded).items()
    }
