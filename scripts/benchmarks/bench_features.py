"""Speed of the features: MFCC beside librosa, the 34 features of `emotion` beside pyAudioAnalysis, vectors of words.

    python -m scripts.benchmarks.bench_features mfcc ALIGNED [--utterances 200] [--repeats 3] [--jobs 2]
    python -m scripts.benchmarks.bench_features emotion FOLDER [--seconds 120] [--repeats 5]
    python -m scripts.benchmarks.bench_features embed RUN ALIGNED [--utterances 1000] [--repeats 3]

ALIGNED is the output of speech2vec-align, RUN that of speech2vec train, FOLDER holds audio files of real speech. All is
computed on one core, and files are in the system's cache.

mfcc: this project runs all of `speech2vec features` (reading, decoding, MFCC, cutting, normalisation, the store on
disk). The other side is what one writes with librosa alone: load the file, cut out each word, `librosa.feature.mfcc`
with the same settings; nothing is normalised or written. Both take turns; medians are printed. `--jobs` adds
`speech2vec features` in several processes, by the clock and with their start: use hours of audio.

emotion: both sides get the same samples and settings, in turn. The minimum over the repeats is printed, and the largest
difference between the features.

embed: `speech2vec embed` on word times, from audio files to a file of vectors, with loading the run. Utterances are
repeated under other names until there are enough. The first repeat compiles or loads the recurrence; the median is that
of the others.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
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
import torch
from threadpoolctl import threadpool_limits

from emotion.features.pyaudioanalysis import extract as extract_emotion
from speech2vec.corpus import audio
from speech2vec.corpus.manifest import Utterance, Word, read_utterances, read_words, write_utterances, write_words
from speech2vec.corpus.readers import AUDIO_SUFFIXES
from speech2vec.features.extraction import extract
from speech2vec.features.mfcc import MfccSettings
from speech2vec.runtime.config import load_settings
from speech2vec.runtime.environment import machine_name
from speech2vec.runtime.errors import UserError
from speech2vec.training.run import Run
from speech2vec.vectors.embeddings import Embeddings
from speech2vec.vectors.portable import embed

SAMPLING_RATE, WINDOW = 16000, 0.1  # of the emotion features: Hz, seconds


def take_turns(work: Sequence[Callable[[], object]], repeats: int) -> np.ndarray:
    """Seconds of processor time, and by the clock, of each function in turn [shape=(repeats, n_functions, 2)]."""
    taken = np.empty((repeats, len(work), 2))
    for repeat, side in itertools.product(range(repeats), range(len(work))):
        before = time.process_time(), time.perf_counter()
        work[side]()
        taken[repeat, side] = time.process_time() - before[0], time.perf_counter() - before[1]
    return taken


def print_speed(title: str, audio_seconds: float, processor: float, clock: float) -> None:
    print(
        f"{title + ':':37}{processor:7.2f} s of one core, {audio_seconds / processor:,.0f} x real time "
        f"({clock:.2f} s by the clock, {audio_seconds / clock:,.0f} x)"
    )


def select_utterances(aligned: Path, n_utterances: int, to: Path) -> list[Utterance]:
    """Write an ALIGNED folder of `n_utterances` aligned utterances, spread evenly over those of the user."""
    words = read_words(aligned)
    names = words["utterance_id"].unique().to_pylist()
    if not names:
        raise UserError(f"{aligned} has no aligned words")
    chosen = {names[i] for i in np.linspace(0, len(names) - 1, min(n_utterances, len(names))).astype(int)}
    utterances = [utterance for utterance in read_utterances(aligned) if utterance.utterance_id in chosen]
    write_utterances(to / "utterances.jsonl", utterances)
    write_words(to / "words.parquet", words.filter(pc.is_in(words["utterance_id"], pa.array(sorted(chosen)))))
    return utterances


def repeat_utterances(aligned: Path, n_utterances: int, to: Path) -> None:
    """Write an ALIGNED folder of `n_utterances`: those of the user, repeated as often as needed."""
    words: dict[str, list[Word]] = {}
    for row in read_words(aligned).to_pylist():
        words.setdefault(row["utterance_id"], []).append(Word(**row))
    own = [utterance for utterance in read_utterances(aligned) if utterance.utterance_id in words]
    if not own:
        raise UserError(f"{aligned} has no aligned words")
    utterances, copies = [], []
    for i, utterance in enumerate(itertools.islice(itertools.cycle(own), n_utterances)):
        name = f"{utterance.utterance_id}#{i}"
        utterances.append(dataclasses.replace(utterance, utterance_id=name))
        copies += [dataclasses.replace(word, utterance_id=name) for word in words[utterance.utterance_id]]
    write_utterances(to / "utterances.jsonl", utterances)
    write_words(to / "words.parquet", copies)


def word_by_word(utterances: Sequence[Utterance], spans: Sequence[np.ndarray], settings: MfccSettings) -> int:
    """MFCC of every word with librosa alone; returns the number of frames."""
    names = ("n_mfcc", "n_fft", "hop_length", "win_length", "n_mels", "fmin", "fmax")
    same = {name: getattr(settings, name) for name in names}
    n_frames = 0
    for utterance, words in zip(utterances, spans, strict=True):
        samples, rate = librosa.load(utterance.audio, sr=settings.sampling_rate)
        for start, end in words:
            n_frames += librosa.feature.mfcc(y=samples[int(start * rate) : int(end * rate)], sr=rate, **same).shape[1]
    return n_frames


def compare_mfcc(aligned: Path, n_utterances: int, repeats: int, jobs: int, settings: MfccSettings) -> None:
    """Print the speeds of `speech2vec features` and librosa, and their ratio."""
    print(f"{machine_name()}, load before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        utterances = select_utterances(aligned, n_utterances, folder / "aligned")
        words = read_words(folder / "aligned")
        times = np.stack([words["start"].to_numpy(), words["end"].to_numpy()], axis=1)
        ids = words["utterance_id"].to_numpy(zero_copy_only=False)
        spans = [times[ids == utterance.utterance_id] for utterance in utterances]

        def ours(jobs: int = 1) -> object:
            return extract(folder / "aligned", folder / "store", settings, jobs=jobs, quiet=True, force=True)

        result = extract(folder / "aligned", folder / "store", settings, quiet=True)
        word_by_word(utterances[:1], spans[:1], settings)  # librosa compiles on first use
        suffixes = ", ".join(sorted({utterance.audio.suffix for utterance in utterances}))
        print(
            f"{len(utterances)} utterances ({suffixes}), {result.seconds:,.1f} s of audio, {result.n_words:,} words, "
            f"{len(result.failed)} failed"
        )
        sides: list[Callable[[], object]] = [ours, lambda: word_by_word(utterances, spans, settings)]
        sides += [lambda: ours(jobs)] * (jobs > 1)
        mine, theirs, *several = np.median(take_turns(sides, repeats), axis=0)
    print_speed("speech2vec features, audio to store", result.seconds, *mine)
    print_speed("librosa word by word, no store", result.seconds, *theirs)
    for _, clock in several:
        print(
            f"{f'speech2vec features, {jobs} processes:':37}{clock:7.2f} s by the clock, "
            f"{result.seconds / clock:,.0f} x real time, {result.seconds / clock / jobs:,.0f} x a process"
        )
    print(f"ratio: {theirs[0] / mine[0]:.1f}")


def read_signals(folder: Path, seconds: float) -> list[np.ndarray]:
    """Recordings spread evenly over a folder, `seconds` in all (or all there are)."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES and not p.name.startswith("."))
    if not paths:
        raise UserError(f"{folder} has no audio files")
    signals: list[np.ndarray] = []
    for i in np.argsort(np.arange(len(paths)) * 0.6180339887 % 1):
        signals.append(audio.load(paths[i], sampling_rate=SAMPLING_RATE))
        if sum(map(len, signals)) >= seconds * SAMPLING_RATE:
            break
    return signals


def compare_emotion(folder: Path, seconds: float, repeats: int) -> None:
    """Print the largest difference from pyAudioAnalysis, both speeds and their ratio."""
    from pyAudioAnalysis import ShortTermFeatures  # a reference of the tests, not needed for the other measurements

    def reference(signal: np.ndarray, hop: float) -> np.ndarray:
        sizes = round(WINDOW * SAMPLING_RATE), round(hop * SAMPLING_RATE)
        scaled = np.double(signal) * 32768
        features: np.ndarray = ShortTermFeatures.feature_extraction(scaled, SAMPLING_RATE, *sizes, deltas=False)[0].T
        return features

    def ours(signal: np.ndarray, hop: float) -> np.ndarray:
        return extract_emotion(signal, SAMPLING_RATE, WINDOW, hop)

    signals = read_signals(folder, seconds)
    total = sum(map(len, signals)) / SAMPLING_RATE
    difference = max(float(np.abs(ours(s, WINDOW) - reference(s, WINDOW)).max()) for s in signals)
    print(f"{machine_name()}, one core; {len(signals)} recordings, {total:.1f} s, {SAMPLING_RATE} Hz")
    print(f"largest difference: {difference:.1e}")
    for hop in (0.1, 0.05):
        sides = [lambda of=of, hop=hop: [of(signal, hop) for signal in signals] for of in (reference, ours)]
        theirs, mine = take_turns(sides, repeats)[:, :, 0].min(axis=0)
        print(
            f"window 100 ms, hop {hop * 1000:.0f} ms: pyAudioAnalysis {total / theirs:,.0f} x real time, "
            f"emotion.features.pyaudioanalysis {total / mine:,.0f} x: {theirs / mine:.1f} times as fast"
        )


def time_embed(run: Path, aligned: Path, n_utterances: int, repeats: int) -> None:
    """Print the speed of the first repeat of `speech2vec embed`, and the median of the others."""
    print(f"{machine_name()}, load before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repeat_utterances(aligned, n_utterances, folder / "aligned")
        made: list[Embeddings] = []

        def work() -> None:
            made.append(embed(Run.load(run), folder / "aligned"))
            made[-1].save(folder / "vectors.parquet")

        taken = take_turns([work], repeats + 1)[:, 0]
    print(made[0])
    print_speed("first", made[0].seconds, *taken[0])
    print_speed("median of the others", made[0].seconds, *np.median(taken[1:], axis=0))


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    mfcc = what.add_parser("mfcc", help="speech2vec features beside librosa")
    mfcc.add_argument("aligned", type=Path, help="output of speech2vec-align")
    mfcc.add_argument("--utterances", type=int, default=200)
    mfcc.add_argument("--jobs", type=int, default=1, help="processes of a third side")
    mfcc.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in speech2vec features")
    emotion = what.add_parser("emotion", help="the 34 features of emotion beside pyAudioAnalysis")
    emotion.add_argument("folder", type=Path, help="audio files")
    emotion.add_argument("--seconds", type=float, default=120.0, help="audio to measure on")
    vectors = what.add_parser("embed", help="speech2vec embed")
    vectors.add_argument("run", type=Path, help="output of speech2vec train")
    vectors.add_argument("aligned", type=Path, help="output of speech2vec-align")
    vectors.add_argument("--utterances", type=int, default=1000)
    for subparser, repeats in ((mfcc, 3), (emotion, 5), (vectors, 3)):
        subparser.add_argument("--repeats", type=int, default=repeats)
    given = parser.parse_args(arguments)
    repeats = max(1, given.repeats)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "n_fft=.* is too large")  # librosa, words shorter than a window
    try:
        with threadpool_limits(1):
            if given.what == "mfcc":
                settings = load_settings(MfccSettings, None, given.set)
                compare_mfcc(given.aligned, max(1, given.utterances), repeats, given.jobs, settings)
            elif given.what == "emotion":
                compare_emotion(given.folder, given.seconds, repeats)
            else:
                time_embed(given.run, given.aligned, max(1, given.utterances), repeats)
    except UserError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
