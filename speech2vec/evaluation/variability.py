"""How instances of one word vary: their spread by word frequency, and how well their vectors tell the speaker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from speech2vec.evaluation.bootstrap import draw_groups, percentile_interval
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import PROBE_BOOTSTRAP, PROBE_SPLIT, generator
from speech2vec.training.run import Run
from speech2vec.vectors.instances import TRAINED, UNTRAINED, InstanceEncoder, at_most_each

# The bins of Chung & Glass (2018): how often a word occurs in the corpus.
BINS: tuple[tuple[int, int | None], ...] = ((5, 99), (100, 999), (1_000, 9_999), (10_000, None))
_LEAST_INSTANCES = 20  # of a speaker, to train the probe on
_INSTANCES_PER_WORD = 1_000  # subsample a word's instances above this many


@dataclass(frozen=True)
class VariabilityBin:
    """Words of similar frequency.

    Parameters
    ----------
    low, high : int
        How often a word occurs in the corpus; None is no upper limit.
    n_words : int
    deviation : float or None
        The paper's measure: the standard deviation across a word's instances, averaged over dimensions, then over the
        bin's words. None in an empty bin.
    relative : float or None
        The same with each dimension divided by its standard deviation across all instances of all words: 1 if instances
        of one word vary as much as any, 0 if they are identical. Comparable between models, and between bins, as the
        bias of the standard deviation of few instances is corrected.
    """

    low: int
    high: int | None
    n_words: int
    deviation: float | None
    relative: float | None

    @property
    def label(self) -> str:
        return f"≥ {self.low:,}" if self.high is None else f"{self.low:,}–{self.high:,}"


def variability_by_frequency(
    instances: np.ndarray,
    word_id: np.ndarray,
    counts: np.ndarray,
) -> list[VariabilityBin]:
    """The spread of a word's instances by its frequency (Chung & Glass 2018).

    Parameters
    ----------
    instances : ndarray [shape=(n_instances, vector_size)]
        May be a sample of a frequent word's instances.
    word_id : ndarray [shape=(n_instances,)], int
    counts : ndarray [shape=(n_types,)], int
        How often each word occurs in the corpus, which decides which of `BINS` it is in.
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
        # Centred first: a difference of squares would lose the digits of small deviations.
        values = instances[:, dimension] - centre[dimension]
        mean = np.bincount(word_id, values, n_types) / np.maximum(n, 1)
        spread = np.sqrt(np.bincount(word_id, (values - mean[word_id]) ** 2, n_types) / np.maximum(n, 1))
        deviation += spread / n_dimensions
        if overall[dimension] > 0:
            relative += spread / shortfall / overall[dimension] / n_dimensions
    result = []
    for low, high in BINS:
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
    """Expected standard deviation of n >= 2 normal values (normalised by n) with a true one of 1."""
    return np.sqrt(2 / n) * np.exp(gammaln(n / 2) - gammaln((n - 1) / 2))


@dataclass(frozen=True)
class SpeakerProbe:
    """How well a linear classifier identifies the speaker from the vector of one word.

    Parameters
    ----------
    accuracy : float
        On words of utterances that it was not trained on; all speakers have the same weight.
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


@dataclass(frozen=True)
class ProbeSplit:
    """The instances that probes are trained and tested on [shape=(n,)], int64."""

    train: np.ndarray
    test: np.ndarray


def probe_split(
    speaker: np.ndarray,
    utterance: np.ndarray,
    max_speakers: int = 40,
    max_instances: int = 150,
    seed: int = 0,
) -> ProbeSplit:
    """Split each speaker's utterances, about a third for the test, so that no utterance is on both sides.

    Parameters
    ----------
    speaker, utterance : ndarray [shape=(n_instances,)], int
    max_speakers, max_instances : int
        Subsample (seeded) above this many speakers, and instances of one speaker.

    Raises
    ------
    UserError
        Fewer than two speakers have two utterances, and 20 words to train on.
    """
    draw = generator(seed, PROBE_SPLIT)
    train: list[np.ndarray] = []
    test: list[np.ndarray] = []
    order = np.argsort(speaker, kind="stable")
    by_speaker = np.split(order, np.flatnonzero(np.diff(speaker[order])) + 1)
    for rows in (by_speaker[i] for i in draw.permutation(len(by_speaker))):
        utterances = np.unique(utterance[rows])
        if len(utterances) < 2:
            continue
        held_out = draw.choice(utterances, max(1, len(utterances) // 3), replace=False)
        is_test = np.isin(utterance[rows], held_out)
        sides = [draw.permutation(rows[~is_test])[:max_instances], draw.permutation(rows[is_test])[:max_instances]]
        if len(sides[0]) < _LEAST_INSTANCES:
            continue
        train.append(sides[0])
        test.append(sides[1])
        if len(train) == max_speakers:
            break
    if len(train) < 2:
        raise UserError(
            f"the speaker probe needs two speakers with two utterances and {_LEAST_INSTANCES} words; "
            f"{len(train)} of {len(by_speaker)} have them"
        )
    return ProbeSplit(np.concatenate(train), np.concatenate(test))


def probe_speaker(
    instances: np.ndarray, speaker: np.ndarray, utterance: np.ndarray, split: ProbeSplit, seed: int = 0
) -> SpeakerProbe:
    """Train a logistic regression on standardised vectors to identify the speaker, and test it.

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
    # Utterances and not words are resampled: the words of one share its channel and its mood.
    member, times = draw_groups(utterance[split.test], generator(seed, PROBE_BOOTSTRAP))
    weights = np.concatenate([np.ones((1, len(right))), times[:, member]])
    _, who = np.unique(speaker[split.test], return_inverse=True)
    is_speaker = np.eye(int(who.max()) + 1)[who]  # n_test, n_speakers
    total = weights @ is_speaker
    share = np.divide((weights * right) @ is_speaker, total, out=np.full(total.shape, np.nan), where=total > 0)
    accuracy = np.nanmean(share, axis=1)  # leaves out speakers whose utterances were not drawn
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


def measure_variability(
    run: Run, encoders: Mapping[str, InstanceEncoder], seed: int = 0
) -> dict[str, list[VariabilityBin]]:
    """The spread of words' instances by frequency, for the trained and the untrained encoder.

    The mean frame is left out: the measure is about the dimensions of learned vectors.

    Raises
    ------
    UserError
        No word occurs often enough for the first bin.
    """
    store = run.store
    frequent = np.flatnonzero(store.counts[store.word_id] >= BINS[0][0])
    rows = at_most_each(store.word_id, frequent, _INSTANCES_PER_WORD, seed)
    if len(rows) == 0:
        raise UserError(f"no word occurs {BINS[0][0]} times or more: the variance study needs a larger corpus")
    return {
        name: variability_by_frequency(encoders[name](rows), store.word_id[rows], store.counts)
        for name in (TRAINED, UNTRAINED)
    }


def measure_speaker(run: Run, encoders: Mapping[str, InstanceEncoder], seed: int = 0) -> dict[str, SpeakerProbe]:
    """How well a linear probe identifies the speaker from one word, for each encoder, on the same split.

    Raises
    ------
    UserError
        Fewer than two speakers have two utterances and enough words.
    """
    store = run.store
    sides = probe_split(store.speaker, store.utterance, seed=seed)
    rows = np.concatenate([sides.train, sides.test])
    local = ProbeSplit(np.arange(len(sides.train)), np.arange(len(sides.train), len(rows)))
    return {
        name: probe_speaker(encode(rows), store.speaker[rows], store.utterance[rows], local, seed)
        for name, encode in encoders.items()
    }
