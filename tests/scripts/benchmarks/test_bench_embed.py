"""The utterances of the benchmark are those of the user, repeated; it prints two speeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from scripts.benchmarks import bench_embed
from speech2vec.corpus.manifest import Utterance, Word, read_utterances, read_words, write_utterances, write_words
from speech2vec.features.extraction import extract
from speech2vec.features.mfcc import MfccSettings
from speech2vec.features.store import Store
from speech2vec.model.speech2vec import seeded_model
from speech2vec.training.presets import TrainSettings
from speech2vec.training.run import Run


def test_utterances_are_repeated_and_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    aligned, draw = tmp_path / "aligned", np.random.default_rng(0)
    aligned.mkdir()
    utterances = [Utterance(name, aligned / f"{name}.flac", "one two", "s") for name in ("a", "b", "unaligned")]
    for utterance in utterances:
        soundfile.write(utterance.audio, draw.normal(size=16000) / 10, 16000)
    write_utterances(aligned / "utterances.jsonl", utterances)
    words = [Word(name, word, 0.1 + i / 2, 0.4 + i / 2) for name in "ab" for i, word in enumerate(("one", "two"))]
    write_words(aligned / "words.parquet", words)
    bench_embed.repeat_utterances(aligned, 5, tmp_path)
    assert [u.utterance_id for u in read_utterances(tmp_path)] == ["a#0", "b#1", "a#2", "b#3", "a#4"]
    assert read_words(tmp_path)["word"].to_pylist() == ["one", "two"] * 5

    extract(aligned, tmp_path / "store", MfccSettings(), quiet=True)
    settings = TrainSettings()
    model = seeded_model(13, settings.model, 0).eval()
    run = Run(tmp_path / "run", model, settings, Store.open(tmp_path / "store"), {})
    monkeypatch.setattr(bench_embed.Run, "load", lambda _: run)
    bench_embed.measure(tmp_path / "run", aligned, 5, 1)
    _, told, first, others = capsys.readouterr().out.splitlines()
    assert told.startswith("10 words from 5 utterance(s), 5.0 s of speech, ")
    assert first.startswith("first: ") and others.startswith("median of the others: ") and "x real time" in others
