"""Speed of PocketSphinx on real speech, and accuracy of its guessed pronunciations; memory of an alignment run.

    python -m scripts.benchmarks.bench_align CORPUS [--utterances 100]
    python -m scripts.benchmarks.bench_align CORPUS --memory 1000 10000

Prints seconds of speech per second of processor time on one core (with reading and decoding the audio), and the
accuracy of guessed pronunciations on dictionary words that are held out from the letter model. With `--memory` it
prints instead the peak memory of `speech2vec-align run` on corpora of so many utterances (Linux only). Each corpus is
the first recording of CORPUS, repeated; the aligner cuts it into equal words, so the memory is that of the run itself.
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
from torchaudio.functional import edit_distance

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

# Not ru_maxrss, which starts from the value of the parent process.
_RUN_AND_PRINT_PEAK = """
import re, sys
from pathlib import Path
from align.cli.app import app
app(sys.argv[1:], standalone_mode=False)
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024)
"""


class EqualWords:
    """An aligner that divides every utterance into words of equal length."""

    def __init__(self, settings: object, *, jobs: int = 1, device: str = "cpu") -> None:
        pass

    def align(self, utterances: Sequence[Utterance]) -> Iterator[Aligned]:
        """Equal words without a score."""
        for utterance in utterances:
            name, words = utterance.utterance_id, tokenize(utterance.text)
            times = np.linspace(0.0, audio.info(utterance.audio).duration, len(words) + 1).tolist()
            yield Aligned(name, tuple(map(partial(Word, name), words, times[:-1], times[1:])))


def _utterances(corpus: Path) -> list[Utterance]:
    utterances = read_corpus(corpus).utterances
    if not utterances:
        raise UserError(f"{corpus} has no utterances to align")
    return utterances


def peak_memory(utterance: Utterance, n_utterances: int) -> int:
    """Peak memory in bytes of the leading process of `speech2vec-align run` (a worker holds 32 utterances).

    Parameters
    ----------
    utterance : Utterance
        Its whole file is repeated to make the corpus.
    n_utterances : int
    """
    with tempfile.TemporaryDirectory() as name:
        corpus, output = Path(name) / "corpus.jsonl", Path(name) / "aligned"
        whole = replace(utterance, audio=utterance.audio.absolute(), start=None, end=None)
        write_utterances(corpus, [replace(whole, utterance_id=f"u{k:07}") for k in range(n_utterances)])
        command = ["run", str(corpus), "-o", str(output), "--jobs", "1", "--quiet"]
        command += ["--aligner", "scripts.benchmarks.bench_align:EqualWords"]
        program = [sys.executable, "-c", _RUN_AND_PRINT_PEAK]
        ended = subprocess.run([*program, *command], capture_output=True, text=True, check=False)
        if ended.returncode:
            raise UserError(f"the run on {n_utterances} utterances failed: {ended.stderr.strip()[-500:]}")
        return int(ended.stdout.split()[-1])


def measure_memory(corpus: Path, sizes: Sequence[int]) -> None:
    """Print the memory for corpora of each size."""
    first = _utterances(corpus)[0]
    n_words = len(tokenize(first.text))
    for size in sizes:
        peak = peak_memory(first, size)
        print(f"{size:,} utterances, {size * n_words:,} words: {peak / 2**20:,.0f} MiB ({machine_name()})", flush=True)


def measure_speed(corpus: Path, n_utterances: int) -> None:
    """Align utterances spread over the corpus, in this process."""
    utterances = _utterances(corpus)
    utterances = utterances[:: max(1, len(utterances) // n_utterances)][:n_utterances]
    seconds = sum(audio.info(utterance.audio).duration for utterance in utterances)
    for gaussians in (1, 4):
        aligner = PocketSphinxAligner(PocketSphinxSettings(gaussians=gaussians))
        aligner.pronunciations.pronounce("unheardof")  # trains the letter model
        started = time.process_time()
        n_aligned = sum(isinstance(outcome, Aligned) for outcome in aligner.align(utterances))
        spent = time.process_time() - started
        print(
            f"gaussians={gaussians}: {n_aligned} of {len(utterances)} utterances aligned, {seconds:,.0f} s of audio in "
            f"{spent:.1f} s of processor time, {seconds / spent:.0f} x real time per core ({machine_name()})"
        )


def measure_pronunciations(n_words: int = 2000) -> None:
    """Train on all dictionary words but some, and compare the guesses for these with the dictionary."""
    entries = Pronunciations().entries
    words = sorted(word for word in entries if word.isalpha())
    held_out = [words[i] for i in generator(0).permutation(len(words))[:n_words]]
    hidden = frozenset(held_out)
    started = time.process_time()
    model = JointNgram((word, phones) for word in words if word not in hidden for phones in entries[word])
    spent = time.process_time() - started
    errors = n_phones = right = 0
    for word in held_out:
        guess = model.pronounce(word)
        wrong, length = min((edit_distance(guess, phones), len(phones)) for phones in entries[word])
        errors, n_phones, right = errors + wrong, n_phones + length, right + (wrong == 0)
    print(
        f"guessed pronunciations of {n_words:,} held-out dictionary words: {errors / n_phones:.1%} of phones wrong, "
        f"{right / n_words:.1%} of words right; trained in {spent:.1f} s of processor time"
    )


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--utterances", type=int, default=100)
    parser.add_argument("--memory", type=int, nargs="+", metavar="N", help="peak memory of runs on N utterances")
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
