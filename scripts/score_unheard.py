"""Score runs on voices that none of them has heard, for curves over hours of speech.

    python -m scripts.score_unheard STORE RUN [RUN ...] [--seed 1] [--wordsim FOLDER] [--min-count 5]

The voices are those of STORE that a run with this seed holds out. Each run's encoder is given the sound of their words:
same-different average precision of single instances, and word similarity of the means of each word's instances, on the
same words and pairs for all runs. Runs on parts of STORE are of `scripts.subset_store --trained-with`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import speech2vec as s2v
from scripts.errors import in_one_line
from speech2vec.evaluation.average_precision import Precision, precision_of_vectors
from speech2vec.evaluation.benchmarks import read_benchmarks
from speech2vec.evaluation.same_different import InstanceFilter
from speech2vec.evaluation.similarity import HEADLINE, evaluate_vectors
from speech2vec.features.store import Store
from speech2vec.model.encoding import StoreVectors
from speech2vec.training.presets import DataSettings
from speech2vec.training.sampler import split
from speech2vec.vectors.instances import instance_vectors
from speech2vec.vectors.word_vectors import WordVectors, average_instances


def main() -> None:
    """Print the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--wordsim", type=Path, help="folder of rated pairs")
    parser.add_argument("--min-count", type=int, default=5)
    arguments = parser.parse_args()
    store = Store.open(arguments.store)
    rows = split(store, DataSettings().held_out, arguments.seed).held_out
    long = np.isin(rows, InstanceFilter().select_rows(store, rows))
    voices = {store.speakers[i] for i in np.unique(store.speaker[rows])}
    title = "SYNTHETIC speech: " if store.synthetic else ""
    compared = f"same-different on {long.sum():,} of them, [95 % over words]"
    print(f"{title}{len(rows):,} words of {len(voices)} voices; {compared}")
    words: dict[str, WordVectors] = {}
    for path in arguments.runs:
        run = s2v.load(path, device="cpu")
        if run.split is None:
            parser.error(f"{run.store.path} holds other words than {path} was trained on: its voices are not known")
        trained = run.split.train
        if voices & {run.store.speakers[i] for i in np.unique(run.store.speaker[trained])}:
            parser.error(f"{path} was trained on some of these voices")
        vectors = instance_vectors(StoreVectors(run.model, store), run.settings.vectors, rows)
        words[str(path)] = average_instances(vectors, store.word_id[rows], store.types, arguments.min_count)
        found = precision_of_vectors(vectors[long], store.word_id[rows[long]], store.speaker[rows[long]])
        print(f"{path}: all pairs {_text(found.all_pairs)}, across speakers {_text(found.across_speakers)}", flush=True)
    for name, model in evaluate_vectors(words, read_benchmarks(arguments.wordsim)).items():
        shown = [score for score in model.common_scores if score.benchmark == HEADLINE] + [model.common_mean]
        told = [
            f"{score.benchmark} {score.rho:.3f} [{score.low:.3f}, {score.high:.3f}], {score.n_covered:,} pairs"
            for score in shown
            if score.rho is not None
        ]
        print(f"{name}: {'; '.join(told) or 'no rated pairs are covered'}")


def _text(precision: Precision) -> str:
    return f"{precision.ap:.4f} [{precision.low:.4f}, {precision.high:.4f}]"


if __name__ == "__main__":
    with in_one_line():
        main()
