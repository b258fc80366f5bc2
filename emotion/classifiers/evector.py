"""`evector`: how much each word speaks for each emotion, beside statistics of the sound.

Jin, Li, Chen & Wu, "Speech emotion recognition with acoustic and lexical features" (ICASSP 2015).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from emotion.classifiers.base import Classifier, Context
from emotion.classifiers.linear import LinearMachine, LinearSettings, fit_linear_machine
from emotion.data.examples import STATISTICS, WORDS, Examples
from speech2vec.runtime.files import read_json_as, write_json

_MACHINE, _WEIGHTS = "evector.safetensors", "words.json"


class EvectorSettings(LinearSettings):
    """Settings of the lexical emotion vector; those of its machine are `LinearSettings`.

    Parameters
    ----------
    smoothing : float
        Added to the count of each word in each class.
    """

    smoothing: Annotated[float, Field(gt=0)] = 1.0


@dataclass(frozen=True)
class WordCounts:
    """How often each word occurs in the utterances of each class.

    Parameters
    ----------
    counts : dict of str to ndarray [shape=(n_classes,)]
    totals : ndarray [shape=(n_classes,)]
        Words of each class.
    smoothing : float
    """

    counts: dict[str, np.ndarray]
    totals: np.ndarray
    smoothing: float

    @classmethod
    def count(cls, texts: Sequence[Sequence[str]], labels: np.ndarray, n_classes: int, smoothing: float) -> WordCounts:
        """Count the words of utterances."""
        counts: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(n_classes))
        for words, label in zip(texts, labels, strict=True):
            for word, n in Counter(words).items():
                counts[word][label] += n
        totals = sum(counts.values(), np.zeros(n_classes))
        return cls(dict(counts), totals, smoothing)

    def without(self, other: WordCounts) -> WordCounts:
        """These counts less those of some of their utterances."""
        less = {word: own - other.counts[word] for word, own in self.counts.items() if word in other.counts}
        return WordCounts({**self.counts, **less}, self.totals - other.totals, self.smoothing)

    def vectors(self, texts: Sequence[Sequence[str]]) -> np.ndarray:
        """Mean and largest weight of the words of each utterance for each class [shape=(n, 2 * n_classes)].

        The weight of a word for a class is the class' share of the word's relative frequencies, smoothed: P(word |
        class) over its sum over the classes, so that a frequent class does not weigh more. An unknown word weighs the
        same for all.
        """
        n_classes = len(self.totals)
        vocabulary = self.totals + self.smoothing * (len(self.counts) + 1)
        result = np.full((len(texts), 2 * n_classes), 1.0 / n_classes)
        nothing = np.zeros(n_classes)
        for row, words in enumerate(texts):
            if words:
                found = np.array([self.counts.get(word, nothing) for word in words])
                share = (found + self.smoothing) / vocabulary
                share /= share.sum(axis=1, keepdims=True)
                result[row] = np.concatenate((share.mean(axis=0), share.max(axis=0)))
        return result


@dataclass(frozen=True)
class FittedEvector:
    """Counted words and a machine on their vectors and the statistics of the sound."""

    words: WordCounts
    machine: LinearMachine

    def predict_proba(self, examples: Examples) -> np.ndarray:
        return self.machine.predict_proba(_joined(self.words.vectors(_words(examples)), examples))

    def save(self, folder: Path) -> None:
        counts = {word: own.tolist() for word, own in self.words.counts.items()}
        write_json(folder / _WEIGHTS, {"smoothing": self.words.smoothing, "counts": counts})
        self.machine.save(folder / _MACHINE)

    @property
    def facts(self) -> dict[str, Any]:
        lexical = len(self.words.counts) * len(self.words.totals)
        return {**self.machine.facts, "parameters": self.machine.facts["parameters"] + lexical}


class Evector(Classifier):
    """Words -> lexical emotion vector; with statistics of the sound -> linear support vector machine."""

    name, title = "evector", "E-vector"
    inputs = frozenset({WORDS, STATISTICS})
    settings = EvectorSettings
    uses_development, calibrated, deterministic = False, True, True

    def fit(self, train: Examples, development: Examples, context: Context) -> FittedEvector:
        own, n_classes = context.settings.of(self.name, EvectorSettings), len(context.labels)
        texts = _words(train)
        counts = WordCounts.count(texts, train.labels, n_classes, own.smoothing)
        # What the machine learns from has to look like what it will meet: words counted on other speakers.
        vectors = np.empty((len(train), 2 * n_classes))
        speakers = set(train.speakers)
        groups = train.speakers if len(speakers) > 1 else np.arange(len(train))
        for group in dict.fromkeys(groups.tolist()):
            rows = np.flatnonzero(groups == group)
            spoken = [texts[row] for row in rows]
            others = counts.without(WordCounts.count(spoken, train.labels[rows], n_classes, own.smoothing))
            vectors[rows] = others.vectors(spoken)
        x = _joined(vectors, train)
        return FittedEvector(counts, fit_linear_machine(x, train.labels, train.speakers, n_classes, own))

    def load(self, folder: Path, context: Context) -> FittedEvector:
        stored = read_json_as(folder / _WEIGHTS, dict[str, Any], "the words of an E-vector")
        counts = {str(word): np.array(own, dtype=np.float64) for word, own in stored["counts"].items()}
        n_classes = len(context.labels)
        if any(own.shape != (n_classes,) or not (own >= 0).all() for own in counts.values()):
            raise ValueError(f"{folder / _WEIGHTS} has counts of other classes")
        totals = sum(counts.values(), np.zeros(n_classes))
        words = WordCounts(counts, totals, float(stored["smoothing"]))
        if not 0 < words.smoothing < math.inf:
            raise ValueError(f"a smoothing of {words.smoothing}")
        return FittedEvector(words, LinearMachine.load(folder / _MACHINE, len(context.labels)))


def _words(examples: Examples) -> list[list[str]]:
    assert examples.words is not None  # asked for
    return examples.words


def _joined(vectors: np.ndarray, examples: Examples) -> np.ndarray:
    assert examples.statistics is not None  # asked for
    return np.hstack((vectors, examples.statistics))
