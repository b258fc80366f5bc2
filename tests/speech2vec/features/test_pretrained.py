"""Frames of pretrained encoders: the model's own, every layer, of any length, from disk or not at all."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from aligned_folders import RATE, speechlike

pytest.importorskip("transformers")

from encoders import WIDTH, save_converted_whisper, save_wavlm, save_whisper
from transformers import AutoFeatureExtractor, AutoModel

from speech2vec.features.pretrained import PretrainedEncoder
from speech2vec.runtime.errors import UserError


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_whisper(tmp_path_factory.mktemp("encoders") / "whisper")


@pytest.fixture(scope="module")
def wavlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_wavlm(tmp_path_factory.mktemp("encoders") / "wavlm")


def reference(folder: Path, samples: np.ndarray) -> list[np.ndarray]:
    """All layers as transformers gives them."""
    extractor, model = AutoFeatureExtractor.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    inputs = extractor(samples, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        model = getattr(model, "encoder", model) if "input_features" in inputs else model
        return [layer[0].numpy() for layer in model(**inputs, output_hidden_states=True).hidden_states]


@pytest.mark.parametrize("layer", [0, 1, 2, -1])
def test_frames_are_those_of_transformers(wavlm: Path, layer: int) -> None:
    samples = speechlike(1.3, 1)
    found = PretrainedEncoder.open(wavlm, layer, "cpu").encode(samples)
    np.testing.assert_allclose(found, reference(wavlm, samples)[layer], atol=1e-5)
    assert found.shape == (64, WIDTH) and found.dtype == np.float32


def test_whisper_of_thirty_seconds_is_that_of_transformers(whisper: Path) -> None:
    samples = np.pad(speechlike(29.5, 1), (0, RATE // 2))  # ours adds half a second of silence, theirs fills up to 30
    found = PretrainedEncoder.open(whisper, -1, "cpu").encode(samples[: round(29.5 * RATE)])
    np.testing.assert_allclose(found, reference(whisper, samples)[-1][:1475], atol=1e-4)
    assert len(PretrainedEncoder.open(whisper, -1, "cpu").encode(samples[:16001])) == 51


def test_frames_lie_where_they_say(tmp_path: Path, whisper: Path) -> None:
    """A click changes the frames around its time, in the input of the first layer."""
    local = save_wavlm(tmp_path / "local", do_normalize=False, feat_extract_norm="layer")  # nothing over all time
    for folder in (whisper, local):
        encoder = PretrainedEncoder.open(folder, 0, "cpu")
        samples = 0.01 * speechlike(2.0, 1)
        clicked = samples.copy()
        clicked[16000:16010] += 0.5
        change = np.abs(encoder.encode(clicked) - encoder.encode(samples)).sum(axis=1)
        changed = np.flatnonzero(change > 0.1 * change.max())
        centre = encoder.first_centre + (changed[0] + changed[-1]) / 2 * encoder.frame_shift
        # Half a frame more: the convolution over positions has an even width.
        assert abs(centre - 1.0) <= 1.5 * encoder.frame_shift and len(changed) < 25


@pytest.mark.parametrize("name", ["whisper", "wavlm"])
def test_windows_of_a_long_recording_join_without_a_seam(request: pytest.FixtureRequest, name: str) -> None:
    encoder = PretrainedEncoder.open(request.getfixturevalue(name), 0, "cpu")
    seconds = 70
    # The same sound every second: a frame lost or repeated would show, as would one that lacks its neighbours.
    samples = np.tile(speechlike(1.0, 1), seconds)
    frames = encoder.encode(samples)
    assert len(frames) == (seconds * 50 if name == "whisper" else seconds * 50 - 1)
    if name == "wavlm":  # whose input layer knows no position
        np.testing.assert_allclose(frames[50:3400], np.tile(frames[50:100], (67, 1)), atol=2e-3)
    for n_samples in (29 * RATE, 30 * RATE + 1, 56 * RATE, 56 * RATE + 5, 82 * RATE):
        cut = encoder.encode(np.tile(samples, 2)[:n_samples])
        expected = -(-n_samples // 320) if name == "whisper" else (n_samples - 400) // 320 + 1
        assert len(cut) == expected


@pytest.mark.parametrize("n_samples", [1, 100, 399, 400, 401])
def test_the_shortest_recording_has_a_frame(whisper: Path, wavlm: Path, n_samples: int) -> None:
    for folder in (whisper, wavlm):
        frames = PretrainedEncoder.open(folder, -1, "cpu").encode(speechlike(0.1, 1)[:n_samples])
        assert len(frames) >= 1 and np.isfinite(frames).all()


def test_another_sampling_rate_and_gain(wavlm: Path) -> None:
    encoder = PretrainedEncoder.open(wavlm, -1, "cpu")
    samples = speechlike(1.0, 1)
    np.testing.assert_allclose(encoder.encode(samples), encoder.encode(0.1 * samples), atol=1e-3)  # it normalises
    assert encoder.encode(np.repeat(samples, 3), 48000).shape == encoder.encode(samples).shape


@pytest.mark.parametrize(("quantization", "tolerance"), [(None, 1e-4), ("float16", 5e-3), ("int8", 0.2)])
def test_a_folder_of_ctranslate2_gives_every_layer(tmp_path: Path, quantization: str | None, tolerance: float) -> None:
    ctranslate2 = pytest.importorskip("ctranslate2")
    model = save_converted_whisper(tmp_path / "converted", quantization)
    encoder = PretrainedEncoder.open(tmp_path / "converted", -1, "cpu")
    mel = torch.randn(1, 80, 3000, generator=torch.manual_seed(1))
    with torch.no_grad():
        ours = encoder.model(mel, output_hidden_states=True).hidden_states
        theirs = model.model.encoder(mel, output_hidden_states=True).hidden_states
    for one, other in zip(ours, theirs, strict=True):
        assert (one - other).abs().max() <= tolerance * other.abs().max()
    if quantization is None:  # and the last is what CTranslate2 computes
        runner = ctranslate2.models.Whisper(str(tmp_path / "converted"), device="cpu", compute_type="float32")
        last = np.array(runner.encode(ctranslate2.StorageView.from_array(mel.numpy())))
        np.testing.assert_allclose(ours[-1].numpy(), last, atol=1e-3)


def test_equal_weights_have_one_hash_and_others_another(tmp_path: Path, whisper: Path) -> None:
    opened = PretrainedEncoder.open(whisper, -1, "cpu")
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in whisper.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert PretrainedEncoder.open(copy, 0, "cpu").weights == opened.weights
    assert PretrainedEncoder.open(save_whisper(tmp_path / "other", 1), -1, "cpu").weights != opened.weights


def test_what_cannot_be_opened_is_said_in_one_line(tmp_path: Path, wavlm: Path) -> None:
    (tmp_path / "empty").mkdir()
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "model.bin").write_bytes(b"\x06\0\0\0\x0c\0WhisperSpec\0\x03\0\0\0\x05\0\0\0rest")
    slow = save_wavlm(tmp_path / "slow", conv_stride=[5, 2, 2, 2, 2, 2, 4])
    for name, told in (
        ("someone/no-such-encoder", "'hf download someone/no-such-encoder' fetches it"),
        (tmp_path / "empty", "holds no encoder that can be read"),
        (damaged, "is damaged, or not a Whisper model"),
        (slow, "no audio encoder with a frame every 20 ms"),
    ):
        with pytest.raises(UserError, match=told) as raised:
            PretrainedEncoder.open(name, -1, "cpu")
        assert len(str(raised.value)) <= 300 + len(str(tmp_path)) and "\n" not in str(raised.value)
    with pytest.raises(UserError, match="has 2 layers"):
        PretrainedEncoder.open(wavlm, 3, "cpu")


def test_files_that_claim_a_large_encoder_allocate_nothing(tmp_path: Path, wavlm: Path) -> None:
    """A configuration of 50,000 numbers a frame, and a file of CTranslate2 with a width of 30,000."""
    large = tmp_path / "large"
    large.mkdir()
    for file in wavlm.iterdir():
        (large / file.name).write_bytes(file.read_bytes())
    config = json.loads((wavlm / "config.json").read_text())
    (large / "config.json").write_text(json.dumps({**config, "hidden_size": 50_000}))
    wide = tmp_path / "wide"
    wide.mkdir()
    shapes = {"conv1/weight": (30_000, 1, 1), "layer_0/ffn/linear_0/bias": (4,), "position_encodings/encodings": (4, 1)}
    content = struct.pack("<IH12sII", 6, 12, b"WhisperSpec\0", 3, len(shapes) + 1)
    for name, shape in {**shapes, "num_heads": ()}.items():
        text, n = f"encoder/{name}\0".encode(), int(np.prod(shape))
        content += struct.pack(f"<H{len(text)}sB{len(shape)}I", len(text), text, len(shape), *shape)
        content += struct.pack("<BI", 0, 4 * n) + np.ones(n, dtype="<f4").tobytes()
    (wide / "model.bin").write_bytes(content)
    before = _peak()
    with pytest.raises(UserError, match=r"its config.json describes a larger one"):
        PretrainedEncoder.open(large, -1, "cpu")
    with pytest.raises(UserError, match="is damaged, or not a Whisper model: Error"):
        PretrainedEncoder.open(wide, -1, "cpu")
    assert _peak() - before < 500


def _peak() -> int:
    """Of this process's memory, in MB."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024
