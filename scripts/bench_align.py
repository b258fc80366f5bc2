"""How fast PocketSphinx aligns real speech on one core, and how well unknown words are pronounced.

    python -m scripts.bench_align CORPUS [--utterances 100]

Prints seconds of speech per second of processor time (reading and decoding the audio included), the machine, and the
accuracy of guessed pronunciations on dictionary words that the letter model did not learn from.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from align.base import Aligned
from align.g2p import JointNgram
from align.pocketsphinx import PocketSphinxAligner, PocketSphinxSettings
from align.pronunciations import Pronunciations
from speech2vec import audio
from speech2vec.corpora import read_corpus
from speech2vec.environment import machine_name
from speech2vec.errors import UserError
from speech2vec.seeds import generator


def edit_distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Insertions, deletions and substitutions that make `a` of `b`."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        corner, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (x != y))
    return row[-1]


def measure_speed(corpus: Path, n_utterances: int) -> None:
    """Align every n-th utterance in this process."""
    utterances = read_corpus(corpus).utterances
    if not utterances:
        raise UserError(f"{corpus} holds no utterances: nothing can be aligned")
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
    arguments = parser.parse_args()
    try:
        measure_speed(arguments.corpus, max(1, arguments.utterances))
        measure_pronunciations()
    except UserError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
