"""The instance-level measures of a run, each beside the controls that give it a meaning.

A representation is anything that turns rows of a store into vectors; every measure takes several and treats them
alike: the trained encoder, the same encoder untrained, the mean of the MFCC frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from speech2vec.average_precision import Precision
from speech2vec.console import Tracker
from speech2vec.discrimination import (
    MAX_INSTANCES,
    MIN_CHARACTERS,
    MIN_SECONDS,
    SameDifferent,
    same_different,
    same_different_from_distances,
    select_instances,
)
from speech2vec.dtw import dtw_distances
from speech2vec.errors import UserError
from speech2vec.estimates import Estimate
from speech2vec.held_out import split
from speech2vec.instances import TRAINED, UNTRAINED, Representation, at_most_each, representations
from speech2vec.loaded_run import LoadedRun
from speech2vec.seeds import WARPED_SAMPLE, generator
from speech2vec.store import Store
from speech2vec.variability import BINS, ProbeSplit, probe_speaker, probe_split, variability_by_frequency

WARPING = "DTW on MFCC"

# Where a word has more instances, its spread is measured on a sample of this many.
_INSTANCES_A_WORD = 1_000


@dataclass(frozen=True)
class Selection:
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
class SameDifferentPart:
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
            trained.all_pairs.less(untrained.all_pairs),
            trained.across_speakers.less(untrained.across_speakers),
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
    loaded: LoadedRun,
    selection: Selection | None = None,
    warped_instances: int = 300,
    seed: int = 0,
    quiet: bool = False,
) -> list[SameDifferentPart]:
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
    selection = selection or Selection()
    store, by_name = loaded.store, representations(loaded)
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
    name: str, store: Store, by_name: Mapping[str, Representation], rows: np.ndarray, seed: int
) -> SameDifferentPart:
    word_id, speaker = store.word_id[rows], store.speaker[rows]
    results = {key: same_different(encode(rows), word_id, speaker, seed) for key, encode in by_name.items()}
    return SameDifferentPart(name, len(np.unique(speaker)), results)


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
    store: Store, by_name: Mapping[str, Representation], rows: np.ndarray, seed: int, quiet: bool
) -> SameDifferentPart:
    part = _compare("a sample, with time warping", store, by_name, rows, seed)
    pairs = np.column_stack(np.triu_indices(len(rows), k=1))
    with Tracker("warping", len(pairs), "pairs", quiet) as tracker:
        distances = dtw_distances([store.segment(int(row)) for row in rows], pairs, tracker.advance)
    warped = same_different_from_distances(distances, store.word_id[rows], store.speaker[rows], seed)
    return SameDifferentPart(part.name, part.n_speakers, {**part.results, WARPING: warped})


def measure_variability(loaded: LoadedRun, seed: int = 0) -> dict[str, list[dict[str, Any]]]:
    """The variance study by frequency, for each representation: a list of bins.

    The mean MFCC is left out: the study is about the dimensions of learned vectors.

    Raises
    ------
    UserError
        No word is said often enough for the first bin.
    """
    store = loaded.store
    frequent = np.flatnonzero(store.counts[store.word_id] >= BINS[0][0])
    rows = at_most_each(store.word_id, frequent, _INSTANCES_A_WORD, seed)
    if len(rows) == 0:
        raise UserError(f"no word is said {BINS[0][0]} times or more: the variance study needs a larger corpus")
    by_name = representations(loaded)
    return {
        name: [
            one.to_json() for one in variability_by_frequency(by_name[name](rows), store.word_id[rows], store.counts)
        ]
        for name in (TRAINED, UNTRAINED)
    }


def measure_speaker(loaded: LoadedRun, seed: int = 0) -> dict[str, dict[str, Any]]:
    """How well a linear probe names the speaker from one word, for each representation, on the same split.

    Raises
    ------
    UserError
        Fewer than two speakers have two utterances and enough words.
    """
    store = loaded.store
    sides = probe_split(store.speaker, store.utterance, seed=seed)
    rows = np.concatenate([sides.train, sides.test])
    local = ProbeSplit(np.arange(len(sides.train)), np.arange(len(sides.train), len(rows)))
    return {
        name: probe_speaker(encode(rows), store.speaker[rows], store.utterance[rows], local, seed).to_json()
        for name, encode in representations(loaded).items()
    }


def format_same_different(parts: list[SameDifferentPart], selection: Selection, synthetic: bool) -> str:
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
            f"  {name:<24}{_figure(result.all_pairs):>28}{_figure(result.across_speakers):>28}"
            for name, result in part.results.items()
        ]
        gains = ("-" if gain is None else gain.text(4, signed=True) for gain in part.gains())
        lines.append("  {:<24}{:>28}{:>28}".format("trained less untrained", *gains))
        chances = (f"{p.chance:.4f}" if p.n_same else "-" for p in (first.all_pairs, first.across_speakers))
        lines.append("  {:<24}{:>28}{:>28}".format("chance", *chances))
    lines += ["", "[95 % bootstrap interval over words; none under ten words]"]
    return "\n".join(lines)


def _figure(precision: Precision) -> str:
    if not precision.n_same:
        return "-"
    shown = f"{precision.ap:.4f}"
    return f"{shown} [{precision.low:.4f}, {precision.high:.4f}]" if len(precision.drawn) else shown


def settings_json(loaded: LoadedRun, selection: Selection, seed: int) -> dict[str, Any]:
    """What a measure's file says about how it was made."""
    return {
        "run": str(loaded.path),
        "store": str(loaded.store.path),
        "synthetic": loaded.store.synthetic,
        "epoch": loaded.progress.get("epoch"),
        "selection": asdict(selection),
        "seed": seed,
    }
