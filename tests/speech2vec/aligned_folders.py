"""Small ALIGNED folders of made-up sound, and what is asked of the stores made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile as sf

from speech2vec.corpus.manifest import Utterance, Word, write_utterances, write_words
from speech2vec.features.mfcc import MfccSettings

RATE = 16000


SETTINGS = MfccSettings()


def speechlike(seconds: float, seed: int) -> np.ndarray:
    """Noise whose loudness and colour change, so that frames differ."""
    random = np.random.default_rng(seed)
    n_samples = round(seconds * RATE)
    edges = np.arange(0, n_samples + 1600, 1600)
    loudness = np.interp(np.arange(n_samples), edges, random.uniform(0.01, 0.5, len(edges)))
    coloured = np.convolve(random.standard_normal(n_samples), [1, random.uniform(-0.9, 0.9)], "same")
    return (loudness * coloured / 4).astype(np.float32)


def make_aligned(folder: Path, n_utterances: int = 5, seconds: float = 1.0, suffix: str = ".flac") -> Path:
    """Two utterances to a speaker, a word every 0.2 s with a silence between words."""
    utterances, words = [], []
    for i in range(n_utterances):
        name = f"u{i:04d}"
        audio_file = folder / f"{name}{suffix}"
        folder.mkdir(parents=True, exist_ok=True)
        sf.write(audio_file, speechlike(seconds, i), RATE)
        starts = np.arange(0.05, seconds - 0.1, 0.2).round(2)
        said = [f"w{(i + k) % 4}" for k in range(len(starts))]
        utterances.append(Utterance(name, audio_file, " ".join(said), f"s{i // 2}"))
        for k, (word, start) in enumerate(zip(said, starts.tolist(), strict=True)):
            words.append(Word(name, word, start, round(start + 0.03 * (k % 5 + 1), 2), -float(k)))
    write_utterances(folder / "utterances.jsonl", utterances)
    write_words(folder / "words.parquet", words)
    return folder


def change_words(aligned: Path, change: Callable[[list[Word]], Sequence[Word]]) -> None:
    words = [Word(**row) for row in pq.read_table(aligned / "words.parquet").to_pylist()]
    write_words(aligned / "words.parquet", change(words))


def contents(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(store.rglob("*")) if path.is_file()}


def one_error(told: str, ended: tuple[int, str, str]) -> None:
    """The program ended with exit code 2 and this one line."""
    code, out, err = ended
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("error: ") and told in err


Program = Callable[..., tuple[int, str, str]]
