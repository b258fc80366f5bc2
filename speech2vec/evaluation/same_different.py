"""Same-different word discrimination: do two instances of one word lie closer than instances of two words?

Every pair of instances is ranked by its similarity and the ranking is scored by its average precision, with the
pairs of one word as the relevant ones (Carlin et al. 2011, "Rapid evaluation of speech representations for spoken
term discovery"). No classifier is trained, so the measure tells about the representation alone.

The instance-level measures of a run, each beside the controls that give it a meaning.

A representation is anything that turns rows of a store into vectors; every measure takes several and treats them
alike: the trained encoder, the same encoder untrained, the mean of the MFCC frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from speech2vec.evaluation.average_precision import (
    Precision,
    average_precision,
    count_by_word,
    different_word_pairs,
    drawn_precisions,
    levels_of,
    precision_of_counts,
    same_word_pairs,
)
from speech2vec.evaluation.bootstrap import Estimate
from speech2vec.evaluation.dtw import dtw_distances
from speech2vec.features.store import Store
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import Tracker
from speech2vec.runtime.seeds import WARPED_SAMPLE, generator
from speech2vec.training.run import Run
from speech2vec.training.sampler import split
from speech2vec.vectors.instances import TRAINED, UNTRAINED, InstanceEncoder, encoders_of
from speech2vec.vectors.word_vectors import unit_length

# As in the studies that follow Carlin et al. (Kamper et al. 2016, for one): short words are too easily confused.
MIN_CHARACTERS = 5


MIN_SECONDS = 0.5


MAX_INSTANCES = 10_000


@dataclass(frozen=True)
class SameDifferent:
    """Average precision of telling pairs of one word from pairs of two.

    Parameters
    ----------
    n_instances : int
    all_pairs : Precision
        Over all pairs of instances.
    across_speakers : Precision
        Over the pairs of two speakers only, same and different word alike.
    """

    n_instances: int
    all_pairs: Precision
    across_speakers: Precision

    def to_json(self) -> dict[str, Any]:
        """As JSON takes it: None for NaN."""
        row: dict[str, Any] = {"n_instances": self.n_instances}
        for over, precision in (("", self.all_pairs), ("_cross_speaker", self.across_speakers)):
            for name in ("ap", "low", "high", "n_same", "n_different", "chance"):
                row[f"{name}{over}"] = getattr(precision, name)
        return {key: None if value != value else value for key, value in row.items()}


def select_instances(
    types: Sequence[str],
    word_id: np.ndarray,
    seconds: np.ndarray,
    min_characters: int = MIN_CHARACTERS,
    min_seconds: float = MIN_SECONDS,
    max_instances: int | None = MAX_INSTANCES,
    seed: int = 0,
) -> np.ndarray:
    """The instances that are compared: long words that are said at least twice, at most `max_instances` of them.

    Parameters
    ----------
    types : sequence of str
        The vocabulary.
    word_id : ndarray [shape=(n_words,)], int
        Each instance's index in `types`.
    seconds : ndarray [shape=(n_words,)]
        Each instance's duration.
    min_characters : int
        Letters of the spelling, apostrophes not counted.
    min_seconds : float, seconds
    max_instances : int or None
        A seeded random sample is drawn where there are more.

    Returns
    -------
    ndarray [shape=(n_instances,)], int64
        Indices of instances, ascending.
    """
    word_id, seconds = np.asarray(word_id), np.asarray(seconds)
    long_enough = np.array([len(word.replace("'", "")) >= min_characters for word in types], dtype=bool)
    # Word times are multiples of a hop: a word of exactly 0.5 s must not be lost to 0.49999999.
    candidates = np.flatnonzero(long_enough[word_id] & (seconds >= min_seconds - 1e-6))
    counts = np.bincount(word_id[candidates], minlength=len(types))
    candidates = candidates[counts[word_id[candidates]] >= 2]
    if max_instances is not None and len(candidates) > max_instances:
        candidates = np.sort(generator(seed).choice(candidates, max_instances, replace=False))
    return candidates.astype(np.int64)


def same_different(vectors: np.ndarray, word_id: np.ndarray, speaker: np.ndarray, seed: int = 0) -> SameDifferent:
    """Same-different average precision by cosine over all pairs of instances.

    Memory stays at some two hundred megabytes, whatever the number of instances.

    Parameters
    ----------
    vectors : ndarray [shape=(n_instances, vector_size)]
    word_id : ndarray [shape=(n_instances,)], int
    speaker : ndarray [shape=(n_instances,)], int
    seed : int
        Of the interval.

    Raises
    ------
    ValueError
        The numbers of vectors, words and speakers differ.
    UserError
        No two instances are of one word, or all are: nothing can be told apart. Or a vector is not a finite number.

    Examples
    --------
    >>> vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    >>> same_different(vectors, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])).all_pairs.ap
    1.0
    """
    vectors, word_id, speaker = np.asarray(vectors), np.asarray(word_id), np.asarray(speaker)
    if not len(vectors) == len(word_id) == len(speaker):
        raise ValueError(f"{len(vectors)} vectors, {len(word_id)} words and {len(speaker)} speakers differ in number")
    if not np.isfinite(vectors).all():
        raise UserError("some instances' vectors are not finite numbers: the model they come from has diverged")
    # By word, so that the pairs of one word are blocks on the diagonal.
    order = np.argsort(word_id, kind="stable")
    unit, speaker = vectors[order].astype(np.float64), speaker[order]
    unit_length(unit)
    types, starts, word = np.unique(word_id[order], return_index=True, return_inverse=True)
    if len(types) in (0, 1, len(unit)):
        raise UserError(
            f"same-different needs words that are said at least twice, and at least two words; "
            f"here {len(unit)} instances are of {len(types)} words"
        )
    same = same_word_pairs(unit, speaker, starts)
    thresholds, at_threshold = np.unique(same.similarity, return_inverse=True)
    levels = levels_of(same.similarity)
    level = np.searchsorted(levels, same.similarity, side="right")
    different, one_speaker = different_word_pairs(unit, word, speaker, starts, thresholds, levels)

    def precision(chosen: np.ndarray, above: np.ndarray, by_word: np.ndarray, n_different: int) -> Precision:
        ap = precision_of_counts(np.bincount(at_threshold[chosen], minlength=len(thresholds)), above)
        of_one = count_by_word(same.word[chosen], level[chosen], len(types), len(levels))
        return Precision(ap, int(chosen.sum()), n_different, drawn_precisions(ap, of_one, by_word, seed))

    return SameDifferent(
        n_instances=len(unit),
        all_pairs=precision(np.ones_like(same.is_cross), different.above, different.by_word, different.n),
        across_speakers=precision(
            same.is_cross,
            different.above - one_speaker.above,
            different.by_word - one_speaker.by_word,
            different.n - one_speaker.n,
        ),
    )


def same_different_from_distances(
    distances: np.ndarray, word_id: np.ndarray, speaker: np.ndarray, seed: int = 0
) -> SameDifferent:
    """The same measure from distances computed elsewhere (dynamic time warping).

    Parameters
    ----------
    distances : ndarray [shape=(n_instances * (n_instances - 1) / 2,)]
        Of the pairs in the order of ``numpy.triu_indices(n_instances, 1)``.
    word_id, speaker : ndarray [shape=(n_instances,)], int
    seed : int
        Of the interval.

    Raises
    ------
    UserError
        No two instances are of one word, or all are.
    """
    rows, columns = np.triu_indices(len(word_id), k=1)
    same, cross = word_id[rows] == word_id[columns], speaker[rows] != speaker[columns]
    if not same.any() or same.all():
        raise UserError("same-different needs words that are said at least twice, and at least two words")
    similarity = -np.asarray(distances)
    types, word = np.unique(word_id, return_inverse=True)
    levels = levels_of(similarity[same])
    level = np.searchsorted(levels, similarity, side="right")

    def precision(chosen: np.ndarray) -> Precision:
        ap = average_precision(similarity[chosen], same[chosen])
        first, second, other = chosen & same, chosen & ~same, (len(types), len(levels))
        of_two = [count_by_word(word[of][second], level[second], *other) for of in (rows, columns)]
        of_one = count_by_word(word[rows][first], level[first], *other)
        drawn = drawn_precisions(ap, of_one, of_two[0] + of_two[1], seed)
        return Precision(ap, int(first.sum()), int(second.sum()), drawn)

    return SameDifferent(len(word_id), precision(np.ones_like(cross)), precision(cross))


WARPING = "DTW on MFCC"


@dataclass(frozen=True)
class InstanceFilter:
    """Which instances same-different compares; see `discrimination.select_instances`."""

    min_characters: int = MIN_CHARACTERS
    min_seconds: float = MIN_SECONDS
    max_instances: int = MAX_INSTANCES

    def of(self, store: Store, rows: np.ndarray, seed: int) -> np.ndarray:
        """The chosen ones among some rows of a store."""
        seconds = store.end[rows] - store.start[rows]
        chosen = select_instances(
            store.types,
            store.word_id[rows],
            seconds,
            self.min_characters,
            self.min_seconds,
            self.max_instances,
            seed,
        )
        return rows[chosen]

    def __str__(self) -> str:
        return f"words of {self.min_characters} letters and {self.min_seconds:g} s or more, said at least twice"


@dataclass(frozen=True)
class SameDifferentResult:
    """Representations compared on the same instances.

    Parameters
    ----------
    name : str
    n_speakers : int
    results : mapping
        Representation -> `SameDifferent`.
    """

    name: str
    n_speakers: int
    results: Mapping[str, SameDifferent]

    def gains(self) -> tuple[Estimate | None, Estimate | None]:
        """Trained less untrained, over all pairs and across speakers; None without an interval."""
        trained, untrained = self.results[TRAINED], self.results[UNTRAINED]
        return (
            trained.all_pairs.difference(untrained.all_pairs),
            trained.across_speakers.difference(untrained.across_speakers),
        )

    def to_json(self) -> dict[str, Any]:
        results = {name: result.to_json() for name, result in self.results.items()}
        all_pairs, across = (None if gain is None else asdict(gain) for gain in self.gains())
        return {
            "name": self.name,
            "n_speakers": self.n_speakers,
            "results": results,
            "trained_less_untrained": all_pairs,
            "trained_less_untrained_cross_speaker": across,
        }


def measure_same_different(
    loaded: Run,
    selection: InstanceFilter | None = None,
    warped_instances: int = 300,
    seed: int = 0,
    quiet: bool = False,
) -> list[SameDifferentResult]:
    """Same-different average precision on all speakers, on the held-out ones, and on a sample against warping.

    Parameters
    ----------
    loaded : LoadedRun
    selection : Selection or None
        None is the default one.
    warped_instances : int
        Instances in the sample on which dynamic time warping is the further baseline; 0 leaves it out.
    seed : int
    quiet : bool

    Returns
    -------
    list of SameDifferentPart
        The first is on all speakers; the held-out part is absent where it holds too few words to tell apart.

    Raises
    ------
    UserError
        Too few words are selected.
    """
    selection = selection or InstanceFilter()
    store, by_name = loaded.store, encoders_of(loaded)
    everyone = selection.of(store, np.arange(store.n_words), seed)
    try:
        parts = [_compare("all speakers", store, by_name, everyone, seed)]
    except UserError as error:
        raise UserError(f"{error} ({selection}); smaller --min-characters and --min-seconds take more words") from error
    held_out = split(store, loaded.settings.data.held_out, loaded.settings.seed)
    chosen = selection.of(store, held_out.held_out, seed)
    if len(np.unique(store.word_id[chosen])) > 1:
        parts.append(_compare(f"held-out {held_out.by}", store, by_name, chosen, seed))
    if warped_instances:
        sample = sample_whole_words(store.word_id[everyone], warped_instances, seed)
        parts.append(_compare_with_warping(store, by_name, everyone[sample], seed, quiet))
    return parts


def _compare(
    name: str, store: Store, by_name: Mapping[str, InstanceEncoder], rows: np.ndarray, seed: int
) -> SameDifferentResult:
    word_id, speaker = store.word_id[rows], store.speaker[rows]
    results = {key: same_different(encode(rows), word_id, speaker, seed) for key, encode in by_name.items()}
    return SameDifferentResult(name, len(np.unique(speaker)), results)


def sample_whole_words(word_id: np.ndarray, max_instances: int, seed: int) -> np.ndarray:
    """A sample that keeps words whole, so that it has same-word pairs to find: word after word in seeded order.

    Parameters
    ----------
    word_id : ndarray [shape=(n_instances,)], int
    max_instances : int
        A tenth of it at most is of one word.

    Returns
    -------
    ndarray [shape=(n_chosen,)], int64
        Ascending positions.
    """
    draw = generator(seed, WARPED_SAMPLE)
    most = max(2, max_instances // 10)
    chosen: list[np.ndarray] = []
    left = max_instances
    for word in draw.permutation(np.unique(word_id)):
        if left < 2:
            break
        rows = draw.permutation(np.flatnonzero(word_id == word))[: min(most, left)]
        chosen.append(rows)
        left -= len(rows)
    return np.sort(np.concatenate(chosen))


def _compare_with_warping(
    store: Store, by_name: Mapping[str, InstanceEncoder], rows: np.ndarray, seed: int, quiet: bool
) -> SameDifferentResult:
    part = _compare("a sample, with time warping", store, by_name, rows, seed)
    pairs = np.column_stack(np.triu_indices(len(rows), k=1))
    with Tracker("warping", len(pairs), "pairs", quiet) as tracker:
        distances = dtw_distances([store.segment(int(row)) for row in rows], pairs, tracker.advance)
    warped = same_different_from_distances(distances, store.word_id[rows], store.speaker[rows], seed)
    return SameDifferentResult(part.name, part.n_speakers, {**part.results, WARPING: warped})


def format_same_different(parts: list[SameDifferentResult], selection: InstanceFilter, synthetic: bool) -> str:
    """The measure as a table for the terminal."""
    lines = [f"same-different average precision{' on SYNTHETIC speech' if synthetic else ''} ({selection})"]
    for part in parts:
        first = next(iter(part.results.values()))
        lines += [
            "",
            f"{part.name}: {first.n_instances:,} instances of {part.n_speakers} speaker(s), "
            f"{first.all_pairs.n_same:,} same and {first.all_pairs.n_different:,} different pairs",
            f"  {'':<24}{'all pairs':>28}{'across speakers':>28}",
        ]
        lines += [
            f"  {name:<24}{_precision_text(result.all_pairs):>28}{_precision_text(result.across_speakers):>28}"
            for name, result in part.results.items()
        ]
        gains = ("-" if gain is None else gain.text(4, signed=True) for gain in part.gains())
        lines.append("  {:<24}{:>28}{:>28}".format("trained less untrained", *gains))
        chances = (f"{p.chance:.4f}" if p.n_same else "-" for p in (first.all_pairs, first.across_speakers))
        lines.append("  {:<24}{:>28}{:>28}".format("chance", *chances))
    lines += ["", "[95 % bootstrap interval over words; none under ten words]"]
    return "\n".join(lines)


def _precision_text(precision: Precision) -> str:
    if not precision.n_same:
        return "-"
    shown = f"{precision.ap:.4f}"
    return f"{shown} [{precision.low:.4f}, {precision.high:.4f}]" if len(precision.drawn) else shown


def settings_json(loaded: Run, selection: InstanceFilter, seed: int) -> dict[str, Any]:
    """What a measure's file says about how it was made."""
    return {
        "run": str(loaded.path),
        "store": str(loaded.store.path),
        "synthetic": loaded.store.synthetic,
        "epoch": loaded.progress.get("epoch"),
        "selection": asdict(selection),
        "seed": seed,
    }
