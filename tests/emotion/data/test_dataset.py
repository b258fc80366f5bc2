"""A prepared corpus is read back as it was written, and a broken one is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from emotion.data.dataset import FEATURES_FILE, META_FILE, Prepared, PreparedWriter
from speech2vec.corpus.manifest import UTTERANCES_FILE, Utterance
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.seeds import generator

META = {"kind": "table", "name": "made", "labels": ["neu", "ang"], "fingerprint": "0" * 12}


def write(folder: Path, lengths: list[int], labels: list[str]) -> list[np.ndarray]:
    rng = generator(3)
    folder.mkdir()
    segments = [rng.normal(size=(n, 34)).astype(np.float32) for n in lengths]
    with PreparedWriter(folder, n_features=34) as writer:
        for i, (segment, label) in enumerate(zip(segments, labels, strict=True)):
            utterance = Utterance(
                f"u{i}", Path(f"/audio/u{i}.wav"), "yes" * i, f"s{i % 2}", extras={"label_full": label, "session": "1"}
            )
            writer.add(utterance, segment if len(segment) else None, len(segment) / 10 or None, label)
        writer.finish(META, {"left_out": []})
    return segments


def test_segments_come_back_and_counts_add_up(tmp_path: Path) -> None:
    segments = write(tmp_path / "p", [3, 0, 120, 7], ["ang", "neu", "neu", "ang"])
    prepared = Prepared.open(tmp_path / "p")
    assert len(prepared) == 4
    assert isinstance(prepared.features, np.memmap)
    for i, segment in enumerate(segments):
        np.testing.assert_array_equal(prepared.segment(i), segment)
    assert prepared.label_index.tolist() == [1, 0, 0, 1]
    assert prepared.session.tolist() == ["1"] * 4
    assert prepared.dialogue.tolist() == [None] * 4
    assert np.isnan(prepared.duration[1]) and prepared.duration[2] == 12.0
    assert prepared.meta["counts"]["by_label"] == {"neu": 2, "ang": 2}
    assert prepared.meta["counts"]["windows"] == 130
    assert prepared.meta["counts"]["without_words"] == 1
    assert [u.extras["label"] for u in prepared.utterances()] == prepared.label.tolist()


def test_a_text_only_corpus_has_no_windows(tmp_path: Path) -> None:
    write(tmp_path / "p", [0, 0], ["ang", "neu"])
    prepared = Prepared.open(tmp_path / "p")
    assert prepared.features.shape == (0, 34)
    assert prepared.segment(1).shape == (0, 34)


def test_utterances_that_are_not_those_of_the_index(tmp_path: Path) -> None:
    write(tmp_path / "p", [3, 4, 5], ["ang", "neu", "neu"])
    lines = (tmp_path / "p" / UTTERANCES_FILE).read_text().splitlines(keepends=True)
    (tmp_path / "p" / UTTERANCES_FILE).write_text("".join(lines[:2]))
    with pytest.raises(UserError, match=r"p: utterances.jsonl has 2 utterances, index.parquet has 3: prepare it again"):
        Prepared.open(tmp_path / "p").utterances()
    (tmp_path / "p" / UTTERANCES_FILE).write_text("".join(lines[::-1]))
    with pytest.raises(UserError, match=r"p: utterances.jsonl and index.parquet list different utterances"):
        Prepared.open(tmp_path / "p").utterances()


def test_what_is_not_whole_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a prepared corpus"):
        Prepared.open(tmp_path)
    folder = tmp_path / "p"
    write(folder, [3, 4], ["ang", "neu"])
    whole = (folder / FEATURES_FILE).read_bytes()
    (folder / FEATURES_FILE).write_bytes(whole[:-40])
    with pytest.raises(UserError, match=r"is not a complete array|is missing|is not a readable Parquet file"):
        Prepared.open(folder)
    np.save(folder / FEATURES_FILE, np.zeros((6, 34), np.float32))
    with pytest.raises(UserError, match="refers to windows"):
        Prepared.open(folder)
    (folder / FEATURES_FILE).write_bytes(whole)
    meta = json.loads((folder / META_FILE).read_text())
    (folder / META_FILE).write_text(json.dumps({**meta, "labels": ["neu"]}))
    with pytest.raises(UserError, match="label\\(s\\) ang are not among neu"):
        Prepared.open(folder)
    (folder / META_FILE).write_text(json.dumps({**meta, "format": 99}))
    with pytest.raises(UserError, match="format 99"):
        Prepared.open(folder)
