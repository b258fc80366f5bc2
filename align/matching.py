"""Match the words of an alignment with the words of the transcript.

Aligners change words: they lower the case, drop punctuation, split ``quick-brown``, write ``<unk>`` or ``[bracketed]``
for words they do not know. Words are therefore not paired by position alone: equal words are found first (Myers, "An
O(ND) Difference Algorithm and Its Variations", 1986), and only the words between them are paired by position.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from align.base import Failure, Reason
from align.formats.tracks import Interval
from speech2vec.corpus.transcripts import tokenize

# What aligners write for a word that they have no pronunciation for; the second kind may also be a noise.
UNKNOWN = frozenset({"<unk>", "[unk]", "unk", "<oov>", "spn", "<spn>", "<spoken_noise>"})
BRACKETED = frozenset({"[bracketed]"})

# With more differences than this, one list of words is not the transcript of the other.
MAX_DIFFERENCES = 2000

_tokens_of = lru_cache(maxsize=65536)(lambda label: tuple(tokenize(label)))


@dataclass
class Matching:
    """The words of a transcript with their times, and how the alignment differs from the transcript.

    Parameters
    ----------
    words : list of Interval
        In time order; labels are words of the transcript.
    respelled : list of (str, str)
        The aligner's spelling and the transcript's, of words at the same position.
    missing : list of str
        Words of the transcript without times.
    extra : list of str
        Words of the alignment that are not in the transcript.
    n_split : int
        Words of the transcript that the aligner split otherwise; their boundaries were placed by letters.
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
        """Summarise the differences in one line."""
        parts = [f"'{theirs}' for '{ours}'" for theirs, ours in self.respelled[:5]]
        if self.missing:
            parts.append(f"{len(self.missing)} missing: {' '.join(self.missing[:8])}")
        if self.extra:
            parts.append(f"{len(self.extra)} not in the transcript: {' '.join(self.extra[:8])}")
        return "; ".join(parts)


def match_words(intervals: Sequence[Interval], tokens: Sequence[str]) -> Matching | None:
    """Find the words of the transcript in an alignment.

    Parameters
    ----------
    intervals : sequence of Interval
        In time order, without silences.
    tokens : sequence of str
        The tokenised transcript.

    Returns
    -------
    Matching or None
        None if the two have more than `MAX_DIFFERENCES` differences.
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
    """Match words as `match_words` does; fail if too few were found.

    Parameters
    ----------
    utterance_id : str
    intervals, tokens : sequence
        See `match_words`.
    min_matched : float
        Share of the transcript that must be found, 0 to 1; one word must be found in any case.
    where : str
        Prefix of the failure's detail.
    """
    matching = match_words(intervals, tokens)
    if matching is not None and len(matching.words) >= max(1.0, min_matched * len(tokens)):
        return matching
    detail = matching.describe() if matching else "next to nothing in common"
    return Failure(utterance_id, Reason.WORDS_DIFFER, where + detail)


def _pieces(intervals: Sequence[Interval], result: Matching) -> Iterator[Interval]:
    """Yield one interval for each token; a label of several tokens is split in proportion to their letters."""
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
    """Return the part of an interval between two fractions of its length."""
    length = interval.end - interval.start
    start = interval.start + begin * length if begin else interval.start
    end = interval.start + finish * length if finish < 1.0 else interval.end
    return Interval(start, end, label, interval.score)


def _match_gap(pieces: Sequence[Interval], tokens: Sequence[str], result: Matching) -> None:
    """Pair the words between two words that are equal in both lists."""
    if len(pieces) != len(tokens):
        pieces = [piece for piece in pieces if piece.label not in BRACKETED]
    if len(pieces) == len(tokens):
        for piece, token in zip(pieces, tokens, strict=True):
            result.words.append(Interval(piece.start, piece.end, token, piece.score))
            if piece.label not in UNKNOWN | BRACKETED:
                result.respelled.append((piece.label, token))
    elif _letters(piece.label for piece in pieces) == _letters(tokens) != "":
        # The same letters with other word boundaries ("some one" and "someone"): place the boundaries by letters.
        result.words += _by_letters(pieces, tokens)
        result.n_split += len(tokens)
    else:
        result.extra += [piece.label for piece in pieces]
        result.missing += tokens


def _letters(words: Iterator[str] | Sequence[str]) -> str:
    return "".join(words).replace("'", "")


def _by_letters(pieces: Sequence[Interval], tokens: Sequence[str]) -> Iterator[Interval]:
    """Yield each token from the start of its first letter to the end of its last."""
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
    """Find a longest common subsequence of two lists of words.

    Returns
    -------
    list of (int, int) or None
        Pairs of positions; None if there are more than `MAX_DIFFERENCES` differences.

    Examples
    --------
    >>> common_words(["a", "b", "c"], ["a", "x", "c"])
    [(0, 0), (2, 2)]
    """
    n, m = len(a), len(b)
    if abs(n - m) > MAX_DIFFERENCES:
        return None
    # Not difflib: 4 to 300 times slower on 20 to 2,000 words, and quadratic where one word repeats.
    # reach[k] is how far into `a` d differences lead on diagonal k = i - j (Myers, figure 2).
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
    """Return the pairs on the path to (i, j), given the reach after each number of differences."""
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
