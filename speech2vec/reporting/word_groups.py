"""Groups of words by sound and by meaning, to colour a map by, and how far neighbours share them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans

from speech2vec.corpus.pronunciations import Phones
from speech2vec.vectors.word_vectors import WordVectors

NEIGHBOURS = 10  # that are asked for their group
N_COMPANIES = 6
_MANNERS = {
    "plosive": "P B T D K G CH JH",
    "fricative": "F V TH DH S Z SH ZH HH",
    "nasal": "M N NG",
    "l, r, w, y": "L R W Y",
}


@dataclass(frozen=True)
class WordGroups:
    """A partition of the words of a map.

    Parameters
    ----------
    title : str
    names : list of str
        Of the groups.
    of : ndarray [shape=(n_words,)], int
        The group of each word; -1 for none.
    shared, chance : float
        How many of a word's nearest words are of its own group, and how many of all words are.
    """

    title: str
    names: list[str]
    of: np.ndarray
    shared: float
    chance: float

    def agreement(self) -> dict[str, int]:
        """Both in per cent."""
        return {"shared": round(100 * self.shared), "chance": round(100 * self.chance)}


def word_groups(
    words: Sequence[str],
    unit: np.ndarray,
    pronunciations: Mapping[str, Phones],
    text: WordVectors,
    seed: int,
) -> list[WordGroups]:
    """The words of a map by their first sound, and by the company that they keep in the transcripts.

    Parameters
    ----------
    words : sequence of str
    unit : ndarray [shape=(n_words, vector_size)]
        Their vectors, of length 1.
    pronunciations : mapping
    text : WordVectors
        Vectors of the same transcripts as text.
    seed : int
        Of the clusters of company.
    """
    nearest = _nearest(unit)
    found = [
        _groups("first sound", [*_MANNERS, "vowel"], _first_sounds(words, pronunciations), nearest),
        _groups("meaning, by company", *_companies(words, text, seed), nearest),
    ]
    return [groups for groups in found if len(set(groups.of[groups.of >= 0].tolist())) > 1]


def _first_sounds(words: Sequence[str], pronunciations: Mapping[str, Phones]) -> np.ndarray:
    number = {phone: i for i, phones in enumerate(_MANNERS.values()) for phone in phones.split()}
    first = [pronunciations[word][0] if word in pronunciations else None for word in words]
    return np.array([-1 if phone is None else number.get(phone, len(_MANNERS)) for phone in first])


def _companies(words: Sequence[str], text: WordVectors, seed: int) -> tuple[list[str], np.ndarray]:
    """Clusters of text vectors, each named by the most frequent of the words nearest to its middle."""
    row_of = {word: row for row, word in enumerate(text.words) if text.has_direction[row]}
    known = np.array([i for i, word in enumerate(words) if word in row_of], dtype=int)
    of = np.full(len(words), -1)
    if len(known) < 10 * N_COMPANIES:
        return [], of
    unit = text.unit(np.array([row_of[words[i]] for i in known]))
    fitted = KMeans(N_COMPANIES, n_init=4, random_state=seed).fit(unit)
    of[known] = fitted.labels_
    names = []
    for group, centre in enumerate(fitted.cluster_centers_):
        inside = known[fitted.labels_ == group]
        central = inside[np.argsort(-(unit[fitted.labels_ == group] @ centre))[:12]]
        names.append(", ".join(words[i] for i in sorted(central)[:3]) + " …")
    return names, of


def _nearest(unit: np.ndarray) -> np.ndarray:
    """Nearest words by cosine [shape=(n_words, NEIGHBOURS)]."""
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    most = min(NEIGHBOURS, len(unit) - 1)
    return np.argpartition(-cosines, most - 1, axis=1)[:, :most]


def _groups(title: str, names: list[str], of: np.ndarray, nearest: np.ndarray) -> WordGroups:
    known = of >= 0
    same = (of[nearest] == of[:, None])[known]
    asked = known[nearest][known].sum()
    sizes = np.bincount(of[known], minlength=len(names)).astype(float)
    n = sizes.sum()
    chance = float((sizes * (sizes - 1)).sum() / (n * (n - 1))) if n > 1 else 0.0
    return WordGroups(title, names, of, float(same.sum() / asked) if asked else 0.0, chance)
