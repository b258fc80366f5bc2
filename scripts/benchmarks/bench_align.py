"""How fast PocketSphinx aligns real speech on one core, and how well unknown words are pronounced.

    python -m scripts.benchmarks.bench_align CORPUS [--utterances 100]
    python -m scripts.benchmarks.bench_align CORPUS --memory 1000 10000

Prints seconds of speech per second of processor time (reading and decoding the audio included), the machine, and the
accuracy of guessed pronunciations on dictionary words that the letter model did not learn from. With ``--memory`` it
prints instead how much memory `speech2vec-align run` needs for corpora of so many utterances (Linux only): each is the
corpus's first recording many times over, and the aligner cuts it into equal words, so that all the rest is measured.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from align.aligners.pocketsphinx import PocketSphinxAligner, PocketSphinxSettings
from align.base import Aligned
from align.pronunciation.dictionary import Pronunciations
from align.pronunciation.g2p import JointNgram
from speech2vec.corpus import audio
from speech2vec.corpus.manifest import Utterance, Word, write_utterances
from speech2vec.corpus.readers import read_corpus
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.environment import machine_name
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import generator

# Not ru_maxrss, which begins with that of the process that started this one.
_RUN_AND_SAY_PEAK = """
import re, sys
from pathlib import Path
from align.cli.app import app
app(sys.argv[1:], standalone_mode=False)
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024)
"""


def edit_distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Insertions, deletions and substitutions that make `a` of `b`."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        corner, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (x != y))
    return row[-1]


class EqualCuts:
    """Cuts every utterance into equal words, whatever is in it."""

    def __init__(self, settings: object, *, jobs: int = 1, device: str = "cpu") -> None:
        pass

    def align(self, utterances: Sequence[Utterance]) -> Iterator[Aligned]:
        """Words without a score."""
        for utterance in utterances:
            name, words = utterance.utterance_id, tokenize(utterance.text)
            times = np.linspace(0.0, audio.info(utterance.audio).duration, len(words) + 1).tolist()
            yield Aligned(name, tuple(map(partial(Word, name), words, times[:-1], times[1:])))


def _utterances(corpus: Path) -> list[Utterance]:
    utterances = read_corpus(corpus).utterances
    if not utterances:
        raise UserError(f"{corpus} holds no utterances: nothing can be aligned")
    return utterances


def peak_memory(utterance: Utterance, n_utterances: int) -> int:
    """Bytes, at most, in the memory of the process that leads `speech2vec-align run` (a worker holds 32 utterances).

    Parameters
    ----------
    utterance : Utterance
        A whole file; so many times over it is the corpus.
    n_utterances : int
    """
    with tempfile.TemporaryDirectory() as name:
        corpus, output = Path(name) / "corpus.jsonl", Path(name) / "aligned"
        whole = replace(utterance, audio=utterance.audio.absolute(), start=None, end=None)
        write_utterances(corpus, [replace(whole, utterance_id=f"u{k:07}") for k in range(n_utterances)])
        command = [
            "run",
            str(corpus),
            "-o",
            str(output),
            "--aligner",
            "scripts.benchmarks.bench_align:EqualCuts",
            "--jobs",
            "1",
        ]
        ended = subprocess.run(
            [sys.executable, "-c", _RUN_AND_SAY_PEAK, *command, "--quiet"], capture_output=True, text=True, check=False
        )
        if ended.returncode:
            raise UserError(f"the run over {n_utterances} utterances failed: {ended.stderr.strip()[-500:]}")
        return int(ended.stdout.split()[-1])


def measure_memory(corpus: Path, sizes: Sequence[int]) -> None:
    """Corpora of each size, of the first recording."""
    first = _utterances(corpus)[0]
    n_words = len(tokenize(first.text))
    for size in sizes:
        peak = peak_memory(first, size)
        print(f"{size:,} utterances, {size * n_words:,} words: {peak / 2**20:,.0f} MiB ({machine_name()})", flush=True)


def measure_speed(corpus: Path, n_utterances: int) -> None:
    """Align every n-th utterance in this process."""
    utterances = _utterances(corpus)
    utterances = utterances[:: max(1, len(utterances) // n_utterances)][:n_utterances]
    seconds = sum(audio.info(utterance.audio).duration for utterance in utterances)
    for gaussians in (1, 4):
        aligner = PocketSphinxAligner(PocketSphinxSettings(gaussians=gaussians))
        aligner.pronunciations.pronounce("unheardof")  # the letter model is learned once a process
        began = time.process_time()
        n_aligned = sum(isinstance(outcome, Aligned) for outcome in aligner.align(utterances))
        spent = time.process_time() - began
        print(
            f"gaussians={gaussians}: {n_aligned} of {len(utterances)} utterances aligned, {seconds:,.0f} s of sound in "
            f"{spent:.1f} s of processor time, {seconds / spent:.0f} x real time per core ({machine_name()})"
        )


def measure_pronunciations(n_words: int = 2000) -> None:
    """Hold dictionary words out, learn from the others, compare."""
    entries = Pronunciations().entries
    words = sorted(word for word in entries if word.isalpha())
    held_out = [words[i] for i in generator(0).permutation(len(words))[:n_words]]
    hidden = frozenset(held_out)
    began = time.process_time()
    model = JointNgram((word, said) for word in words if word not in hidden for said in entries[word])
    spent = time.process_time() - began
    errors = phones = right = 0
    for word in held_out:
        guess = model.pronounce(word)
        wrong, length = min((edit_distance(guess, said), len(said)) for said in entries[word])
        errors, phones, right = errors + wrong, phones + length, right + (wrong == 0)
    print(
        f"guessed pronunciations of {n_words:,} held-out dictionary words: {errors / phones:.1%} of phones wrong, "
        f"{right / n_words:.1%} of words right; learned in {spent:.1f} s of processor time"
    )


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--utterances", type=int, default=100)
    parser.add_argument("--memory", type=int, nargs="+", metavar="N", help="the memory of runs over N utterances")
    arguments = parser.parse_args()
    try:
        if arguments.memory:
            measure_memory(arguments.corpus, [max(1, size) for size in arguments.memory])
            return
        measure_speed(arguments.corpus, max(1, arguments.utterances))
        measure_pronunciations()
    except UserError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
