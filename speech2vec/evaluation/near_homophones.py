"""Near-homophones against synonyms: is the similarity of word vectors phonetic or semantic?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from speech2vec.corpus.pronunciations import Phones, one_phone_apart
from speech2vec.evaluation.benchmarks import Benchmark
from speech2vec.evaluation.bootstrap import Estimate, decimals_needed
from speech2vec.evaluation.matched_pairs import MIN_COUNT, match_pairs, pair_cosines, usable_rows
from speech2vec.evaluation.similarity import folded_index
from speech2vec.runtime.display import Displayed, Table
from speech2vec.vectors.word_vectors import WordVectors

MIN_PAIRS = 30  # fewer pairs of a kind give no verdict
SYNONYM_SHARE = 0.2


@dataclass(frozen=True)
class PairType:
    """One kind of word pair compared with matched random pairs."""

    kind: str
    n_pairs: int
    n_found: int
    cosine: Estimate
    random: Estimate
    auc_random: Estimate
    examples: list[list[str]]


@dataclass(frozen=True)
class NearHomophones(Displayed):
    """Near-homophones (one phone apart) beside synonyms.

    Parameters
    ----------
    kinds : list of PairType
        Near-homophones, then synonyms; a kind without pairs is left out.
    sentence : str
        Whether similarity is phonetic or semantic, with the numbers that tell.
    """

    kinds: list[PairType]
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def display_parts(self) -> list[str | Table]:
        """A row for each kind of pair, and the sentence."""
        rows = [["", "mean cosine", "random", "AUC"]]
        for kind in self.kinds:
            digits = decimals_needed([kind.cosine, kind.random])
            name = f"{kind.kind} ({kind.n_pairs} of {kind.n_found} pairs)"
            rows.append([name, kind.cosine.text(digits), kind.random.text(digits), str(kind.auc_random)])
        table = [Table(rows, widths=(46, 24, 24, 18), indent="  ")] if self.kinds else []
        return [*table, self.sentence]


def synonym_pairs(benchmarks: Sequence[Benchmark], share: float = SYNONYM_SHARE) -> list[tuple[str, str]]:
    """The given share of each benchmark's pairs, the highest rated; pairs of a word with itself are left out."""
    synonyms: dict[tuple[str, str], None] = {}
    for benchmark in benchmarks:
        ranks = rankdata(-benchmark.ratings, method="min")
        for (a, b), rank in zip(benchmark.pairs, ranks, strict=True):
            if rank <= max(1, share * len(benchmark)) and a != b:
                synonyms[min(a, b), max(a, b)] = None
    return list(synonyms)


def near_homophones(
    vectors: WordVectors,
    pronunciations: Mapping[str, Phones],
    benchmarks: Sequence[Benchmark],
    min_count: int = MIN_COUNT,
    seed: int = 0,
) -> NearHomophones:
    """Which pairs are closer than random pairs: those that sound nearly alike, or those that mean the same?"""
    usable = usable_rows(vectors, pronunciations, min_count)
    allowed = set(usable.tolist())
    index = folded_index(vectors)
    near = one_phone_apart([vectors.words[row] for row in usable], pronunciations)
    near_rows = [(vectors.index[a], vectors.index[b]) for a, b in near]
    synonym_rows = [
        (index[a], index[b])
        for a, b in synonym_pairs(benchmarks)
        if index.get(a) in allowed and index.get(b) in allowed and index[a] != index[b]
    ]
    kinds = [
        _compare_kind(name, vectors, np.array(rows), usable, seed)
        for name, rows in (("near-homophones", near_rows), ("synonyms", synonym_rows))
        if rows
    ]
    return NearHomophones(kinds, _sentence({kind.kind: kind for kind in kinds}))


def _compare_kind(kind: str, vectors: WordVectors, candidates: np.ndarray, usable: np.ndarray, seed: int) -> PairType:
    pairs = match_pairs(candidates, usable, np.arange(len(candidates)), seed=seed)
    cosine, random = pair_cosines(vectors, pairs)
    frequent = np.lexsort((pairs.second, pairs.first))[:10]
    return PairType(
        kind=kind,
        n_pairs=len(pairs),
        n_found=pairs.n_found,
        cosine=Estimate.of_mean(cosine, pairs.group, seed),
        random=Estimate.of_mean(random.mean(axis=1), pairs.group, seed),
        auc_random=Estimate.of_auc(cosine, random, pairs.group, seed),
        examples=[[vectors.words[pairs.first[i]], vectors.words[pairs.second[i]]] for i in frequent],
    )


def _sentence(kinds: Mapping[str, PairType]) -> str:
    near, synonyms = kinds.get("near-homophones"), kinds.get("synonyms")
    if near is None or synonyms is None:
        absent = "one phone apart" if near is None else "known as synonyms"
        return f"Too few words to tell whether similarity is phonetic or semantic: no pairs {absent}."
    sound, meaning = near.auc_random, synonyms.auc_random
    fewer = min(near, synonyms, key=lambda kind: kind.n_pairs)
    if fewer.n_pairs < MIN_PAIRS:
        opening = f"Too few {fewer.kind} to tell whether similarity is phonetic or semantic"
    elif sound.low > 0.5 and meaning.low > 0.5:
        if sound.low > meaning.high:
            opening = "Similarity is more phonetic than semantic"
        elif meaning.low > sound.high:
            opening = "Similarity is more semantic than phonetic"
        else:
            opening = "Similarity is as phonetic as it is semantic"
    elif sound.low > 0.5 or meaning.low > 0.5:
        shown, absent = ("phonetic", "semantic") if sound.low > 0.5 else ("semantic", "phonetic")
        opening = f"Similarity is {shown}, and nothing {absent} shows"
    else:
        opening = "Similarity is neither phonetic nor semantic beyond chance"
    return (
        f"{opening}: {near.n_pairs} pairs one phone apart are closer than matched random pairs with AUC "
        f"{sound}, {synonyms.n_pairs} synonyms with AUC {meaning}."
    )
