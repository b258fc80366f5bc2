"""Score a run of the method `distilled` on the audio of its held-out speakers alone, beside its teacher.

    python -m scripts.score_distilled RUN [--wordsim FOLDER] [--min-count 5]

The words that the run never heard are those of ``distilled.unheard``; the teacher is made again as it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import speech2vec as s2v
from scripts.errors import in_one_line
from speech2vec.evaluation.benchmarks import read_benchmarks
from speech2vec.evaluation.similarity import HEADLINE, evaluate_vectors, spearman
from speech2vec.runtime.seeds import generator
from speech2vec.training.methods.distilled import DistilledSettings, text_vectors, unheard_types
from speech2vec.vectors.word_vectors import WordVectors, average_instances

_PAIRS = 50_000  # of random words, to compare two sets of cosines


def main() -> None:
    """Print the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--wordsim", type=Path, help="folder of rated pairs")
    parser.add_argument("--min-count", type=int, default=1, help="times that held-out speakers say a word at least")
    arguments = parser.parse_args()
    run = s2v.load(arguments.run, device="cpu")
    store, settings, seed = run.store, run.settings.of_method, run.settings.seed
    if not isinstance(settings, DistilledSettings):
        parser.error(f"{arguments.run} is a run of the method {run.settings.method}")
    parts = run.split
    if parts is None:
        parser.error(f"{store.path} holds other words than {arguments.run} was trained on: none of them is held out")
    taught, vectors = text_vectors(store, parts.train, settings, seed)
    known = taught >= 0
    number = np.full(len(store.types), -1)
    number[store.word_id[parts.train[known]]] = taught[known]
    teacher = WordVectors([store.types[i] for i in np.flatnonzero(number >= 0)], vectors[number[number >= 0]])

    rows = parts.held_out[number[store.word_id[parts.held_out]] >= 0]
    instances = run.vectors(rows)
    words = average_instances(instances, store.word_id[rows], store.types, arguments.min_count)
    unheard = {store.types[i] for i in unheard_types(store, settings, seed)}
    title = "SYNTHETIC speech: " if store.synthetic else ""
    print(
        f"{title}{len(rows):,} words of {len(np.unique(store.speaker[rows]))} held-out speakers, {len(words):,} types"
    )

    benchmarks = read_benchmarks(arguments.wordsim)
    scores = evaluate_vectors({"teacher": teacher, "distilled": words}, benchmarks)
    for name, model in scores.items():
        for score in [*model.common_scores, model.common_mean]:
            if score.benchmark in (HEADLINE, model.common_mean.benchmark) and score.rho is not None:
                print(
                    f"  {name}, {score.benchmark}: {score.rho:.3f} [{score.low:.3f}, {score.high:.3f}], "
                    f"{score.n_covered} pairs"
                )
    unit = instances / np.maximum(np.linalg.norm(instances, axis=1, keepdims=True), 1e-12)
    nearest = np.concatenate(
        [(part @ vectors.T).argmax(axis=1) for part in np.array_split(unit, 1 + len(unit) // 4096)]
    )
    right = nearest == number[store.word_id[rows]]
    new = np.array([store.types[i] in unheard for i in store.word_id[rows]])
    print(f"  instances nearest to their own word's teacher: {right[~new].mean():.3f} of {(~new).sum():,} heard")
    if new.any():
        print(f"    of {new.sum():,} instances of words never heard: {right[new].mean():.3f}")
    draw = generator(seed)
    for name, chosen in (("heard", [w for w in words.words if w not in unheard]), ("never heard", sorted(unheard))):
        first = np.array([words.index[word] for word in chosen if word in words])
        if not len(first):
            continue
        pairs = draw.choice(first, _PAIRS), draw.integers(0, len(words), _PAIRS)
        cosine = (words.unit(pairs[0]) * words.unit(pairs[1])).sum(axis=1)
        of_teacher = [teacher.unit(np.array([teacher.index[words.words[i]] for i in side])) for side in pairs]
        rho = float(spearman(cosine, (of_teacher[0] * of_teacher[1]).sum(axis=1)))
        print(f"  cosines of {len(first):,} words {name} with random words, against the teacher's: rho {rho:.3f}")


if __name__ == "__main__":
    with in_one_line():
        main()
