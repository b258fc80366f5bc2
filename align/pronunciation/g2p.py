"""Grapheme-to-phoneme: a joint n-gram model of letters and phones, learned from a pronunciation dictionary.

A word and its pronunciation are segmented into graphones: one letter with the 0, 1 or 2 phones that it stands for. The
segmentation is found by Viterbi training; an interpolated Kneser-Ney n-gram model over graphones then gives an unknown
word its most probable pronunciation. Trained on the dictionary at hand, it works for any language that has one, and
needs no further model.

References
----------
M. Bisani and H. Ney, "Joint-sequence models for grapheme-to-phoneme conversion", Speech Communication 50 (2008),
sections 2 and 3. R. Kneser and H. Ney, "Improved backing-off for m-gram language modeling", ICASSP 1995.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

BOUNDARY, END = 0, 1  # tokens; graphones are numbered from 2
_FIRST_GRAPHONE = 2

# Rarer graphones come from abbreviations ("mr" M IH S T ER) and typing errors, and cost accuracy.
_MIN_COUNT = 5

_SEGMENTATION_PASSES = 4
_SEGMENTATION_ENTRIES = 20_000  # enough for the few parameters of the segmentation


class Graphone(NamedTuple):
    """A letter and the phones it stands for."""

    letter: str
    phones: tuple[str, ...]


@dataclass(frozen=True)
class _Order:
    """Counts of the n-grams of one order. A key packs the tokens of an n-gram, the last one in the lowest bits."""

    keys: np.ndarray
    counts: np.ndarray
    contexts: np.ndarray
    totals: np.ndarray
    continuations: np.ndarray
    discount: float


def _find(sorted_keys: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the position of each key, and whether it is there."""
    places = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return places, sorted_keys[places] == keys


class JointNgram:
    """Predicts the pronunciation of a word from its letters; trained on a pronunciation dictionary.

    Parameters
    ----------
    entries : iterable of (str, sequence of str)
        Words and their phones. Words with more than two phones per letter (abbreviations) are skipped.
    order : int
        Order of the n-grams.

    Raises
    ------
    ValueError
        If there is no usable entry.

    Examples
    --------
    >>> model = JointNgram([("tap", ["T", "AE", "P"]), ("pat", ["P", "AE", "T"])] * 10, order=3)
    >>> model.pronounce("pap")
    ('P', 'AE', 'P')
    """

    def __init__(self, entries: Iterable[tuple[str, Sequence[str]]], order: int = 6) -> None:
        pairs = [(word, tuple(phones)) for word, phones in entries if 0 < len(phones) <= 2 * len(word)]
        if not pairs:
            raise ValueError("no usable dictionary entry to train on")
        names, sequences = _segment(pairs)
        seen = np.bincount([i for sequence in sequences for i in sequence], minlength=len(names))
        rare = _MIN_COUNT if len(pairs) > 1000 else 1
        kept = sorted((name, i) for i, name in enumerate(names) if seen[i] >= rare)
        self.graphones = [name for name, _ in kept]
        number = np.full(len(names), BOUNDARY)
        number[[i for _, i in kept]] = np.arange(len(kept)) + _FIRST_GRAPHONE
        by_letter = defaultdict(list)
        for i, graphone in enumerate(self.graphones, start=_FIRST_GRAPHONE):
            by_letter[graphone.letter].append(i)
        self._by_letter = {letter: np.array(ids, dtype=np.int64) for letter, ids in by_letter.items()}
        self._bits = (len(self.graphones) + _FIRST_GRAPHONE).bit_length()
        self.order = min(order, 63 // self._bits)
        numbered = (number[sequence] for sequence in sequences)
        self._orders = self._count([tokens for tokens in numbered if tokens.all()])

    def _count(self, sequences: list[np.ndarray]) -> list[_Order]:
        pad, end = np.full(self.order - 1, BOUNDARY), np.array([END])
        flat = np.concatenate([part for sequence in sequences for part in (pad, sequence, end)]).astype(np.int64)
        keys = np.zeros(len(flat) - self.order + 1, dtype=np.int64)
        for position in range(self.order):
            keys = (keys << self._bits) | flat[position : position + len(keys)]
        # Windows that end in padding are not n-grams.
        newest = keys & ((1 << self._bits) - 1)
        keys = keys[newest != BOUNDARY]
        unique: np.ndarray
        counts: np.ndarray
        unique, counts = np.unique(keys, return_counts=True)
        orders = [self._order(unique, counts)]
        for length in range(self.order - 1, 0, -1):
            # Kneser-Ney: the count of a lower-order n-gram is the number of contexts it occurs in.
            unique, counts = np.unique(unique & ((1 << self._bits * length) - 1), return_counts=True)
            orders.append(self._order(unique, counts))
        return orders[::-1]

    def _order(self, keys: np.ndarray, counts: np.ndarray) -> _Order:
        contexts, first, continuations = np.unique(keys >> self._bits, return_index=True, return_counts=True)
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        discount = once / (once + 2 * twice) if once else 0.5
        return _Order(keys, counts, contexts, np.add.reduceat(counts, first), continuations, min(discount, 0.95))

    def _log_probability(self, keys: np.ndarray) -> np.ndarray:
        """Interpolated Kneser-Ney; each key holds `order` tokens, of which the last is predicted."""
        probability: np.ndarray = np.full(len(keys), 1.0 / (len(self.graphones) + 1))
        for length, order in enumerate(self._orders, start=1):
            key = keys & ((1 << self._bits * length) - 1)
            place, seen = _find(order.keys, key)
            count = np.where(seen, order.counts[place], 0)
            place, known = _find(order.contexts, key >> self._bits)
            total, continuations = order.totals[place], order.continuations[place]
            backing = order.discount * continuations / total * probability
            probability = np.where(known, np.maximum(count - order.discount, 0) / total + backing, probability)
        return np.log(probability)

    def pronounce(self, word: str, beam: int = 24) -> tuple[str, ...]:
        """Return the phones of a word; letters that are not in the dictionary are skipped, so it may be ()."""
        histories: np.ndarray = np.zeros(1, dtype=np.int64)
        scores: np.ndarray = np.zeros(1)
        trails: list[tuple[int, ...]] = [()]
        mask = (1 << self._bits * (self.order - 1)) - 1
        for letter in word:
            choices = self._by_letter.get(letter)
            if choices is None:
                continue
            keys = ((histories[:, None] << self._bits) | choices[None, :]).ravel()
            totals = np.repeat(scores, len(choices)) + self._log_probability(keys)
            best = np.argsort(-totals, kind="stable")[:beam]
            trails = [(*trails[i // len(choices)], int(choices[i % len(choices)])) for i in best]
            histories = keys[best] & mask
            scores = totals[best]
        scores = scores + self._log_probability((histories << self._bits) | END)
        for i in np.argsort(-scores, kind="stable"):
            phones = tuple(p for token in trails[i] for p in self.graphones[token - _FIRST_GRAPHONE].phones)
            if phones:
                return phones
        return ()


def _segment(pairs: list[tuple[str, tuple[str, ...]]]) -> tuple[list[Graphone], list[list[int]]]:
    """Segment all words by Viterbi training; return the graphones, and for each word the indices of its own."""
    letters = sorted({letter for word, _ in pairs for letter in word})
    phones = sorted({phone for _, sequence in pairs for phone in sequence})
    letter_id = {letter: i for i, letter in enumerate(letters)}
    phone_id = {phone: i for i, phone in enumerate(phones)}
    shapes: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, (word, sequence) in enumerate(pairs):
        shapes[len(word), len(sequence)].append(i)
    groups = []
    for members in shapes.values():
        spelled = np.array([[letter_id[c] for c in pairs[i][0]] for i in members])
        spoken = np.array([[phone_id[p] for p in pairs[i][1]] for i in members])
        groups.append((members, spelled, spoken))
    step = max(1, len(pairs) // _SEGMENTATION_ENTRIES)
    learned = [(spelled[::step], spoken[::step]) for _, spelled, spoken in groups]
    # Initialised from words with as many phones as letters, taken one to one.
    one = np.full((len(letters), len(phones)), 0.1)
    for spelled, spoken in learned:
        if spelled.shape == spoken.shape:
            np.add.at(one, (spelled, spoken), 1.0)
    one = np.log(one / one.sum(axis=1, keepdims=True))
    none = np.full(len(letters), -4.0)
    two = np.full((len(letters), len(phones), len(phones)), -12.0)
    for _ in range(_SEGMENTATION_PASSES):
        counts = np.zeros(len(letters)), np.zeros(one.shape), np.zeros(two.shape)
        for spelled, spoken in learned:
            taken = _best_segmentation(spelled, spoken, none, one, two)
            first = np.cumsum(taken, axis=1) - taken
            rows = np.arange(len(spelled))[:, None] + np.zeros_like(taken)
            np.add.at(counts[0], spelled[taken == 0], 1)
            single, double = taken == 1, taken == 2
            np.add.at(counts[1], (spelled[single], spoken[rows[single], first[single]]), 1)
            pair = spoken[rows[double], first[double]], spoken[rows[double], first[double] + 1]
            np.add.at(counts[2], (spelled[double], *pair), 1)
        total = counts[0] + counts[1].sum(axis=1) + counts[2].sum(axis=(1, 2)) + 1.0
        none = np.log((counts[0] + 1e-2) / total)
        one = np.log((counts[1] + 1e-2) / total[:, None])
        two = np.log((counts[2] + 1e-4) / total[:, None, None])
    numbers: dict[Graphone, int] = {}
    cuts: list[list[int]] = [[] for _ in pairs]
    for members, spelled, spoken in groups:
        for i, taken in zip(members, _best_segmentation(spelled, spoken, none, one, two).tolist(), strict=True):
            word, sequence = pairs[i]
            at = 0
            for letter, n in zip(word, taken, strict=True):
                graphone = Graphone(letter, sequence[at : at + n])
                cuts[i].append(numbers.setdefault(graphone, len(numbers)))
                at += n
    return list(numbers), cuts


def _best_segmentation(
    spelled: np.ndarray, spoken: np.ndarray, none: np.ndarray, one: np.ndarray, two: np.ndarray
) -> np.ndarray:
    """Find the number of phones of each letter, for many words of the same shape at once.

    Parameters
    ----------
    spelled : ndarray [shape=(n_words, n_letters)]
    spoken : ndarray [shape=(n_words, n_phones)]
    none, one, two : ndarray
        Log-probabilities that a letter stands for no phone, for this phone, for these two.

    Returns
    -------
    ndarray [shape=(n_words, n_letters)]
        Each 0, 1 or 2.
    """
    n_words, n_letters = spelled.shape
    n_phones = spoken.shape[1]
    score = np.full((n_words, n_phones + 1), -np.inf)
    score[:, 0] = 0.0
    back = np.zeros((n_letters, n_words, n_phones + 1), dtype=np.int8)
    for i in range(n_letters):
        letter = spelled[:, i]
        options = np.full((3, n_words, n_phones + 1), -np.inf)
        options[0] = score + none[letter][:, None]
        options[1, :, 1:] = score[:, :-1] + one[letter[:, None], spoken]
        if n_phones > 1:
            options[2, :, 2:] = score[:, :-2] + two[letter[:, None], spoken[:, :-1], spoken[:, 1:]]
        back[i] = options.argmax(axis=0)
        score = options.max(axis=0)
    taken = np.zeros((n_words, n_letters), dtype=np.int64)
    at = np.full(n_words, n_phones)
    rows = np.arange(n_words)
    for i in range(n_letters - 1, -1, -1):
        taken[:, i] = back[i, rows, at]
        at = at - taken[:, i]
    return taken
