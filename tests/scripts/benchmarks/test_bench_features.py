"""Both sides compute the same words; each measurement prints its speeds."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scripts.benchmarks import bench_features
from speech2vec.corpus.manifest import Utterance, Word, read_utterances, read_words, write_utterances, write_words
from speech2vec.features.extraction import extract
from speech2vec.features.mfcc import MfccSettings
from speech2vec.features.store import Store
from speech2vec.model.speech2vec import seeded_model
from speech2vec.training.presets import TrainSettings
from speech2vec.training.run import Run


@pytest.fixture
def aligned(tmp_path: Path) -> Path:
    """Three recordings of one second, two of them aligned."""
    draw, folder = np.random.default_rng(0), tmp_path / "aligned"
    folder.mkdir()
    utterances = [Utterance(name, tmp_path / f"{name}.flac", "one two", "s") for name in ("a", "b", "unaligned")]
    for utterance in utterances:
        soundfile.write(utterance.audio, draw.normal(size=16000) / 10, 16000)
    write_utterances(folder / "utterances.jsonl", utterances)
    words = [Word(name, word, *time) for name in "ab" for word, *time in (("one", 0.1, 0.4), ("two", 0.5, 0.9))]
    write_words(folder / "words.parquet", words)
    return folder


def test_mfcc_ends_with_the_ratio(aligned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench_features.main(["mfcc", str(aligned), "--utterances", "2", "--repeats", "1"])
    _, counts, *sides, ratio = capsys.readouterr().out.splitlines()
    assert counts.startswith("2 utterances (.flac), 2.0 s of audio, 4 words, 0 failed")
    assert len(sides) == 2 and all("x real time" in side for side in sides)
    assert re.fullmatch(r"ratio: \d+\.\d", ratio)


def test_librosa_gets_each_word(aligned: Path) -> None:
    utterances, spans = read_utterances(aligned), [np.array([[0.1, 0.4], [0.5, 0.9]])] * 3
    assert bench_features.word_by_word(utterances, spans, MfccSettings()) == 3 * (31 + 41)


def test_emotion_features_are_those_of_the_reference(aligned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyAudioAnalysis")
    bench_features.main(["emotion", str(aligned.parent), "--seconds", "2", "--repeats", "1"])
    machine, difference, *hops = capsys.readouterr().out.splitlines()
    assert "2 recordings, 2.0 s" in machine and float(difference.split()[-1]) < 1e-6
    assert len(hops) == 2 and all("times as fast" in hop for hop in hops)


def test_embed_repeats_utterances_and_prints_two_speeds(
    aligned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench_features.repeat_utterances(aligned, 5, tmp_path)
    assert [u.utterance_id for u in read_utterances(tmp_path)] == ["a#0", "b#1", "a#2", "b#3", "a#4"]
    assert read_words(tmp_path)["word"].to_pylist() == ["one", "two"] * 5

    extract(aligned, tmp_path / "store", MfccSettings(), quiet=True)
    settings = TrainSettings()
    model = seeded_model(13, settings.model, 0).eval()
    run = Run(tmp_path / "run", model, settings, Store.open(tmp_path / "store"), {})
    monkeypatch.setattr(bench_features.Run, "load", lambda _: run)
    bench_features.time_embed(tmp_path / "run", aligned, 5, 1)
    _, made, first, others = capsys.readouterr().out.splitlines()
    assert made.startswith("10 words from 5 utterance(s), 5.0 s of speech, ")
    assert first.startswith("first: ") and others.startswith("median of the others: ") and "x real time" in others


@pytest.mark.parametrize("what", ["mfcc", "emotion"])
def test_an_empty_input_is_one_line(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyAudioAnalysis")
    write_utterances(tmp_path / "utterances.jsonl", [])
    write_words(tmp_path / "words.parquet", [])
    with pytest.raises(SystemExit) as ended:
        bench_features.main([what, str(tmp_path)])
    assert ended.value.code == 2
    assert re.fullmatch(rf"error: {tmp_path} has no (aligned words|audio files)\n", capsys.readouterr().err)
