"""What the similarity of word vectors follows, without homophones or ratings: the sound of words, or their meaning?

Random pairs of words are ranked by the cosine of their vectors, and by something else that is known of every pair: how
alike they are pronounced, or the cosine of their vectors of text (a second-order similarity: no coordinates are
compared). Vectors that are made from sound alone follow the pronunciation, and follow text only as far as sound and
meaning go together; vectors of text do the reverse.

Frequent words are short, and their vectors have more in common than those of rare words. Where frequencies are known,
the words of a pair are therefore of like frequency, and pairs are ranked among those of their own frequency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from gensim.similarities.fastss import editdist
from scipy.stats import rankdata

from speech2vec.corpus.pronunciations import Phones
from speech2vec.evaluation.bootstrap import RESAMPLES, draw_groups, percentile_interval
from speech2vec.evaluation.similarity import Score, folded_index
from speech2vec.runtime.seeds import RANDOM_PAIRS, generator
from speech2vec.vectors.word_vectors import WordVectors

PRONUNCIATION, TEXT = "pronunciation", "text vectors"
MAX_PAIRS = 20_000
MIN_WORDS = 10  # resamples of fewer words are so alike that their spread says nothing
_BANDS = 10  # of frequency
_WORDS_PER_BAND = 50  # at least: fewer words make fewer bands

# What is known of pairs of words (first, second) beside their vectors: higher is more alike.
Known = Callable[[list[str], list[str]], np.ndarray]


@dataclass(frozen=True)
class _Pairs:
    """Random pairs of words [shape=(n_pairs,)]: rows of the words, and the band of frequency that both are in."""

    first: np.ndarray
    second: np.ndarray
    band: np.ndarray


def follows_pronunciation(
    vectors: WordVectors,
    pronunciations: Mapping[str, Phones],
    counts: Mapping[str, int] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Score:
    """Spearman's rho, over random pairs, of the cosine and the likeness of two words' phones.

    Likeness is one minus the edit distance divided by the number of phones of the longer word.

    Parameters
    ----------
    vectors : WordVectors
    pronunciations : mapping of str to tuple of str
        Phones of each word in lower case; words without are left out.
    counts : mapping of str to int or None
        How often each word occurs; None is not known.
    seed : int
        Of the pairs and of the bootstrap.
    resamples : int

    Returns
    -------
    Score
        Positive if the vectors know the sound.
    """
    letters: dict[str, str] = {}  # a character for each phone, as edit distances are of strings

    def spelled(phones: Phones) -> str:
        return "".join(letters.setdefault(phone, chr(0x100 + len(letters))) for phone in phones)

    def likeness(first: list[str], second: list[str]) -> np.ndarray:
        pairs = [(spelled(pronunciations[a]), spelled(pronunciations[b])) for a, b in zip(first, second, strict=True)]
        return np.array([1 - editdist(a, b) / max(len(a), len(b)) for a, b in pairs])

    return _follows(vectors, PRONUNCIATION, likeness, set(pronunciations), counts, seed, resamples)


def follows_text(
    vectors: WordVectors,
    text: WordVectors,
    counts: Mapping[str, int] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Score:
    """Spearman's rho, over random pairs, of the cosine and the cosine of the same words' text vectors.

    Parameters
    ----------
    vectors, text : WordVectors
    counts, seed, resamples
        As of `follows_pronunciation`.
    """
    index = folded_index(text)

    def cosines(first: list[str], second: list[str]) -> np.ndarray:
        return _cosines(text, *(np.array([index[word] for word in side]) for side in (first, second)))

    return _follows(vectors, TEXT, cosines, set(index), counts, seed, resamples)


def _follows(
    vectors: WordVectors,
    name: str,
    known: Known,
    words: set[str],
    counts: Mapping[str, int] | None,
    seed: int,
    resamples: int,
) -> Score:
    """The score over random pairs of those of `words` that have a vector."""
    rows_of = {word: row for word, row in folded_index(vectors).items() if word in words}
    folded = {word.casefold(): n for word, n in (counts or {}).items()}
    usable = sorted(rows_of, key=lambda word: (-folded.get(word, 0), word))
    pairs = _random_pairs(len(usable), counts is not None, seed)
    if len(usable) < MIN_WORDS:
        return Score(name, len(pairs.first), 0, None, None, None)
    sides = [[usable[position] for position in side] for side in (pairs.first, pairs.second)]
    rows = [np.array([rows_of[word] for word in side]) for side in sides]
    x, y = (_ranks(values, pairs.band) for values in (_cosines(vectors, *rows), known(*sides)))
    # Words are resampled, not pairs: the pairs of one word are not independent (Snijders & Borgatti 1999).
    _, times = draw_groups(np.arange(len(usable)), generator(seed, *name.encode()), resamples)
    rho = float(_correlations(x, y, np.ones((1, len(x))))[0])
    if np.isnan(rho):
        return Score(name, len(x), len(x), None, None, None)
    blocks = np.array_split(times.astype(np.float32), 20)  # bounds the memory
    sample = [_correlations(x, y, block[:, pairs.first] * block[:, pairs.second]) for block in blocks]
    low, high = percentile_interval(np.concatenate(sample))
    return Score(name, len(x), len(x), rho, low, high)


def _random_pairs(n_words: int, by_frequency: bool, seed: int) -> _Pairs:
    """All pairs of words of one band, or a random sample of them; words are sorted by frequency, if it is known."""
    n_bands = max(1, min(_BANDS, n_words // _WORDS_PER_BAND)) if by_frequency else 1
    draw, first, second, band = generator(seed, RANDOM_PAIRS), [], [], []
    for number, own in enumerate(np.array_split(np.arange(n_words), n_bands)):
        n, most = len(own), MAX_PAIRS // n_bands
        rows, columns = np.triu_indices(n, k=1) if n * (n - 1) // 2 <= most else _sample(n, most, draw)
        first.append(own[rows])
        second.append(own[columns])
        band.append(np.full(len(rows), number))
    return _Pairs(*(np.concatenate(parts) for parts in (first, second, band)))


def _sample(n_words: int, n_pairs: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random pairs of two words; with so many words, hardly any is drawn twice."""
    first = draw.integers(0, n_words, n_pairs)
    return first, (first + draw.integers(1, n_words, n_pairs)) % n_words


def _cosines(vectors: WordVectors, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", vectors.unit(first), vectors.unit(second))


def _ranks(values: np.ndarray, band: np.ndarray) -> np.ndarray:
    """Ranks among the pairs of one band, from -1 to 1 in each [shape=(n_pairs,)]."""
    ranks = np.empty(len(values))
    for number in np.unique(band):
        own = band == number
        ranks[own] = 2 * (rankdata(values[own]) - 0.5) / own.sum() - 1
    return ranks


def _correlations(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted correlations, for each row of weights [shape=(n, n_pairs)]; NaN where one side is constant."""
    moments = np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1)
    total, *sums = (weights @ moments.astype(weights.dtype)).astype(np.float64).T
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y, xx, yy, xy = (part / total for part in sums)
        spread = np.sqrt(np.maximum((xx - mean_x**2) * (yy - mean_y**2), 0.0))
        return np.where(spread > 1e-6, (xy - mean_x * mean_y) / spread, np.nan)
