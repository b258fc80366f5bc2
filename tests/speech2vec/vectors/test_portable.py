"""The encoder for new audio: equal to the store's path, whatever it is given; its file; what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch
from aligned_folders import RATE, change_words, make_aligned
from fakes import untrained_run
from safetensors.torch import save_file

from speech2vec.corpus import audio
from speech2vec.corpus.manifest import read_utterances, write_utterances
from speech2vec.features.extraction import extract
from speech2vec.features.frontend import FrontEnd
from speech2vec.features.mfcc import MfccSettings
from speech2vec.features.store import Store
from speech2vec.model.encoding import encode_instances
from speech2vec.model.settings import ModelSettings
from speech2vec.model.speech2vec import seeded_model
from speech2vec.runtime.errors import UserError
from speech2vec.training.presets import TrainSettings
from speech2vec.training.run import Run
from speech2vec.vectors.portable import PortableEncoder, embed

MODEL = ModelSettings(vector_size=6)


def make_encoder(**mfcc: object) -> PortableEncoder:
    return PortableEncoder(seeded_model(13, MODEL, 3).eval(), FrontEnd(MfccSettings(**mfcc)))  # type: ignore[arg-type]


@pytest.mark.parametrize("normalise", ["speaker", "utterance", "corpus", "none"])
def test_an_aligned_folder_gives_what_its_store_gives(aligned: Path, tmp_path: Path, normalise: str) -> None:
    encoder = make_encoder(normalise=normalise, max_frames=9)
    embeddings = encoder.encode_aligned(aligned)
    extract(aligned, tmp_path / "store", encoder.front_end, quiet=True)
    store = Store.open(tmp_path / "store")
    np.testing.assert_allclose(embeddings.vectors, encode_instances(encoder.model, store), atol=1e-6)
    assert embeddings.words == store.words() and len(embeddings) == store.n_words == 25
    assert embeddings.utterance_id == [store.utterance_ids[i] for i in store.utterance]
    np.testing.assert_array_equal(embeddings.start, store.start)
    np.testing.assert_array_equal(embeddings.end, store.end)
    assert (embeddings.seconds, embeddings.failed, embeddings.synthetic) == (5.0, [], False)


@pytest.mark.parametrize("normalise", ["utterance", "none"])
def test_one_recording_gives_what_its_words_get_in_a_folder(aligned: Path, normalise: str) -> None:
    encoder = make_encoder(normalise=normalise)
    embeddings = encoder.encode_aligned(aligned)
    for utterance in read_utterances(aligned):
        own = np.flatnonzero(np.array(embeddings.utterance_id) == utterance.utterance_id)
        times = np.stack([embeddings.start[own], embeddings.end[own]], axis=1)
        vectors = encoder.encode(audio.load(utterance.audio), RATE, times)
        np.testing.assert_allclose(vectors, embeddings.vectors[own], atol=1e-6)


def test_one_recording_of_a_speaker_or_of_a_corpus_is_normalised_over_its_own_words(tmp_path: Path) -> None:
    aligned = make_aligned(tmp_path / "one", n_utterances=1)
    (utterance,) = read_utterances(aligned)
    for normalise in ("speaker", "corpus"):
        encoder = make_encoder(normalise=normalise)
        embeddings = encoder.encode_aligned(aligned)
        words = list(zip(embeddings.start.tolist(), embeddings.end.tolist(), strict=True))
        vectors = encoder.encode(audio.load(utterance.audio), RATE, words)
        np.testing.assert_allclose(vectors, embeddings.vectors, atol=1e-6)


def test_a_waveform_is_resampled(aligned: Path) -> None:
    encoder = make_encoder(sampling_rate=8000)
    samples = audio.load(read_utterances(aligned)[0].audio)
    half = soxr.resample(samples, RATE, 8000)
    words = [(0.1, 0.4), (0.5, 0.8)]
    np.testing.assert_allclose(encoder.encode(samples, RATE, words), encoder.encode(half, 8000, words), atol=1e-6)


def test_a_recording_without_words_has_no_vectors() -> None:
    assert make_encoder().encode(np.zeros(RATE, dtype=np.float32), RATE, []).shape == (0, 6)


@pytest.mark.parametrize(
    ("samples", "words", "message"),
    [
        (np.zeros((2, RATE)), [(0.1, 0.2)], r"has the shape \(n_samples,\)"),
        (np.zeros(0), [(0.1, 0.2)], "finite samples"),
        (np.full(RATE, np.nan), [(0.1, 0.2)], "finite samples"),
        (np.zeros(RATE), [(0.1, 0.2), (1.5, 1.7)], r"1 of 2 words lie outside .* \(first: word 1, 1.50 to 1.70 s\)"),
        (np.zeros(RATE), [(0.3, 0.2)], "end before they start"),
    ],
)
def test_what_cannot_be_encoded_is_refused(samples: np.ndarray, words: list[tuple[float, float]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_encoder().encode(samples, RATE, words)


def test_a_file_gives_back_the_encoder(aligned: Path, tmp_path: Path) -> None:
    encoder = make_encoder(normalise="utterance", n_mels=30)
    encoder.save(tmp_path / "encoder.safetensors")
    loaded = PortableEncoder.load(tmp_path / "encoder.safetensors")
    assert loaded.front_end.settings == encoder.front_end.settings and loaded.model.settings == MODEL
    np.testing.assert_array_equal(loaded.encode_aligned(aligned).vectors, encoder.encode_aligned(aligned).vectors)


def test_a_file_of_an_emotion_run_made_before_opens(tmp_path: Path) -> None:
    """Names, shapes and metadata as the first version wrote them."""
    half, draw = 25, torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {"decoder.output.bias": (13,), "decoder.output.weight": (13, 50)}
    for name, inputs, units in (
        ("encoder.directions.0", 13, half),
        ("encoder.directions.1", 13, half),
        ("decoder.lstm", 63, 50),
    ):
        own = {"bias": (4 * units,), "input": (inputs, 4 * units), "recurrent": (units, 4 * units)}
        shapes |= {f"{name}.{key}": shape for key, shape in own.items()}
    metadata = {
        "model": '{"objective":"skipgram","vector_size":50,"bidirectional":true,"cell":"lstm","decoder":"conditioned",'
        '"teacher_forcing":false}',
        "mfcc": '{"sampling_rate":16000,"n_mfcc":13,"hop_length":160,"win_length":400,"n_fft":512,"n_mels":40,'
        '"fmin":20.0,"fmax":null,"log_floor":1e-10,"normalise":"speaker","max_frames":null}',
    }
    tensors = {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}
    save_file(tensors, tmp_path / "encoder.safetensors", metadata=metadata)
    encoder = PortableEncoder.load(tmp_path / "encoder.safetensors")
    assert encoder.front_end.settings == MfccSettings() and encoder.model.settings.vector_size == 50
    samples = np.random.default_rng(0).normal(size=RATE) / 10
    assert np.isfinite(encoder.encode(samples, RATE, [(0.1, 0.3), (0.4, 0.8)])).all()
    values = sorted(float(value.sum()) for value in encoder.model.state_dict().values())
    assert values == pytest.approx(sorted(float(value.sum()) for value in tensors.values()))


@pytest.mark.parametrize("damage", ["missing", "cut", "not JSON", "other shape"])
def test_a_file_that_is_not_whole_is_refused(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "encoder.safetensors"
    if damage == "cut":
        make_encoder().save(file)
        file.write_bytes(file.read_bytes()[:-9])
    elif damage == "not JSON":
        save_file({"a": torch.zeros(1)}, file, metadata={"model": "{", "mfcc": "{"})
    elif damage == "other shape":
        metadata = {"model": MODEL.model_dump_json(), "mfcc": json.dumps(MfccSettings().model_dump())}
        save_file({"a": torch.zeros(1)}, file, metadata=metadata)
    with pytest.raises(
        UserError,
        match="does not exist" if damage == "missing" else r"encoder\.safetensors is not an encoder, or is damaged",
    ):
        PortableEncoder.load(file)


@pytest.fixture
def run(aligned: Path, tmp_path: Path) -> Run:
    extract(aligned, tmp_path / "store", MfccSettings(), quiet=True)
    return untrained_run(Store.open(tmp_path / "store"), TrainSettings(model=MODEL))


def test_words_shorter_than_a_frame_are_named(run: Run, aligned: Path) -> None:
    change_words(aligned, lambda words: [replace(words[0], end=words[0].start + 0.004), *words[1:]])
    embeddings = embed(run, aligned)
    assert embeddings.to_dict()["short_words"] == [{"utterance_id": "u0000", "word": "w0", "start": 0.05}]
    assert len(embeddings) == 25 and "1 word(s) shorter than a frame: w0 (u0000, 0.05 s)" in str(embeddings)


def test_what_failed_in_alignment_and_after_it_is_named(run: Run, aligned: Path) -> None:
    failure = {"utterance_id": "u9", "reason": "no words", "detail": ""}
    (aligned / "report.json").write_text(json.dumps({"words": 25, "failed": [failure]}))
    read_utterances(aligned)[1].audio.write_bytes(b"not sound")
    embeddings = embed(run, aligned)
    assert [row["utterance_id"] for row in embeddings.failed] == ["u9", "u0001"]
    assert embeddings.failed[1]["reason"] == "unreadable audio" and len(embeddings) == 20
    assert "2 utterance(s) failed, wholly or in part:\n  u9: no words" in str(embeddings)
    assert "<pre>20 words" in embeddings._repr_html_()


def test_synthetic_speech_is_called_so(run: Run, aligned: Path) -> None:
    assert not embed(run, aligned).synthetic and "SYNTHETIC" not in str(embed(run, aligned))
    (aligned / "synthetic.json").write_text("{}")
    embeddings = embed(run, aligned)
    assert embeddings.synthetic and embeddings.to_dict()["synthetic"] and "SYNTHETIC" in str(embeddings)


def test_an_utterance_may_be_a_part_of_its_file(run: Run, aligned: Path) -> None:
    whole = embed(run, aligned)
    utterances = [replace(u, start=0.0, end=1.0) for u in read_utterances(aligned)]
    write_utterances(aligned / "utterances.jsonl", utterances)
    np.testing.assert_array_equal(embed(run, aligned).vectors, whole.vectors)
