"""The second paper's tables in one command, from a tree in IEMOCAP's layout."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from scripts.make_iemocap_like import make_iemocap_like, read_words
from scripts.run_iemocap import command, find_vectors
from speech2vec.runtime.errors import UserError
from speech2vec.vectors.word_vectors import WordVectors, write_vectors


@pytest.fixture
def librispeech_out(tmp_path: Path) -> Path:
    """Vectors of two sizes where scripts.run_librispeech leaves them."""
    out = tmp_path / "librispeech"
    rng = np.random.default_rng(0)
    words = read_words()[:300]
    for size in (50, 100):
        for path in (out / f"speech2vec-{size}" / "vectors.txt", out / f"word2vec-{size}.txt"):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_vectors(path, WordVectors(words, rng.standard_normal((300, size)).astype(np.float32)))
    return out


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_from_the_corpus_to_the_three_tables(
    librispeech_out: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = make_iemocap_like(tmp_path / "tree", 0.01)
    out = tmp_path / "a folder" / "out"
    small = ["model.hidden_size=8", "model.dense_size=8", "training.epochs=1"]
    small += ["spectrogram_cnn.epochs=1", "spectrogram_cnn.channels=[4, 4, 4]", "dnn_elm.epochs=1"]
    command(root, out, vectors=librispeech_out, seeds=1, set_=small, jobs=1)
    meta = json.loads((out / "prepared" / "meta.json").read_text())
    assert meta["kind"] == "iemocap" and meta["counts"]["by_label"].keys() == {"neu", "hap", "sad", "ang"}
    printed = capfd.readouterr().out
    assert all(f"\n  Table {number}\n" in printed for number in (1, 2, 3)) and "68.49" in printed
    with (out / "tables" / "tables.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["table"] for row in rows} == {"1", "2", "3", "4"}
    runs = {path.name for path in (out / "tables" / "runs").iterdir()}
    kinds = [f"dual-{kind}-{size}" for kind in ("speech", "word", "random") for size in (50, 100)]
    assert runs >= {
        "svm",
        "evector",
        "acoustic",
        "embedding-speech-50",
        "embedding-word-50",
        "embedding-random-50",
        *kinds,
    }
    weights = {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")}
    assert len(weights) >= 10
    # One row is lost: the same call makes it anew, and nothing else.
    lost = out / "tables" / "runs" / "dual-word-100" / "members" / "session5" / "seed-0"
    for path in lost.iterdir():
        path.unlink()
    command(root, out, vectors=librispeech_out, seeds=1, set_=small, jobs=1)
    again = {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")}
    assert again.keys() == weights.keys()
    assert [path for path in weights if again[path] != weights[path]] == [lost / "model.safetensors"]
    assert "prepare iemocap" not in capfd.readouterr().out


def test_vectors_are_found_by_name(librispeech_out: Path, tmp_path: Path) -> None:
    (librispeech_out / "word2vec-50.txt.part").write_text("")
    (librispeech_out / "word2vec-old.txt").write_text("")
    speech, word = find_vectors(librispeech_out)
    assert sorted(speech) == sorted(word) == [50, 100]
    (librispeech_out / "word2vec-100.txt").unlink()
    with pytest.raises(UserError, match=r"only one kind at size\(s\) 100"):
        find_vectors(librispeech_out)
    with pytest.raises(UserError, match="holds no vectors"):
        find_vectors(tmp_path / "nowhere")
    with pytest.raises(UserError, match="there is no such folder"):
        command(tmp_path / "nowhere", tmp_path / "out", vectors=librispeech_out)
