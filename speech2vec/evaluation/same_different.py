"""Same-different word discrimination: are two instances of one word closer than instances of two words?

Every pair of instances is ranked by similarity, and the ranking is scored by its average precision with the pairs of
one word as the relevant ones (Carlin et al. 2011, "Rapid evaluation of speech representations for spoken term
discovery"). No classifier is trained, so the measure is about the vectors alone.

A run's trained encoder is compared with its controls on the same instances: the encoder untrained; resampled frames,
which need no training; the mean frame, the floor; and, on a sample, dynamic time warping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from speech2vec.evaluation.average_precision import (
    PairPrecision,
    Precision,
    precision_of_distances,
    precision_of_vectors,
)
from speech2vec.evaluation.bootstrap import Estimate
from speech2vec.evaluation.dtw import dtw_distances, sample_whole_words
from speech2vec.features.store import Store
from speech2vec.runtime.display import Displayed, Table
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import track
from speech2vec.runtime.seeds import generator
from speech2vec.training.methods.method import NO_LABELS
from speech2vec.training.run import LAST, Run
from speech2vec.vectors.instances import RESAMPLED, TRAINED, UNTRAINED, InstanceEncoder, encoders_of, open_run

DTW = "DTW on frames"
_LEAST_WARPED = 4  # instances: two of each of two words


@dataclass(frozen=True)
class InstanceFilter:
    """Which instances are compared: long words with at least two long instances.

    Parameters
    ----------
    min_characters : int
        Letters of the spelling, apostrophes not counted. Five, as in the studies that follow Carlin et al. (Kamper et
        al. 2016, for one): short words are too easily confused.
    min_seconds : float, seconds
        Shorter instances are left out.
    max_instances : int
        Subsample (seeded) above this many.
    """

    min_characters: int = 5
    min_seconds: float = 0.5
    max_instances: int = 10_000

    def select(self, types: Sequence[str], word_id: np.ndarray, seconds: np.ndarray, seed: int = 0) -> np.ndarray:
        """Indices of the chosen instances [shape=(n_chosen,)], int64, ascending.

        Parameters
        ----------
        types : sequence of str
            The vocabulary.
        word_id : ndarray [shape=(n_instances,)], int
            Index of each instance's word in `types`.
        seconds : ndarray [shape=(n_instances,)]
            Duration of each instance.
        seed : int
        """
        long_enough = np.array([len(word.replace("'", "")) >= self.min_characters for word in types], dtype=bool)
        # Word times are multiples of a hop: a word of exactly 0.5 s must not be lost to 0.49999999.
        candidates = np.flatnonzero(long_enough[word_id] & (seconds >= self.min_seconds - 1e-6))
        counts = np.bincount(word_id[candidates], minlength=len(types))
        candidates = candidates[counts[word_id[candidates]] >= 2]
        if len(candidates) > self.max_instances:
            candidates = np.sort(generator(seed).choice(candidates, self.max_instances, replace=False))
        return candidates.astype(np.int64)

    def select_rows(self, store: Store, rows: np.ndarray, seed: int = 0) -> np.ndarray:
        """The chosen ones among some rows of a store."""
        return rows[self.select(store.types, store.word_id[rows], store.end[rows] - store.start[rows], seed)]

    def __str__(self) -> str:
        return f"words of {self.min_characters} letters and {self.min_seconds:g} s or more, with two instances or more"


@dataclass(frozen=True)
class Comparison:
    """Encoders compared on the same instances.

    Parameters
    ----------
    name : str
        Which instances.
    n_speakers : int
    results : mapping of str to PairPrecision
        By encoder.
    held_out : bool
        Whether these are the instances that training did not hear.
    """

    name: str
    n_speakers: int
    results: Mapping[str, PairPrecision]
    held_out: bool = False

    def gains(self, control: str = UNTRAINED) -> tuple[Estimate | None, Estimate | None]:
        """Trained minus a control, over all pairs and across speakers; None without an interval."""
        trained, other = self.results[TRAINED], self.results[control]
        return (
            trained.all_pairs.difference(other.all_pairs),
            trained.across_speakers.difference(other.across_speakers),
        )

    def worth(self) -> str:
        """Whether training was worth it, in a sentence: trained minus what needs no training, by its interval."""
        trained, resampled = self.results[TRAINED], self.results[RESAMPLED]
        over = [(trained.all_pairs, resampled.all_pairs, "")]
        if trained.across_speakers.n_same:
            over.append((trained.across_speakers, resampled.across_speakers, " across speakers"))
        gains = [ours.difference(theirs) for ours, theirs, _ in over]
        shown = [
            f"{ours.ap:.4f} trained, {theirs.ap:.4f} resampled{where}"
            + ("" if gain is None else f" ({gain.text(4, signed=True)})")
            for (ours, theirs, where), gain in zip(over, gains, strict=True)
        ]
        return (
            f"{_worth(gains)}: average precision {'; '.join(shown)}. Resampled frames need no training and no labels."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        gains = {}
        for control in (UNTRAINED, RESAMPLED):
            for suffix, gain in zip(("", "_cross_speaker"), self.gains(control), strict=True):
                gains[f"trained_less_{control}{suffix}"] = None if gain is None else asdict(gain)
        return {
            "name": self.name,
            "n_speakers": self.n_speakers,
            "results": {name: result.to_dict() for name, result in self.results.items()},
            **gains,
        }

    def table(self) -> Table:
        """Average precision of each encoder, what training gains over controls, and chance."""
        first = next(iter(self.results.values()))
        rows = [["", "all pairs", "across speakers"]]
        for name, result in self.results.items():
            rows.append([name, _text(result.all_pairs), _text(result.across_speakers)])
        for control in (UNTRAINED, RESAMPLED):
            gains = ["-" if gain is None else gain.text(4, signed=True) for gain in self.gains(control)]
            rows.append([f"trained minus {control}", *gains])
        over = (first.all_pairs, first.across_speakers)
        rows.append(["chance", *(f"{precision.chance:.4f}" if precision.n_same else "-" for precision in over)])
        title = (
            f"{self.name}: {first.n_instances:,} instances of {self.n_speakers} speaker(s), "
            f"{first.all_pairs.n_same:,} same and {first.all_pairs.n_different:,} different pairs"
        )
        return Table(rows, title, widths=(24, 26, 26), indent="  ")


def _worth(gains: Sequence[Estimate | None]) -> str:
    """What the intervals of the gains say, all of them together."""
    known = [gain for gain in gains if gain is not None]
    if not known:
        return "So few words cannot show whether training was worth it"
    if all(gain.low > 0 for gain in known):
        return "Training was worth it"
    if all(gain.high < 0 for gain in known):
        return "Training was not worth it"
    return "It is not clear that training was worth it"


def _text(precision: Precision) -> str:
    if not precision.n_same:
        return "-"
    shown = f"{precision.ap:.4f}"
    return f"{shown} [{precision.low:.4f}, {precision.high:.4f}]" if len(precision.drawn) else shown


NO_VERDICT = "Whether training was worth it cannot be told: it knew words by name"


@dataclass(frozen=True)
class SameDifferentResult(Displayed):
    """Same-different average precision of a run.

    Parameters
    ----------
    run, store : Path
    synthetic : bool
        Whether the speech is synthetic.
    epoch : int or None
        Of the checkpoint.
    selection : InstanceFilter
    seed : int
    parts : list of Comparison
        On all speakers; on the held-out ones, if they have enough words; on a sample with DTW, if asked for.
    labels : str
        What beside sound and word boundaries training used (`Run.labels`).
    """

    run: Path
    store: Path
    synthetic: bool
    epoch: int | None
    selection: InstanceFilter
    seed: int
    parts: list[Comparison]
    labels: str = NO_LABELS

    @cached_property
    def held_out(self) -> Comparison | None:
        """The comparison on held-out instances; None if they have too few words, or the store is not the run's own."""
        return next((part for part in self.parts if part.held_out), None)

    @property
    def basis(self) -> Comparison | None:
        """The comparison that a verdict may rest on: where training knew words by name, that on held-out instances.

        None: there is no such comparison, hence no verdict.
        """
        return self.parts[0] if self.labels == NO_LABELS else self.held_out

    @property
    def verdict(self) -> str:
        """Whether training was worth it, in a sentence, and on which instances; or why that cannot be told."""
        if self.basis is None:
            return f"{NO_VERDICT} (labels used: {self.labels}), and too few words are held out."
        on = "" if self.basis is self.parts[0] else f"On {self.basis.name}: "
        return on + self.basis.worth()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "run": str(self.run),
            "store": str(self.store),
            "synthetic": self.synthetic,
            "epoch": self.epoch,
            "labels": self.labels,
            "selection": asdict(self.selection),
            "seed": self.seed,
            "parts": [part.to_dict() for part in self.parts],
        }

    def display_parts(self) -> list[str | Table]:
        """A table for each set of instances."""
        return [
            f"same-different average precision{' on SYNTHETIC speech' if self.synthetic else ''} ({self.selection})",
            *(part.table() for part in self.parts),
            self.verdict,
            "[95 % bootstrap interval over words; none under ten words]",
        ]


def same_different(
    run: Run | str | Path,
    *,
    store: str | Path | None = None,
    checkpoint: str = LAST,
    selection: InstanceFilter | None = None,
    dtw_instances: int = 300,
    seed: int = 0,
    device: str = "auto",
    quiet: bool = False,
    encoders: Mapping[str, InstanceEncoder] | None = None,
) -> SameDifferentResult:
    """Measure a run's same-different average precision beside its controls.

    Parameters
    ----------
    run : Run or path
    store, checkpoint, device
        How to open the run, if it is a path (see `Run.load`).
    selection : InstanceFilter or None
        Which instances are compared.
    dtw_instances : int
        Instances of the sample on which dynamic time warping is a further control, 4 or more; 0 disables it.
    seed : int
    quiet : bool
        No progress.
    encoders : mapping or None
        Those of the run, if they are built already (see `encoders_of`).

    Raises
    ------
    UserError
        The run cannot be opened, too few words are selected, or `dtw_instances` is under 4 and not 0.
    """
    if dtw_instances and dtw_instances < _LEAST_WARPED:
        raise UserError(
            f"dynamic time warping (dtw_instances, --dtw) compares {_LEAST_WARPED} instances or more, not "
            f"{dtw_instances}; 0 leaves it out"
        )
    run = open_run(run, store, device=device, checkpoint=checkpoint)
    encoders, selection = encoders or encoders_of(run), selection or InstanceFilter()
    everyone = selection.select_rows(run.store, np.arange(run.store.n_words), seed)
    try:
        parts = [_compare("all speakers", run.store, encoders, everyone, seed)]
    except UserError as error:
        raise UserError(f"{error} ({selection}); lower --min-characters and --min-seconds to keep more") from error
    if run.split is not None:
        chosen = selection.select_rows(run.store, run.split.held_out, seed)
        if len(np.unique(run.store.word_id[chosen])) > 1:
            held_out = _compare(f"held-out {run.split.by}", run.store, encoders, chosen, seed)
            parts.append(replace(held_out, held_out=True))
    if dtw_instances:
        sample = sample_whole_words(run.store.word_id[everyone], dtw_instances, seed)
        parts.append(_compare_with_dtw(run.store, encoders, everyone[sample], seed, quiet))
    epoch: Any = run.progress.get("epoch")
    origin = run.path, run.store.path, run.store.synthetic
    return SameDifferentResult(*origin, epoch, selection, seed, parts, run.labels)


def _compare(
    name: str, store: Store, encoders: Mapping[str, InstanceEncoder], rows: np.ndarray, seed: int
) -> Comparison:
    word_id, speaker = store.word_id[rows], store.speaker[rows]
    results = {key: precision_of_vectors(encode(rows), word_id, speaker, seed) for key, encode in encoders.items()}
    return Comparison(name, len(np.unique(speaker)), results)


def _compare_with_dtw(
    store: Store, encoders: Mapping[str, InstanceEncoder], rows: np.ndarray, seed: int, quiet: bool
) -> Comparison:
    part = _compare("a sample, with time warping", store, encoders, rows, seed)
    n_pairs = len(rows) * (len(rows) - 1) // 2
    pairs = track(combinations(range(len(rows)), 2), "warping", n_pairs, "pairs", quiet)
    distances = dtw_distances([store.segment(int(row)) for row in rows], pairs)
    warped = precision_of_distances(distances, store.word_id[rows], store.speaker[rows], seed)
    return Comparison(part.name, part.n_speakers, {**part.results, DTW: warped})
