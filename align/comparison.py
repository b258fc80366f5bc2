"""Compare two alignments of the same speech: how far apart are their word boundaries?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np

from align.aligned import iterate_aligned
from align.matching import UNKNOWN
from align.results import Result
from speech2vec.corpus.manifest import Word
from speech2vec.runtime.errors import UserError

WITHIN = (0.010, 0.020, 0.050, 0.100)  # seconds


@dataclass(frozen=True)
class Boundary:
    """The start or end of a word in both alignments.

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
        """First minus second, in seconds."""
        return self.first - self.second


@dataclass(frozen=True)
class Comparison(Result):
    """The differences between the word boundaries of two alignments.

    Parameters
    ----------
    first, second : Path
        The ALIGNED folders.
    n_utterances, n_words : int
        Utterances and words that are in both.
    only_first, only_second : int
        Utterances that are in one folder only.
    unmatched : int
        Words of the compared utterances that are in one folder only.
    differences : ndarray [shape=(2 * n_words,)], seconds
        First minus second, of all starts and ends.
    worst : list of Boundary
        The ten that are furthest apart.
    """

    first: Path
    second: Path

    n_utterances: int
    n_words: int
    only_first: int
    only_second: int
    unmatched: int
    differences: np.ndarray = field(repr=False)
    worst: list[Boundary] = field(repr=False)

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

    def to_dict(self) -> dict[str, Any]:
        """Return the figures and the worst boundaries; times in seconds."""
        return {
            "first": str(self.first),
            "second": str(self.second),
            "n_utterances": self.n_utterances,
            "n_words": self.n_words,
            "only_first": self.only_first,
            "only_second": self.only_second,
            "unmatched": self.unmatched,
            "median": self.median,
            "mean": self.mean,
            "bias": self.bias,
            "share_within": {f"{limit:g}": self.share_within(limit) for limit in WITHIN},
            "worst": [{**vars(boundary), "difference": boundary.difference} for boundary in self.worst],
        }

    def __str__(self) -> str:
        shares = ", ".join(f"{limit * 1000:.0f} ms {self.share_within(limit):.2%}" for limit in WITHIN)
        lines = [
            f"{self.first} against {self.second}: {self.n_utterances:,} utterances, {self.n_words:,} words",
            f"  only in the first {self.only_first:,}, only in the second {self.only_second:,} utterances; "
            f"{self.unmatched:,} words without a partner",
            f"  boundary difference: median {self.median * 1000:.1f} ms, mean {self.mean * 1000:.1f} ms, "
            f"bias {self.bias * 1000:+.1f} ms",
            f"  within {shares}",
            "  furthest apart:",
        ]
        for boundary in self.worst:
            lines.append(
                f"      {boundary.utterance_id} '{boundary.word}' {boundary.side}: {boundary.first:.3f} s and "
                f"{boundary.second:.3f} s ({boundary.difference * 1000:+.0f} ms)"
            )
        return "\n".join(lines)


def pair_words(first: Sequence[Word], second: Sequence[Word]) -> list[tuple[Word, Word]]:
    """Pair the words that two alignments of an utterance share; an unknown word matches any word."""
    a, b = [word.word for word in first], [word.word for word in second]
    pairs: list[tuple[Word, Word]] = []
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            pairs += zip(first[i1:i2], second[j1:j2], strict=True)
        elif kind == "replace" and i2 - i1 == j2 - j1:
            candidates = zip(first[i1:i2], second[j1:j2], strict=True)
            pairs += [pair for pair in candidates if {pair[0].word, pair[1].word} & UNKNOWN]
    return pairs


def compare(first: str | Path, second: str | Path, n_worst: int = 10) -> Comparison:
    """Compare the word boundaries of two alignments of the same speech.

    Parameters
    ----------
    first, second : str or Path
        ALIGNED folders.
    n_worst : int
        How many of the largest differences to list.

    Returns
    -------
    Comparison
        Differences are first minus second; `align.histogram` draws them.

    Raises
    ------
    UserError
        If they have no utterance or no word in common.

    Examples
    --------
    >>> import tempfile
    >>> from align.aligned import write_aligned
    >>> from align.base import Aligned
    >>> from speech2vec.corpus.manifest import Utterance
    >>> folder = Path(tempfile.mkdtemp())
    >>> for start in (0.10, 0.12):
    ...     result = Aligned("a", (Word("a", "hello", start, 0.5),))
    ...     _ = write_aligned(folder / str(start), [Utterance("a", Path("a.wav"), "Hello!", "s")], [result])
    >>> round(compare(folder / "0.1", folder / "0.12").bias, 3)
    -0.01
    """
    first, second = Path(first), Path(second)
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
        raise UserError(f"{first} and {second} have no utterance in common: are they alignments of the same corpus?")
    if not n_words:
        raise UserError(f"{first} and {second} have no word in common in {n_utterances} utterances")
    only_second = n_second - n_utterances
    return Comparison(
        first, second, n_utterances, n_words, only_first, only_second, unmatched, np.asarray(differences), worst
    )
