"""Speed of feature extraction, from audio files to a store, beside librosa word by word: one run, the same data.

    python -m scripts.benchmarks.bench_features ALIGNED [--utterances 200] [--repeats 3] [--jobs 2] [--set n_mfcc=13]

ALIGNED is what speech2vec-align wrote. "This project" is the whole of `speech2vec features` in one process: reading
the alignment, decoding, MFCC, cutting, normalisation, the store on disk. The other side is what one writes with
librosa alone: load the file, cut each word's samples out, `librosa.feature.mfcc` of each, with the same settings;
nothing is normalised or written there. Both take turns on one core; the medians of their processor time and of the
clock are printed. With --jobs, `speech2vec features` takes part with as many processes too, by the clock, their start
included: give it some hours of audio. Files are in the system's cache; a cold disk is not in these figures.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import librosa
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from speech2vec.corpus.manifest import Utterance, read_utterances, read_words, write_utterances, write_words
from speech2vec.features.extraction import extract
from speech2vec.features.mfcc import MfccSettings
from speech2vec.runtime.config import load_settings
from speech2vec.runtime.environment import machine_name
from speech2vec.runtime.errors import UserError


def take(aligned: Path, n_utterances: int, to: Path) -> list[Utterance]:
    """Write an ALIGNED folder of `n_utterances` aligned utterances, spread evenly over that of the user."""
    words = read_words(aligned)
    names = words["utterance_id"].unique().to_pylist()
    if not names:
        raise UserError(f"{aligned} holds no aligned words")
    chosen = {names[i] for i in np.linspace(0, len(names) - 1, min(n_utterances, len(names))).astype(int)}
    utterances = [utterance for utterance in read_utterances(aligned) if utterance.utterance_id in chosen]
    write_utterances(to / "utterances.jsonl", utterances)
    write_words(to / "words.parquet", words.filter(pc.is_in(words["utterance_id"], pa.array(sorted(chosen)))))
    return utterances


def word_by_word(utterances: Sequence[Utterance], spans: Sequence[np.ndarray], settings: MfccSettings) -> int:
    """MFCC of every word with librosa alone; returns the number of frames."""
    n_frames = 0
    for utterance, words in zip(utterances, spans, strict=True):
        samples, rate = librosa.load(utterance.audio, sr=settings.sampling_rate)
        for start, end in words:
            features = librosa.feature.mfcc(
                y=samples[int(start * rate) : int(end * rate)],
                sr=rate,
                n_mfcc=settings.n_mfcc,
                n_fft=settings.n_fft,
                hop_length=settings.hop_length,
                win_length=settings.win_length,
                n_mels=settings.n_mels,
                fmin=settings.fmin,
                fmax=settings.fmax,
            )
            n_frames += features.shape[1]
    return n_frames


def timed(work: Sequence[Callable[[], object]], repeats: int) -> np.ndarray:
    """Median seconds of processor time, and of the clock, of each in turn [shape=(n_sides, 2)]."""
    taken = np.empty((repeats, len(work), 2))
    for repeat in range(repeats):
        for side, function in enumerate(work):
            before = time.process_time(), time.perf_counter()
            function()
            taken[repeat, side] = time.process_time() - before[0], time.perf_counter() - before[1]
    return np.median(taken, axis=0)


def compare(aligned: Path, n_utterances: int, repeats: int, jobs: int, settings: MfccSettings) -> None:
    """Print all speeds and the ratio."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        utterances = take(aligned, n_utterances, folder / "aligned")
        words = read_words(folder / "aligned")
        times = np.stack([words["start"].to_numpy(), words["end"].to_numpy()], axis=1)
        ids = words["utterance_id"].to_numpy(zero_copy_only=False)
        spans = [times[ids == utterance.utterance_id] for utterance in utterances]

        def ours(jobs: int = 1) -> object:
            return extract(folder / "aligned", folder / "store", settings, jobs=jobs, quiet=True, force=True)

        result = extract(folder / "aligned", folder / "store", settings, quiet=True)
        word_by_word(utterances[:1], spans[:1], settings)  # librosa compiles and caches on first use
        sides: list[Callable[[], object]] = [ours, lambda: word_by_word(utterances, spans, settings)]
        sides += [lambda: ours(jobs)] * (jobs > 1)
        (mine, my_clock), (theirs, their_clock), *several = timed(sides, repeats)
        suffixes = ", ".join(sorted({utterance.audio.suffix for utterance in utterances}))
        audio = result.seconds
        print(f"{machine_name()}, load before: {load:.1f}")
        print(
            f"{len(utterances)} utterances ({suffixes}), {audio:,.1f} s of audio, {result.n_words:,} words, "
            f"{len(result.failed)} failed"
        )
        for name, seconds, clock in (
            ("speech2vec features, audio to store", mine, my_clock),
            ("librosa word by word, no store", theirs, their_clock),
        ):
            print(
                f"{name + ':':37}{seconds:7.2f} s of one core, {audio / seconds:,.0f} x real time "
                f"({clock:.2f} s by the clock, {audio / clock:,.0f} x)"
            )
        for _, clock in several:
            print(
                f"{f'speech2vec features, {jobs} processes:':37}{clock:7.2f} s by the clock, "
                f"{audio / clock:,.0f} x real time, {audio / clock / jobs:,.0f} x a process"
            )
        print(f"ratio: {theirs / mine:.1f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("aligned", type=Path, help="what speech2vec-align wrote")
    parser.add_argument("--utterances", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="processes of a third side")
    parser.add_argument("--set", action="append", default=[], help="one setting of the features: key=value")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "n_fft=.* is too large")  # words shorter than a window, of librosa's side
    try:
        settings = load_settings(MfccSettings, None, arguments.set)
        with threadpool_limits(1):
            compare(
                arguments.aligned, max(1, arguments.utterances), max(1, arguments.repeats), arguments.jobs, settings
            )
    except UserError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
