"""A store of a pretrained encoder's frames: projected, cut by the word's times, the same for new recordings."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from aligned_folders import Program, contents, one_error

pytest.importorskip("transformers")

from encoders import WIDTH, save_wavlm, save_whisper

from speech2vec import api
from speech2vec.corpus import audio
from speech2vec.features.extraction import extract, merge
from speech2vec.features.frontend import FrontEnd, PretrainedSettings, Projection
from speech2vec.features.pretrained import PretrainedEncoder, open_encoder
from speech2vec.features.store import Store
from speech2vec.runtime.errors import UserError
from speech2vec.vectors.portable import PortableEncoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_wavlm(tmp_path_factory.mktemp("encoders") / "wavlm")


def test_a_projection_keeps_the_directions_of_most_variance() -> None:
    random = np.random.default_rng(0)
    strong = random.standard_normal((500, 2)) @ np.array([[3.0, 0, 0, 0], [0, 2.0, 0, 0]])
    frames = (strong + 0.1 * random.standard_normal((500, 4)) + 5).astype(np.float32)
    projection = Projection.fit(np.array_split(frames, 7), 2)
    reduced = projection(frames)
    np.testing.assert_allclose(reduced.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(np.abs(projection.components[:2]), np.eye(2), atol=0.15)
    assert reduced.std(axis=0)[0] > reduced.std(axis=0)[1] > 1.5
    flipped = Projection.fit([frames[::-1]], 2)
    np.testing.assert_allclose(flipped.components, projection.components, atol=1e-4)


@pytest.mark.parametrize("normalise", ["none", "speaker"])
def test_every_word_has_the_frames_centred_in_it(tmp_path: Path, aligned: Path, encoder: Path, normalise: str) -> None:
    settings = PretrainedSettings.model_validate({"encoder": str(encoder), "n_components": 6, "normalise": normalise})
    extract(aligned, tmp_path / "store", settings, quiet=True)
    store = Store.open(tmp_path / "store")
    projection = FrontEnd.of_store(store).projection
    assert store.frames.dtype == np.float16 and store.n_mfcc == 6 and projection is not None
    opened, words = PretrainedEncoder.open(encoder, -1, "cpu"), pq.read_table(aligned / "words.parquet").to_pylist()
    expected = []
    for word in words:
        frames = projection(opened.encode(audio.load(aligned / f"{word['utterance_id']}.flac")))
        centres = 0.0125 + 0.02 * np.arange(len(frames))
        inside = np.flatnonzero((centres >= word["start"] - 1e-6) & (centres < word["end"] - 1e-6))
        if not len(inside):
            inside = np.abs(centres - (word["start"] + word["end"]) / 2).argmin()[None]
        expected.append(frames[inside])
    speakers = [store.speakers[i] for i in store.speaker]
    for i, frames in enumerate(expected):
        if normalise == "speaker":
            own = np.concatenate([f for f, s in zip(expected, speakers, strict=True) if s == speakers[i]])
            frames = (frames - own.mean(axis=0)) / own.std(axis=0)
        np.testing.assert_allclose(store.segment(i), frames, atol=0.02)
    rows = np.array([3, 1])
    gathered = np.empty((int(store.n_frames[rows].sum()), 6), np.float32)
    np.testing.assert_array_equal(store.gather(rows, gathered), np.concatenate([store.segment(3), store.segment(1)]))


def test_parts_shards_and_resumption_give_the_same_store(
    tmp_path: Path, aligned: Path, encoder: Path, small_parts: None, program: Program
) -> None:
    command = ("features", aligned, "--encoder", encoder, "--set", "n_components=6", "--quiet")
    assert program(*command, "-o", tmp_path / "whole", "--jobs", 1)[0] == 0
    for k in (1, 2):
        assert program(*command, "-o", tmp_path / f"shard{k}", "--shard", f"{k}/2", "--jobs", 1)[0] == 0
    (tmp_path / "shard1" / "parts" / "000002.parquet").unlink()
    assert program(*command, "-o", tmp_path / "shard1", "--shard", "1/2", "--jobs", 1, "--resume")[0] == 0
    merge([tmp_path / "shard2", tmp_path / "shard1"], tmp_path / "merged")
    assert contents(tmp_path / "merged") == contents(tmp_path / "whole")
    file = tmp_path / "shard2" / "parts" / "projection.safetensors"
    other = Projection.load(file, PretrainedSettings(encoder="x", n_components=6))
    Projection(other.mean, other.components[::-1].copy()).save(file)
    with pytest.raises(UserError, match="differ"):
        merge([tmp_path / "shard1", tmp_path / "shard2"], tmp_path / "again")


def test_new_recordings_get_the_stores_encoder_and_projection(tmp_path: Path, aligned: Path, encoder: Path) -> None:
    api.extract(aligned, tmp_path / "store", encoder=encoder, settings={"n_components": 6}, jobs=1, quiet=True)
    run = api.train(tmp_path / "store", tmp_path / "run", preset="acoustic", device="cpu", quiet=True)
    assert "owe it what it learned elsewhere" in str(run)
    portable = PortableEncoder.from_run(run)
    portable.save(tmp_path / "encoder.safetensors")
    loaded = PortableEncoder.load(tmp_path / "encoder.safetensors")
    np.testing.assert_allclose(loaded.encode_aligned(aligned).vectors, run.vectors(), atol=1e-4)


def test_an_encoder_that_changed_is_refused(tmp_path: Path, aligned: Path) -> None:
    folder = save_whisper(tmp_path / "encoder")
    settings = PretrainedSettings(encoder=str(folder), n_components=2 * WIDTH)
    extract(aligned, tmp_path / "store", settings, quiet=True)
    assert Store.open(tmp_path / "store").n_mfcc == WIDTH  # it has no more
    shutil.rmtree(folder)
    save_whisper(folder, seed=1)
    open_encoder.cache_clear()
    with pytest.raises(UserError, match="has other weights"):
        extract(aligned, tmp_path / "other", FrontEnd.of_store(Store.open(tmp_path / "store")), quiet=True)


def test_what_cannot_be_done_is_said_in_one_line(tmp_path: Path, aligned: Path, program: Program) -> None:
    command = ("features", aligned, "-o", tmp_path / "store", "--encoder", "someone/no-such-encoder")
    one_error("hf download someone/no-such-encoder", program(*command))
    one_error("unknown setting 'n_mels'", program(*command, "--set", "n_mels=40"))
    assert not (tmp_path / "store").exists()
