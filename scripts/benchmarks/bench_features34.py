"""Speed of the 34 features beside pyAudioAnalysis, on the same real recordings, in one process on one core.

    python -m scripts.benchmarks.bench_features34 FOLDER [--seconds 120] [--repeats 5]

FOLDER holds audio of any kind (real speech). Both sides get the same samples and settings, in turn; the shortest of
the repeats counts for each. The largest difference between the two is printed too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pyAudioAnalysis import ShortTermFeatures
from threadpoolctl import threadpool_limits

from emotion.features.pyaudioanalysis import extract
from speech2vec.corpus import audio
from speech2vec.corpus.readers import AUDIO_SUFFIXES
from speech2vec.runtime.environment import machine_name
from speech2vec.runtime.errors import UserError

SAMPLING_RATE = 16000


def read_signals(folder: Path, seconds: float) -> list[np.ndarray]:
    """Recordings spread evenly over the folder, `seconds` of sound in all (or all there is)."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES and not p.name.startswith("."))
    if not paths:
        raise UserError(f"{folder} holds no audio files")
    order = np.argsort(np.arange(len(paths)) * 0.6180339887 % 1)
    signals: list[np.ndarray] = []
    total = 0.0
    for i in order:
        signals.append(audio.load(paths[i], sampling_rate=SAMPLING_RATE))
        total += len(signals[-1]) / SAMPLING_RATE
        if total >= seconds:
            break
    return signals


def reference(signal: np.ndarray, window: float, hop: float) -> np.ndarray:
    """The reference's features of `signal` [shape=(n_windows, 34)]."""
    length, step = round(window * SAMPLING_RATE), round(hop * SAMPLING_RATE)
    features, _ = ShortTermFeatures.feature_extraction(
        np.double(signal) * 32768, SAMPLING_RATE, length, step, deltas=False
    )
    return features.T


def ours(signal: np.ndarray, window: float, hop: float) -> np.ndarray:
    """The project's features of `signal` [shape=(n_windows, 34)]."""
    return extract(signal, SAMPLING_RATE, window, hop)


def run(function: Callable[[np.ndarray, float, float], np.ndarray], signals: list[np.ndarray], hop: float) -> float:
    """Seconds of processor time for all signals."""
    started = time.process_time()
    for signal in signals:
        function(signal, 0.1, hop)
    return time.process_time() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=120.0, help="sound to measure on")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    try:
        signals = read_signals(arguments.folder, arguments.seconds)
    except UserError as error:
        parser.exit(2, f"error: {error}\n")
    with threadpool_limits(1):
        compare(signals, arguments.repeats)


def compare(signals: list[np.ndarray], repeats: int) -> None:
    """Print the largest difference, both speeds and their ratio."""
    total = sum(len(signal) for signal in signals) / SAMPLING_RATE
    difference = max(float(np.abs(ours(s, 0.1, 0.1) - reference(s, 0.1, 0.1)).max()) for s in signals)
    print(f"{machine_name()}, one core; {len(signals)} recordings, {total:.1f} s, {SAMPLING_RATE} Hz")
    print(f"largest difference: {difference:.1e}")
    for hop in (0.1, 0.05):
        theirs, mine = [], []
        for _ in range(repeats):
            theirs.append(run(reference, signals, hop))
            mine.append(run(ours, signals, hop))
        best_theirs, best_mine = min(theirs), min(mine)
        print(
            f"window 100 ms, hop {hop * 1000:.0f} ms: pyAudioAnalysis {total / best_theirs:,.0f} x real time, "
            f"emotion.features.pyaudioanalysis {total / best_mine:,.0f} x: {best_theirs / best_mine:.1f} times as fast"
        )


if __name__ == "__main__":
    main()
