"""The homophone check: do vectors that should come from sound treat equal sounds as equal?

To an encoder that hears nothing but the word, two homophones (ate, eight) are one word. So they must be as close as two
halves of the SAME word's instances, and far closer than random pairs; vectors that know the spelling (text) fail both.
A rare word is often said by few voices: two halves of its instances then share what these voices have in common, and
means of its instances keep more of each. So means are compared with means of equally many instances of equally many
OTHER voices throughout. Words of which one is pronounced in other ways, too (to, two), are no homophones.
The argument is that of arXiv 2209.10791 (ICASSP 2023), measured here against its controls.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from gensim.models import KeyedVectors

from speech2vec.corpus.pronunciations import all_pronunciations, first_pronunciations, homophone_groups
from speech2vec.evaluation.benchmarks import read_benchmarks
from speech2vec.evaluation.bootstrap import Estimate, decimals_needed
from speech2vec.evaluation.matched_pairs import (
    MIN_COUNT,
    Pairs,
    instance_cosines,
    match_pairs,
    pair_cosines,
    usable_rows,
)
from speech2vec.evaluation.near_homophones import NearHomophones, near_homophones
from speech2vec.runtime.display import Displayed, Table
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import log
from speech2vec.training.run import LAST, Run
from speech2vec.vectors.instances import Instances, instances_by_row, open_run, with_counts
from speech2vec.vectors.word_vectors import WordVectors, as_word_vectors

MIN_PAIRS = 10  # fewer pairs give no verdict
SOUND_AUC = 0.8  # homophones are nearly always closer than matched random pairs if vectors come from sound


def homophone_pairs(
    vectors: WordVectors, pronunciations: Mapping[str, Hashable], min_count: int = MIN_COUNT, seed: int = 0
) -> Pairs:
    """All pairs of homophones among the vectors' words, matched with random pairs.

    Parameters
    ----------
    vectors : WordVectors
    pronunciations : mapping
        Words are homophones if these are equal (see `all_pronunciations`).
    min_count, seed : int

    Raises
    ------
    UserError
        There is no such pair.
    """
    usable = usable_rows(vectors, pronunciations, min_count)
    groups = homophone_groups([vectors.words[row] for row in usable], pronunciations)
    found = [
        (vectors.index[a], vectors.index[b], number)
        for number, group in enumerate(groups)
        for a, b in combinations(group, 2)
    ]
    if not found:
        raise UserError(f"no two of the {len(usable):,} usable words are homophones: the check needs a larger corpus")
    table = np.array(found)
    return match_pairs(table[:, :2], usable, table[:, 2], seed=seed)


@dataclass(frozen=True)
class HomophoneCheck:
    """Homophones compared with their controls.

    Parameters
    ----------
    n_pairs, n_found : int
        Pairs compared, and pairs in the vocabulary.
    n_words : int
        Words among which homophones are ranked.
    from_instances : bool
        Whether split halves were measured; then all cosines are between means of equally many instances of equally many
        voices, of two sets that have none in common.
    homophones, random : Estimate
        Mean cosine of homophones, and of random pairs matched by frequency.
    split_halves : Estimate or None
        Mean cosine of two halves of one word's instances.
    auc_random : Estimate
        Probability that a homophone pair is closer than a matched random pair: 1 if vectors come from sound.
    auc_split : Estimate or None
        Probability that a homophone pair is closer than two halves of one word: .5 if vectors come from sound.
    median_rank : float
        Rank of a word's homophone among its neighbours (1 is the nearest); half of `n_words` by chance.
    nearest, in_top_10 : float
        Share of words whose homophone is the nearest neighbour, and is among the nearest 10.
    examples : list of dict
        The pairs with cosines and ranks, most frequent first.
    """

    n_pairs: int
    n_found: int
    n_words: int
    from_instances: bool
    homophones: Estimate
    random: Estimate
    split_halves: Estimate | None
    auc_random: Estimate
    auc_split: Estimate | None
    median_rank: float
    nearest: float
    in_top_10: float
    examples: list[dict[str, Any]]

    @cached_property
    def verdict(self) -> str:
        """Whether the vectors behave as vectors from sound must, with the numbers that tell."""
        digits = decimals_needed([self.homophones, self.random, self.split_halves])
        numbers = (
            f"{self.n_pairs} homophone pairs have a mean cosine of {self.homophones.value:.{digits}f}, matched random "
            f"pairs {self.random.value:.{digits}f} (AUC {self.auc_random}), and a word's homophone is its neighbour "
            f"number {self.median_rank:.0f} of {self.n_words - 1:,} in the median"
        )
        if self.split_halves is not None and self.auc_split is not None:
            if self.auc_split.low <= 0.5 <= self.auc_split.high:
                relation = "not distinguishably further apart than"
            else:
                relation = "further apart than" if self.auc_split.value < 0.5 else "closer than"
            halves = (
                f"two halves of one word in other voices ({self.split_halves.value:.{digits}f}, AUC {self.auc_split})"
            )
            numbers += f"; they are {relation} {halves}"
        if self.n_pairs < MIN_PAIRS:
            return f"Too few homophones to tell: {numbers}."
        if self.auc_random.low >= SOUND_AUC:
            return f"These vectors behave as vectors from sound must: {numbers}."
        if self.auc_random.high < SOUND_AUC:
            return f"These vectors do not behave as vectors from sound must: {numbers}."
        return f"Undecided whether these vectors come from sound: {numbers}."

    def rows(self) -> list[tuple[str, Estimate, Estimate | None]]:
        """Kind of pair, its mean cosine, AUC of homophones against it."""
        rows = [("homophones", self.homophones, None), ("random pairs of like frequency", self.random, self.auc_random)]
        if self.split_halves is not None:
            rows.append(("halves of one word, as many instances, other voices", self.split_halves, self.auc_split))
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "verdict": self.verdict}


def check_homophones(
    vectors: WordVectors,
    pairs: Pairs,
    instances: Mapping[int, Instances] | None = None,
    seed: int = 0,
) -> HomophoneCheck:
    """Compare homophones with their controls.

    Parameters
    ----------
    vectors : WordVectors
    pairs : Pairs
    instances : mapping or None
        Row of a word -> its instances, for all of ``pairs.rows()``. Then all cosines are those of `instance_cosines`,
        so that halves, homophones and random pairs differ only in what is compared. Pairs without enough instances and
        voices for halves are left out; if all are, there is no comparison with halves, and a warning.
    seed : int
    """
    ranks = _ranks(vectors, pairs)
    split: np.ndarray | None = None
    homophone, random = pair_cosines(vectors, pairs)
    if instances is not None:
        of_instances = instance_cosines(pairs, instances, seed)
        kept = ~np.isnan(of_instances[1])
        if kept.any():
            pairs, ranks = pairs.subset(kept), ranks[kept]
            homophone, split, random = (cosines[kept] for cosines in of_instances)
        else:
            log.warning("no homophone has instances of two voices, so none is compared with halves of a word")
    examples = [
        {
            "words": [vectors.words[pairs.first[i]], vectors.words[pairs.second[i]]],
            "cosine": float(homophone[i]),
            "random": float(random[i].mean()),
            "split_halves": None if split is None else float(split[i]),
            "ranks": ranks[i].tolist(),
        }
        for i in np.lexsort((pairs.second, pairs.first))
    ]
    return HomophoneCheck(
        n_pairs=len(pairs),
        n_found=pairs.n_found,
        n_words=int(vectors.has_direction.sum()),
        from_instances=split is not None,
        homophones=Estimate.of_mean(homophone, pairs.group, seed),
        random=Estimate.of_mean(random.mean(axis=1), pairs.group, seed),
        split_halves=None if split is None else Estimate.of_mean(split, pairs.group, seed),
        auc_random=Estimate.of_auc(homophone, random, pairs.group, seed),
        auc_split=None if split is None else Estimate.of_auc(homophone, split[:, None], pairs.group, seed),
        median_rank=float(np.median(ranks)),
        nearest=float((ranks == 1).mean()),
        in_top_10=float((ranks <= 10).mean()),
        examples=examples,
    )


def _ranks(vectors: WordVectors, pairs: Pairs) -> np.ndarray:
    """Rank of each word's homophone among the word's neighbours, both ways [shape=(n_pairs, 2)]."""
    rows = np.flatnonzero(vectors.has_direction)
    unit = vectors.unit(rows)
    first, second = np.searchsorted(rows, pairs.first), np.searchsorted(rows, pairs.second)
    ranks = np.empty((len(pairs), 2), dtype=np.int64)
    for direction, (words, homophones) in enumerate(((first, second), (second, first))):
        for start in range(0, len(pairs), 256):
            block = slice(start, start + 256)
            cosines = unit[words[block]] @ unit.T
            np.put_along_axis(cosines, words[block, None], -np.inf, axis=1)
            target = np.take_along_axis(cosines, homophones[block, None], axis=1)
            ranks[block, direction] = (cosines > target).sum(axis=1) + 1
    return ranks


@dataclass(frozen=True)
class HomophoneResult(Displayed):
    """The homophone check of vectors, beside near-homophones and synonyms.

    Parameters
    ----------
    vectors, run : Path or None
        Where they were read from, if from files.
    synthetic : bool
        Whether the run's speech is synthetic.
    seed : int
    homophones : HomophoneCheck
    near_homophones : NearHomophones
    """

    vectors: Path | None
    run: Path | None
    synthetic: bool
    seed: int
    homophones: HomophoneCheck
    near_homophones: NearHomophones

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "vectors": str(self.vectors) if self.vectors else None,
            "run": str(self.run) if self.run else None,
            "synthetic": self.synthetic,
            "seed": self.seed,
            "homophones": self.homophones.to_dict(),
            "near_homophones": self.near_homophones.to_dict(),
        }

    def display_parts(self) -> list[str | Table]:
        """Both tables with their verdicts."""
        check, near = self.homophones, self.near_homophones
        digits = decimals_needed([mean for _, mean, _ in check.rows()])
        rows = [["", "mean cosine", "AUC of homophones against"]]
        rows += [[name, mean.text(digits), "" if auc is None else str(auc)] for name, mean, auc in check.rows()]
        parts: list[str | Table] = ["These figures are from SYNTHETIC speech."] if self.synthetic else []
        parts += [
            f"homophones: {check.n_pairs} pairs ({check.n_found} found), {check.n_words:,} words",
            Table(rows, widths=(54, 24, 26), indent="  "),
            f"  a word's homophone among its neighbours: rank {check.median_rank:.0f} of {check.n_words - 1:,} in the "
            f"median; nearest {check.nearest:.0%}, among the nearest ten {check.in_top_10:.0%}",
            check.verdict,
        ]
        return [*parts, *near.display_parts()]


def homophones(
    vectors: str | Path | WordVectors | KeyedVectors,
    *,
    run: Run | str | Path | None = None,
    store: str | Path | None = None,
    checkpoint: str = LAST,
    wordsim: str | Path | None = None,
    dictionary: str | Path | None = None,
    min_count: int = MIN_COUNT,
    seed: int = 0,
    device: str = "auto",
) -> HomophoneResult:
    """Check whether words that sound the same have the same vector, as they must if vectors come from sound.

    Parameters
    ----------
    vectors : path, WordVectors or gensim KeyedVectors
    run : Run or path or None
        The run that they come from, for word counts and split halves.
    store, checkpoint, device
        How to open the run, if it is a path (see `Run.load`).
    wordsim : Path or None
        Folder of rated pairs, for synonyms; None is the two sets that gensim ships.
    dictionary : Path or None
        Pronunciations; None is CMUdict as PocketSphinx ships it.
    min_count : int
        Leave out rarer words, if counts are known.
    seed : int

    Raises
    ------
    UserError
        A file cannot be read, or there are no homophones to compare.
    """
    if run is None and store is not None:
        raise UserError("--store needs --run: without a run there are no instances to split into halves")
    words = as_word_vectors(vectors)
    opened = None if run is None else open_run(run, store, device=device, checkpoint=checkpoint)
    if opened is not None:
        words = with_counts(words, opened.store)
    pairs = homophone_pairs(words, all_pronunciations(dictionary), min_count, seed)
    instances = None if opened is None else instances_by_row(opened, words, pairs.rows(), seed)
    return HomophoneResult(
        vectors=Path(vectors) if isinstance(vectors, str | Path) else None,
        run=opened.path if opened else None,
        synthetic=opened is not None and opened.store.synthetic,
        seed=seed,
        homophones=check_homophones(words, pairs, instances, seed),
        near_homophones=near_homophones(
            words, first_pronunciations(dictionary), read_benchmarks(wordsim), min_count, seed
        ),
    )
