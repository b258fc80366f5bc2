"""Speed of feature extraction, from audio files to a store, beside librosa word by word: one run, one core, same data.

    python -m scripts.bench_features ALIGNED [--utterances 200] [--repeats 3] [--set n_mfcc=13]

ALIGNED is what speech2vec-align wrote. "This project" is the whole of `speech2vec features` in one process: reading
the alignment, decoding, MFCC, cutting, normalisation, the store on disk. The other side is what one writes with
librosa alone: load the file, cut each word's samples out, `librosa.feature.mfcc` of each, with the same settings;
nothing is normalised or written there. The shortest of the repeats counts for each, in turn; times are processor time.
"""

from __future__ import annotations

import argparse
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

from speech2vec.config import load_settings
from speech2vec.errors import UserError
from speech2vec.extraction import extract
from speech2vec.manifest import Utterance, read_utterances, read_words, write_utterances, write_words
from speech2vec.mfcc import MfccSettings
from speech2vec.runs import machine_name


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


def shortest(work: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Seconds of processor time of each, the shortest of `repeats`, in turn."""
    taken: list[list[float]] = [[] for _ in work]
    for _ in range(repeats):
        for times, function in zip(taken, work, strict=True):
            started = time.process_time()
            function()
            times.append(time.process_time() - started)
    return [min(times) for times in taken]


def compare(aligned: Path, n_utterances: int, repeats: int, settings: MfccSettings) -> None:
    """Print both speeds and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        utterances = take(aligned, n_utterances, folder / "aligned")
        words = read_words(folder / "aligned")
        times = np.stack([words["start"].to_numpy(), words["end"].to_numpy()], axis=1)
        ids = words["utterance_id"].to_numpy(zero_copy_only=False)
        spans = [times[ids == utterance.utterance_id] for utterance in utterances]

        def ours() -> object:
            return extract(folder / "aligned", folder / "store", settings, quiet=True, force=True)

        result = extract(folder / "aligned", folder / "store", settings, quiet=True)
        word_by_word(utterances[:1], spans[:1], settings)  # librosa compiles and caches on first use
        mine, theirs = shortest([ours, lambda: word_by_word(utterances, spans, settings)], repeats)
        suffixes = ", ".join(sorted({utterance.audio.suffix for utterance in utterances}))
        print(f"{machine_name()}, one core, processor time")
        print(
            f"{len(utterances)} utterances ({suffixes}), {result.seconds:,.1f} s of audio, {result.n_words:,} words, "
            f"{len(result.failed)} failed"
        )
        print(f"speech2vec features, audio to store: {mine:.2f} s, {result.seconds / mine:,.0f} x real time")
        print(f"librosa word by word, no store:      {theirs:.2f} s, {result.seconds / theirs:,.0f} x real time")
        print(f"ratio: {theirs / mine:.1f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("aligned", type=Path, help="what speech2vec-align wrote")
    parser.add_argument("--utterances", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="one setting of the features: key=value")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "n_fft=.* is too large")  # words shorter than a window, of librosa's side
    try:
        settings = load_settings(MfccSettings, None, arguments.set)
        with threadpool_limits(1):
            compare(arguments.aligned, max(1, arguments.utterances), max(1, arguments.repeats), settings)
    except UserError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
