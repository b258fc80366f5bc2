"""Copy some speakers' words of a store to a smaller store, for curves over hours of speech.

    python -m scripts.subset_store STORE -o SMALLER --hours 20 [--seed 0] [--trained-with 1]

Speakers are taken whole, in random order, until their words last so many hours. The larger of two subsets of one seed
contains the smaller. With `--trained-with` they are of those that a run with that seed trains on: `score_unheard`
scores all runs on the others.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scripts.errors import in_one_line
from speech2vec.features.store import Store, write_store
from speech2vec.runtime.output import FolderContents, claim_output
from speech2vec.runtime.seeds import generator
from speech2vec.training.presets import DataSettings
from speech2vec.training.sampler import split

_WORDS_AT_ONCE = 50_000
_CONTENTS = FolderContents(marks=("meta.json",))


def subset_store(store: Store, output: Path, hours: float, seed: int = 0, trained_with: int | None = None) -> Store:
    """Write the smaller store and open it; of the speakers alone that a run with the seed `trained_with` trains on."""
    seconds = np.bincount(store.speaker, weights=store.end - store.start)
    order = generator(seed).permutation(len(seconds))
    if trained_with is not None:
        train = split(store, DataSettings().held_out, trained_with).train
        order = order[np.isin(order, store.speaker[train])]
    n = int(np.searchsorted(np.cumsum(seconds[order]), 3600 * hours)) + 1
    rows = np.flatnonzero(np.isin(store.speaker, order[:n]))
    table = pq.read_table(store.path / "words.parquet").take(rows)
    first = np.cumsum(store.n_frames[rows], dtype=np.int64) - store.n_frames[rows]
    table = table.set_column(table.schema.get_field_index("first_frame"), "first_frame", pa.array(first))
    parts = np.array_split(rows, 1 + len(rows) // _WORDS_AT_ONCE)
    rest = {key: value for key, value in store.meta.items() if key in ("synthetic", "aligned", "normalisation")}
    write_store(output, table, map(store.gather, parts), store.n_mfcc, store.settings, **rest)
    return Store.open(output)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--hours", type=float, required=True, help="of words, without pauses")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trained-with", type=int, metavar="SEED", help="of the speakers that such a run trains on")
    arguments = parser.parse_args()
    claim_output(arguments.output, force=False, resume=False, inputs=[arguments.store], folder=_CONTENTS)
    given = Store.open(arguments.store)
    made = subset_store(given, arguments.output, arguments.hours, arguments.seed, arguments.trained_with)
    hours = float((made.end - made.start).sum()) / 3600
    if hours < arguments.hours:
        print(f"these are all words of these speakers: {hours:.2f} h, less than --hours {arguments.hours:g}")
    print(f"{made.n_words:,} words of {len(np.unique(made.speaker))} speakers in {arguments.output}")


if __name__ == "__main__":
    with in_one_line():
        main()
