"""Speed of `speech2vec embed` on one core, from audio files and words in time to a file of vectors.

    python -m scripts.benchmarks.bench_embed RUN ALIGNED [--utterances 1000] [--repeats 3]

RUN is what speech2vec train wrote, ALIGNED what speech2vec-align did; its utterances are repeated under other names
until there are enough. Alignment is not in these figures, nor is the start of Python; loading the run is. The first
repeat compiles or loads the kernels of the recurrence, and is printed apart from the median of the others. Files are in
the system's cache.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from speech2vec.corpus.manifest import Word, read_utterances, read_words, write_utterances, write_words
from speech2vec.runtime.environment import machine_name
from speech2vec.runtime.errors import UserError
from speech2vec.training.run import Run
from speech2vec.vectors.portable import embed


def repeat_utterances(aligned: Path, n_utterances: int, to: Path) -> None:
    """Write an ALIGNED folder of `n_utterances`: those of the user, as often as it takes."""
    words: dict[str, list[Word]] = {}
    for row in read_words(aligned).to_pylist():
        words.setdefault(row["utterance_id"], []).append(Word(**row))
    own = [utterance for utterance in read_utterances(aligned) if utterance.utterance_id in words]
    if not own:
        raise UserError(f"{aligned} holds no aligned words")
    utterances, copies = [], []
    for i, utterance in enumerate(itertools.islice(itertools.cycle(own), n_utterances)):
        name = f"{utterance.utterance_id}#{i}"
        utterances.append(dataclasses.replace(utterance, utterance_id=name))
        copies += [dataclasses.replace(word, utterance_id=name) for word in words[utterance.utterance_id]]
    write_utterances(to / "utterances.jsonl", utterances)
    write_words(to / "words.parquet", copies)


def measure(run: Path, aligned: Path, n_utterances: int, repeats: int) -> None:
    """Print the speed of the first repeat, and the median of the others."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repeat_utterances(aligned, n_utterances, folder / "aligned")
        taken = np.empty((repeats + 1, 2))
        for repeat in range(repeats + 1):
            before = time.process_time(), time.perf_counter()
            embeddings = embed(Run.load(run), folder / "aligned")
            embeddings.save(folder / "vectors.parquet")
            taken[repeat] = time.process_time() - before[0], time.perf_counter() - before[1]
    print(f"{machine_name()}, load before: {load:.1f}")
    print(embeddings)
    for label, (processor, clock) in (("first", taken[0]), ("median of the others", np.median(taken[1:], axis=0))):
        print(
            f"{label + ':':22}{processor:7.2f} s of one core, {embeddings.seconds / processor:,.0f} x real time "
            f"({clock:.2f} s by the clock, {embeddings.seconds / clock:,.0f} x)"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="what speech2vec train wrote")
    parser.add_argument("aligned", type=Path, help="what speech2vec-align wrote")
    parser.add_argument("--utterances", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            measure(arguments.run, arguments.aligned, max(1, arguments.utterances), max(1, arguments.repeats))
    except UserError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
