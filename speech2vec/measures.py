"""The instance-level measures of a run, each beside the controls that give it a meaning.

A representation is anything that turns rows of a store into vectors; every measure takes several and treats them
alike: the trained encoder, the same encoder untrained, the mean of the MFCC frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from speech2vec.console import Tracker, log
from speech2vec.discrimination import (
    MAX_INSTANCES,
    MIN_CHARACTERS,
    MIN_SECONDS,
    SameDifferent,
    mean_frames,
    same_different,
    same_different_from_distances,
    select_instances,
)
from speech2vec.dtw import dtw_distances
from speech2vec.encoding import LoadedRun, encode_instances
from speech2vec.errors import UserError
from speech2vec.held_out import split
from speech2vec.homophones import MAX_INSTANCES_A_WORD
from speech2vec.model import seeded_model
from speech2vec.runs import generator
from speech2vec.store import Store
from speech2vec.variability import BINS, probe_speaker, probe_split, variability_by_frequency
from speech2vec.vectors import WordVectors

Representation = Callable[[np.ndarray], np.ndarray]

TRAINED, UNTRAINED, MEAN_MFCC, WARPING = "trained", "untrained", "mean MFCC", "DTW on MFCC"

# Where a word has more instances, its spread is measured on a sample of this many.
_INSTANCES_A_WORD = 1_000


def representations(loaded: LoadedRun) -> dict[str, Representation]:
    """The run's encoder and its two controls: each takes rows of the store and gives their vectors."""
    store, device = loaded.store, next(loaded.model.parameters()).device
    untrained = seeded_model(store.n_mfcc, loaded.settings.model, loaded.settings.seed).to(device).eval()
    return {
        TRAINED: lambda rows: encode_instances(loaded.model, store, rows, device),
        UNTRAINED: lambda rows: encode_instances(untrained, store, rows, device),
        MEAN_MFCC: lambda rows: mean_frames(store.frames, store.first_frame[rows], store.n_frames[rows]),
    }


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

    def to_json(self) -> dict[str, Any]:
        results = {name: result.to_json() for name, result in self.results.items()}
        return {"name": self.name, "n_speakers": self.n_speakers, "results": results}


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
        parts = [_compare("all speakers", store, by_name, everyone)]
    except UserError as error:
        raise UserError(f"{error} ({selection}); smaller --min-characters and --min-seconds take more words") from error
    held_out = split(store, loaded.settings.data.held_out, loaded.settings.seed)
    chosen = selection.of(store, held_out.held_out, seed)
    if len(np.unique(store.word_id[chosen])) > 1:
        parts.append(_compare(f"held-out {held_out.by}", store, by_name, chosen))
    if warped_instances:
        sample = sample_whole_words(store.word_id[everyone], warped_instances, seed)
        parts.append(_compare_with_warping(store, by_name, everyone[sample], quiet))
    return parts


def _compare(name: str, store: Store, by_name: Mapping[str, Representation], rows: np.ndarray) -> SameDifferentPart:
    word_id, speaker = store.word_id[rows], store.speaker[rows]
    results = {key: same_different(encode(rows), word_id, speaker, None) for key, encode in by_name.items()}
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
    draw = generator(seed, 5)
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
    store: Store, by_name: Mapping[str, Representation], rows: np.ndarray, quiet: bool
) -> SameDifferentPart:
    part = _compare("a sample, with time warping", store, by_name, rows)
    pairs = np.column_stack(np.triu_indices(len(rows), k=1))
    with Tracker("warping", len(pairs), "pairs", quiet) as tracker:
        distances = dtw_distances([store.segment(int(row)) for row in rows], pairs, tracker.advance)
    warped = same_different_from_distances(distances, store.word_id[rows], store.speaker[rows])
    return SameDifferentPart(part.name, part.n_speakers, {**part.results, WARPING: warped})


def measure_variability(loaded: LoadedRun, seed: int = 0) -> dict[str, list[dict[str, Any]]]:
    """The variance study by frequency, for each representation: a list of bins.

    The mean MFCC is left out: the study is about the dimensions of learned vectors.
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


def at_most_each(word_id: np.ndarray, rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most `most` seeded random rows of each word, ascending."""
    shuffled = generator(seed, 6).permutation(rows)
    by_word = shuffled[np.argsort(word_id[shuffled], kind="stable")]
    words = word_id[by_word]
    first = np.searchsorted(words, words)
    return np.sort(by_word[np.arange(len(words)) - first < most])


def measure_speaker(loaded: LoadedRun, seed: int = 0) -> dict[str, dict[str, Any]]:
    """How well a linear probe names the speaker from one word, for each representation, on the same split."""
    store = loaded.store
    sides = probe_split(store.speaker, store.utterance, seed=seed)
    rows = np.concatenate([sides.train, sides.test])
    local = type(sides)(np.arange(len(sides.train)), np.arange(len(sides.train), len(rows)))
    return {
        name: probe_speaker(encode(rows), store.speaker[rows], store.utterance[rows], local, seed).to_json()
        for name, encode in representations(loaded).items()
    }


def with_counts(words: WordVectors, store: Store) -> WordVectors:
    """The vectors of the words that a store holds, with its counts, most frequent first.

    Raises
    ------
    UserError
        The store holds none of them.
    """
    counts = dict(zip(store.types, store.counts.tolist(), strict=True))
    known = [row for row, word in enumerate(words.words) if word in counts]
    if not known:
        raise UserError(f"none of the {len(words):,} words is in the store {store.path}: is it another run's?")
    if len(known) < len(words):
        log.warning("%d words are not in the store %s and take no part", len(words) - len(known), store.path)
    known.sort(key=lambda row: -counts[words.words[row]])
    spelled = [words.words[row] for row in known]
    return WordVectors(spelled, words.vectors[known], np.array([counts[word] for word in spelled]))


def instances_by_row(loaded: LoadedRun, words: WordVectors, rows: np.ndarray, seed: int = 0) -> dict[int, np.ndarray]:
    """The vectors of the instances of some words, a seeded sample of the most frequent words'.

    Parameters
    ----------
    loaded : LoadedRun
    words : WordVectors
        Of words that the run's store holds.
    rows : ndarray [shape=(n,)], int
        Rows of `words`.

    Returns
    -------
    dict of int to ndarray [shape=(n_instances, vector_size)]
    """
    store = loaded.store
    type_of = {word: number for number, word in enumerate(store.types)}
    row_of = np.full(len(store.types), -1)
    row_of[[type_of[words.words[row]] for row in rows]] = rows
    chosen = at_most_each(store.word_id, np.flatnonzero(row_of[store.word_id] >= 0), MAX_INSTANCES_A_WORD, seed)
    encoded = encode_instances(loaded.model, store, chosen, next(loaded.model.parameters()).device)
    row = row_of[store.word_id[chosen]]
    order = np.argsort(row, kind="stable")
    found, first = np.unique(row[order], return_index=True)
    return dict(zip(found.tolist(), np.split(encoded[order], first[1:]), strict=True))


def format_same_different(parts: list[SameDifferentPart], selection: Selection, synthetic: bool) -> str:
    """The measure as a table for the terminal."""
    lines = [f"same-different average precision{' on SYNTHETIC speech' if synthetic else ''} ({selection})"]
    for part in parts:
        first = next(iter(part.results.values()))
        lines += [
            "",
            f"{part.name}: {first.n_instances:,} instances of {part.n_speakers} speaker(s), "
            f"{first.n_same:,} same and {first.n_different:,} different pairs",
            f"  {'':<14}{'all pairs':>10}{'across speakers':>18}",
        ]
        lines += [
            f"  {name:<14}{_figure(result.ap):>10}{_figure(result.ap_cross_speaker):>18}"
            for name, result in part.results.items()
        ]
        lines.append(f"  {'chance':<14}{_figure(first.chance):>10}{_figure(first.chance_cross_speaker):>18}")
    return "\n".join(lines)


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


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
