"""Both sides of the benchmark do the same words, and its last line is the ratio."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scripts.benchmarks.bench_features import compare, word_by_word
from speech2vec.corpus.manifest import Utterance, Word, read_utterances, read_words, write_utterances, write_words
from speech2vec.features.mfcc import MfccSettings


@pytest.fixture
def aligned(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    utterances, words = [], []
    for number in range(3):
        name, file = f"u{number}", tmp_path / f"u{number}.flac"
        soundfile.write(file, draw.normal(size=16000) / 10, 16000)
        utterances.append(Utterance(utterance_id=name, audio=file, speaker="s", text="one two"))
        words += [Word(name, "one", 0.1, 0.4, None), Word(name, "two", 0.5, 0.9, None)]
    folder = tmp_path / "aligned"
    folder.mkdir()
    write_utterances(folder / "utterances.jsonl", utterances)
    write_words(folder / "words.parquet", words)
    return folder


def test_the_last_line_is_the_ratio(aligned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare(aligned, n_utterances=2, repeats=1, jobs=1, settings=MfccSettings())
    _, told, *sides, ratio = capsys.readouterr().out.splitlines()
    assert told.startswith("2 utterances (.flac), 2.0 s of audio, 4 words, 0 failed")
    assert len(sides) == 2 and all("x real time" in side for side in sides)
    assert re.fullmatch(r"ratio: \d+\.\d", ratio)


def test_librosa_gets_each_word(aligned: Path) -> None:
    spans = [np.array([[0.1, 0.4], [0.5, 0.9]])] * 3
    n_frames = word_by_word(read_utterances(aligned), spans, MfccSettings())
    assert n_frames == 3 * (31 + 41)
    assert len(read_words(aligned)) == 6
