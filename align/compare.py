"""Two alignments of the same speech against each other: how far their word boundaries lie apart.

The figure of a comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from align.aligned import iterate_aligned
from align.matching import UNKNOWN
from speech2vec.corpus.manifest import Word
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path

WITHIN = (0.010, 0.020, 0.050, 0.100)


@dataclass(frozen=True)
class Boundary:
    """One word's boundary in both alignments.

    Parameters
    ----------
    utterance_id, word : str
    side : str
        start or end.
    first, second : float, seconds
    """

    utterance_id: str
    word: str
    side: str
    first: float
    second: float

    @property
    def difference(self) -> float:
        """How much later it is in the first alignment, in seconds."""
        return self.first - self.second


@dataclass(frozen=True)
class Comparison:
    """What two alignments have in common, and how far apart they are.

    Parameters
    ----------
    n_utterances, n_words : int
        Compared: in both.
    only_first, only_second : int
        Utterances that are in one only.
    unmatched : int
        Words of either, in compared utterances, without a partner.
    differences : ndarray [shape=(2 * n_words,)], seconds
        First minus second, of all starts and ends.
    worst : list of Boundary
        The ten that are furthest apart.
    """

    n_utterances: int
    n_words: int
    only_first: int
    only_second: int
    unmatched: int
    differences: np.ndarray
    worst: list[Boundary]

    @property
    def median(self) -> float:
        """Median absolute difference in seconds."""
        return float(np.median(np.abs(self.differences)))

    @property
    def mean(self) -> float:
        """Mean absolute difference in seconds."""
        return float(np.abs(self.differences).mean())

    @property
    def bias(self) -> float:
        """Mean signed difference in seconds: positive where the first is later."""
        return float(self.differences.mean())

    def share_within(self, limit: float) -> float:
        """Share of boundaries that differ by `limit` seconds or less."""
        return float((np.abs(self.differences) <= limit + 1e-6).mean())


def pair_words(first: Sequence[Word], second: Sequence[Word]) -> list[tuple[Word, Word]]:
    """The words that two alignments of an utterance share, in order; a word unknown to one may be any of the other."""
    a, b = [word.word for word in first], [word.word for word in second]
    pairs: list[tuple[Word, Word]] = []
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            pairs += zip(first[i1:i2], second[j1:j2], strict=True)
        elif kind == "replace" and i2 - i1 == j2 - j1:
            candidates = zip(first[i1:i2], second[j1:j2], strict=True)
            pairs += [pair for pair in candidates if {pair[0].word, pair[1].word} & UNKNOWN]
    return pairs


def compare(first: Path, second: Path, n_worst: int = 10) -> Comparison:
    """Compare the word boundaries of two ALIGNED folders.

    Raises
    ------
    UserError
        If they share no utterance, or no word.
    """
    others = {aligned.utterance_id: aligned.words for aligned in iterate_aligned(second)}
    n_utterances = n_words = only_first = unmatched = 0
    n_second = len(others)
    differences: list[float] = []
    worst: list[Boundary] = []
    for aligned in iterate_aligned(first):
        words = others.pop(aligned.utterance_id, None)
        if words is None:
            only_first += 1
            continue
        n_utterances += 1
        pairs = pair_words(aligned.words, words)
        n_words += len(pairs)
        unmatched += len(aligned.words) + len(words) - 2 * len(pairs)
        boundaries = [
            Boundary(aligned.utterance_id, a.word, side, getattr(a, side), getattr(b, side))
            for a, b in pairs
            for side in ("start", "end")
        ]
        differences += [boundary.difference for boundary in boundaries]
        worst = sorted([*worst, *boundaries], key=lambda boundary: -abs(boundary.difference))[:n_worst]
    if not n_utterances:
        raise UserError(f"{first} and {second} have no utterance in common: are they of the same corpus?")
    if not n_words:
        raise UserError(f"{first} and {second} have no word in common in {n_utterances} utterances")
    only_second = n_second - n_utterances
    return Comparison(n_utterances, n_words, only_first, only_second, unmatched, np.asarray(differences), worst)


def draw_differences(comparison: Comparison, path: Path, first: str, second: str) -> None:
    """Draw the histogram of the boundary differences (first minus second) into a PNG file."""
    milliseconds = np.clip(comparison.differences * 1000, -205, 205)
    with matplotlib.rc_context({"font.size": 9}):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.add_subplot()
        axes.hist(milliseconds, bins=np.arange(-205, 206, 10).tolist(), color="#4477aa")
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_xlabel(f"{first} minus {second}, milliseconds (the outermost bars hold all beyond)")
        axes.set_ylabel("word boundaries")
        axes.set_title(
            f"{comparison.n_words:,} words: median {comparison.median * 1000:.1f} ms, "
            f"{comparison.share_within(0.05):.1%} within 50 ms"
        )
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=150)
