"""An aligner's words against the transcript's: which word in time is which word that was said.

Aligners change words: they lower the case, drop punctuation, split ``quick-brown``, write ``<unk>`` or ``[bracketed]``
for what they do not know. So words are not paired by position alone: the two lists are compared (Myers, "An O(ND)
Difference Algorithm and Its Variations", 1986), and only what is left between equal words is paired by position.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from align.base import Failure, Reason
from align.formats.tracks import Interval
from speech2vec.corpus.transcripts import tokenize

# What aligners write for a word they have no pronunciation for: it may be any word. The second kind may be a noise too.
UNKNOWN = frozenset({"<unk>", "[unk]", "unk", "<oov>", "spn", "<spn>", "<spoken_noise>"})
BRACKETED = frozenset({"[bracketed]"})

# More differences than this between two lists of words: one is not the transcript of the other.
MAX_DIFFERENCES = 2000

_tokens_of = lru_cache(maxsize=65536)(lambda label: tuple(tokenize(label)))


@dataclass
class Matching:
    """The transcript's words that were found in time, and how the two lists differ.

    Parameters
    ----------
    words : list of Interval
        Labels are words of the transcript; in time order.
    respelled : list of (str, str)
        The aligner's word and the transcript's, in the same place.
    missing : list of str
        Words of the transcript that have no times.
    extra : list of str
        The aligner's words that are not in the transcript; left out.
    n_split : int
        Words of the transcript whose inner boundary was set by their letters, as the aligner had them as one.
    """

    words: list[Interval] = field(default_factory=list)
    respelled: list[tuple[str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    n_split: int = 0

    @property
    def differs(self) -> bool:
        return bool(self.respelled or self.missing or self.extra)

    def describe(self) -> str:
        """The differences in a line, for a person."""
        parts = [f"'{theirs}' for '{ours}'" for theirs, ours in self.respelled[:5]]
        if self.missing:
            parts.append(f"{len(self.missing)} missing: {' '.join(self.missing[:8])}")
        if self.extra:
            parts.append(f"{len(self.extra)} not in the transcript: {' '.join(self.extra[:8])}")
        return "; ".join(parts)


def match_words(intervals: Sequence[Interval], tokens: Sequence[str]) -> Matching | None:
    """Give the words in time their spelling in the transcript.

    Parameters
    ----------
    intervals : sequence of Interval
        In time order, silences left out.
    tokens : sequence of str
        The transcript, tokenised.

    Returns
    -------
    Matching or None
        None if the two lists have next to nothing in common.
    """
    result = Matching()
    pieces = list(_pieces(intervals, result))
    labels = [piece.label for piece in pieces]
    if labels == list(tokens):
        result.words = pieces
        return result
    pairs = common_words(labels, tokens)
    if pairs is None:
        return None
    i = j = 0
    for next_i, next_j in [*pairs, (len(pieces), len(tokens))]:
        _match_gap(pieces[i:next_i], tokens[j:next_j], result)
        if next_i < len(pieces):
            result.words.append(pieces[next_i])
        i, j = next_i + 1, next_j + 1
    return result


def match_enough(
    utterance_id: str, intervals: Sequence[Interval], tokens: Sequence[str], *, min_matched: float, where: str = ""
) -> Matching | Failure:
    """As `match_words`, or a failure if less than a share of the transcript was found, or no word at all.

    Parameters
    ----------
    utterance_id : str
    intervals, tokens : sequence
        As `match_words` takes them.
    min_matched : float
        The share, 0 to 1.
    where : str
        What the failure's detail begins with.
    """
    matching = match_words(intervals, tokens)
    if matching is not None and len(matching.words) >= max(1.0, min_matched * len(tokens)):
        return matching
    detail = matching.describe() if matching else "next to nothing in common"
    return Failure(utterance_id, Reason.WORDS_DIFFER, where + detail)


def _pieces(intervals: Sequence[Interval], result: Matching) -> Iterator[Interval]:
    """One interval for each token: a label that holds several is cut by its letters."""
    for interval in intervals:
        if interval.label in UNKNOWN or interval.label.lower() in UNKNOWN | BRACKETED:
            yield Interval(interval.start, interval.end, interval.label.lower(), interval.score)
            continue
        tokens = _tokens_of(interval.label)
        if len(tokens) == 1:
            yield interval if tokens[0] == interval.label else _cut(interval, tokens[0], 0.0, 1.0)
            continue
        result.n_split += len(tokens)
        n_letters = sum(map(len, tokens))
        done = 0
        for token in tokens:
            yield _cut(interval, token, done / n_letters, (done + len(token)) / n_letters)
            done += len(token)


def _cut(interval: Interval, label: str, begin: float, finish: float) -> Interval:
    """The part of an interval between two shares of its length."""
    length = interval.end - interval.start
    start = interval.start + begin * length if begin else interval.start
    end = interval.start + finish * length if finish < 1.0 else interval.end
    return Interval(start, end, label, interval.score)


def _match_gap(pieces: Sequence[Interval], tokens: Sequence[str], result: Matching) -> None:
    """Pair what lies between two words that are equal in both lists."""
    if len(pieces) != len(tokens):
        pieces = [piece for piece in pieces if piece.label not in BRACKETED]
    if len(pieces) == len(tokens):
        for piece, token in zip(pieces, tokens, strict=True):
            result.words.append(Interval(piece.start, piece.end, token, piece.score))
            if piece.label not in UNKNOWN | BRACKETED:
                result.respelled.append((piece.label, token))
    elif _letters(piece.label for piece in pieces) == _letters(tokens) != "":
        # The same letters, split elsewhere ("some one" and "someone"): cut the time where the letters are cut.
        result.words += _by_letters(pieces, tokens)
        result.n_split += len(tokens)
    else:
        result.extra += [piece.label for piece in pieces]
        result.missing += tokens


def _letters(words: Iterator[str] | Sequence[str]) -> str:
    return "".join(words).replace("'", "")


def _by_letters(pieces: Sequence[Interval], tokens: Sequence[str]) -> Iterator[Interval]:
    """Each token from its first letter's time to its last letter's."""
    letters: list[tuple[float, float, float | None]] = []
    for piece in pieces:
        n = len(piece.label.replace("'", ""))
        cuts = [_cut(piece, "", k / n, (k + 1) / n) for k in range(n)]
        letters += [(cut.start, cut.end, piece.score) for cut in cuts]
    done = 0
    for token in tokens:
        n = len(token.replace("'", ""))
        own = letters[done : done + n]
        done += n
        yield Interval(own[0][0], own[-1][1], token, own[0][2])


def common_words(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]] | None:
    """A longest common subsequence of two lists of words, as pairs of places; None beyond `MAX_DIFFERENCES`.

    Takes (n + m) x differences steps at most, so that lists that hardly agree cannot hold the program up.

    Examples
    --------
    >>> common_words(["a", "b", "c"], ["a", "x", "c"])
    [(0, 0), (2, 2)]
    """
    n, m = len(a), len(b)
    if abs(n - m) > MAX_DIFFERENCES:
        return None
    # reach[k] is how far into `a` the best path on diagonal k = i - j comes with d differences (Myers, figure 2).
    reach = {1: 0}
    history: list[array[int]] = []
    for d in range(min(n + m, MAX_DIFFERENCES) + 1):
        for k in range(-d, d + 1, 2):
            i = reach[k + 1] if k == -d or (k != d and reach[k - 1] < reach[k + 1]) else reach[k - 1] + 1
            while i < n and i - k < m and a[i] == b[i - k]:
                i += 1
            reach[k] = i
            if i >= n and i - k >= m:
                return _walk_back(history, n, m)
        history.append(array("i", [reach[k] for k in range(-d, d + 1, 2)]))
    return None


def _walk_back(history: list[array[int]], i: int, j: int) -> list[tuple[int, int]]:
    """The pairs on the path that ends at (i, j), from the reach after each number of differences."""
    pairs = []
    for d in range(len(history), -1, -1):
        k = i - j
        if d == 0:
            from_i = from_j = 0
        else:
            before = history[d - 1]

            def reached(diagonal: int, before: array[int] = before, d: int = d) -> int:
                return before[(diagonal + d - 1) // 2]

            down = k == -d or (k != d and reached(k - 1) < reached(k + 1))
            from_i = reached(k + 1) if down else reached(k - 1)
            from_j = from_i - (k + 1 if down else k - 1)
        start_i = from_i if d == 0 else (from_i if down else from_i + 1)
        while i > start_i:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        i, j = from_i, from_j
    return pairs[::-1]
