"""Any audio that libsndfile reads, and one clear line for what it cannot read."""

from __future__ import annotations

import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from speech2vec.corpus import audio

FORMATS = [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("OGG", "OPUS")]
EXACT = [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("AIFF", "PCM_16")]


def noise(n_samples: int, n_channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (n_samples, n_channels)).astype(np.float32)


def tone(seconds: float, rate: int = 16000) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@given(
    st.integers(0, 3000),
    st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000]),
    st.integers(1, 3),
    st.sampled_from(EXACT),
    st.none() | st.integers(0, 3),
)
def test_any_length_rate_and_channels(
    n_samples: int, rate: int, n_channels: int, kind: tuple[str, str], channel: int | None
) -> None:
    written = noise(n_samples, n_channels)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a"
        sf.write(file, written, rate, format=kind[0], subtype=kind[1])
        try:
            known = audio.info(file)
            own = audio.load(file, sampling_rate=None, channel=channel)
            loaded = audio.load(file, channel=channel)
        except audio.AudioError as error:
            assert n_samples < 4 or (channel or 0) >= n_channels
            assert str(error).startswith(f"{file}: ")
            return
    assert (known.sampling_rate, known.n_samples, known.n_channels) == (rate, n_samples, n_channels)
    wanted = written.mean(axis=1) if channel is None else written[:, channel]
    assert own.dtype == loaded.dtype == np.float32
    assert own.shape == (n_samples,)
    assert own.flags.c_contiguous and loaded.flags.c_contiguous
    np.testing.assert_allclose(own, wanted, atol=2**-15)
    assert abs(len(loaded) - n_samples * 16000 / rate) <= 1
    assert np.isfinite(loaded).all()


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".flac"])
def test_the_content_counts_and_not_the_suffix(tmp_path: Path, kind: tuple[str, str], suffix: str) -> None:
    file = tmp_path / f"a{suffix}"
    sf.write(file, tone(1.0), 16000, format=kind[0], subtype=kind[1])
    loaded = audio.load(file)
    assert abs(len(loaded) - 16000) < 1200
    assert abs(np.sqrt(np.mean(loaded**2)) - 0.3 / np.sqrt(2)) < 0.02


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_keeps_a_tone_in_its_place(tmp_path: Path, rate: int) -> None:
    sf.write(tmp_path / "a.wav", tone(1.0, rate), rate, subtype="FLOAT")
    loaded = audio.load(tmp_path / "a.wav")
    np.testing.assert_allclose(loaded[500:-500], tone(1.0)[500:-500], atol=1e-3)


@pytest.mark.parametrize("kind", FORMATS[:2])
@given(st.floats(0, 0.99), st.floats(0.001, 1.05))
def test_a_part_is_that_part_of_the_whole(kind: tuple[str, str], start: float, length: float) -> None:
    written = noise(16000)[:, 0]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a"
        sf.write(file, written, 16000, format=kind[0], subtype=kind[1])
        whole = audio.load(file)
        try:
            part = audio.load(file, start, start + length)
        except audio.AudioError as error:
            assert start + length > 1.0999 and "a segment up to" in str(error)
            return
    np.testing.assert_array_equal(part, whole[round(start * 16000) : round((start + length) * 16000)])


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("kept", [0.002, 0.02, 0.5, 0.95])
def test_a_truncated_file_is_never_taken_for_a_whole_one(tmp_path: Path, kind: tuple[str, str], kept: float) -> None:
    file = tmp_path / "a"
    sf.write(file, noise(80000), 16000, format=kind[0], subtype=kind[1])
    content = file.read_bytes()
    file.write_bytes(content[: max(1, int(len(content) * kept))])
    with pytest.raises(audio.AudioError) as caught:
        audio.load(file)
    told = str(caught.value)
    assert told.startswith(f"{file}: ") and "\n" not in told
    assert any(reason in told for reason in ("truncated", "cannot be decoded", "not a readable audio file"))


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=25)
@given(position=st.floats(0, 1), junk=st.binary(min_size=1, max_size=200))
def test_bytes_of_another_file_are_read_or_refused(kind: tuple[str, str], position: float, junk: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a"
        sf.write(file, noise(8000), 16000, format=kind[0], subtype=kind[1])
        content = bytearray(file.read_bytes())
        begin = int(position * len(content))
        content[begin : begin + len(junk)] = junk
        file.write_bytes(content)
        try:
            loaded = audio.load(file)
        except audio.AudioError as error:
            assert str(file) in str(error)
        else:
            assert len(loaded) and np.isfinite(loaded).all()


def test_a_length_that_is_not_told_is_a_clear_error(tmp_path: Path) -> None:
    """FLAC written to a pipe: the header's count of samples is zero."""
    file = tmp_path / "a.flac"
    sf.write(file, noise(16000), 16000)
    content = bytearray(file.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    file.write_bytes(content)
    with pytest.raises(audio.AudioError, match="its header lacks the length"):
        audio.load(file)


@pytest.mark.parametrize(
    ("content", "told"), [(b"", r"empty \(0 bytes\)"), (b"no sound" * 99, "not a readable audio file")]
)
def test_a_file_that_is_no_audio(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(audio.AudioError, match=told):
        audio.load(tmp_path / "a.wav")


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(audio.AudioError, match="no such audio file"):
        audio.load(tmp_path / "none.wav")
    with pytest.raises(audio.AudioError, match="not a readable audio file"):
        audio.load(tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    samples = noise(1000)
    samples[500] = value
    sf.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(audio.AudioError, match="NaN or infinite"):
        audio.load(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("rate", "n_channels", "told"),
    [
        (1, 1, "claims 1 Hz, 2000 to 384000"),
        (1999, 1, "claims 1999 Hz"),
        (500_000, 1, "claims 500000 Hz"),
        (16000, 65, "claims 65 channels, 1 to 64"),
    ],
)
def test_a_header_that_claims_what_no_recording_has(tmp_path: Path, rate: int, n_channels: int, told: str) -> None:
    file = tmp_path / "a.wav"
    sf.write(file, np.zeros((1000, n_channels), dtype=np.float32), rate)
    for read in (audio.info, audio.load):
        with pytest.raises(audio.AudioError, match=told) as caught:
            read(file)
        assert "\n" not in str(caught.value) and len(str(caught.value)) <= 300 + len(str(file))


def write_flac_that_claims(file: Path, n_samples: int) -> None:
    """A second of noise as FLAC whose header (STREAMINFO) gives another number of samples, in 36 bits."""
    sf.write(file, noise(16000), 16000, format="FLAC")
    content = bytearray(file.read_bytes())
    content[21] = content[21] & 0xF0 | n_samples >> 32
    content[22:26] = (n_samples & 0xFFFFFFFF).to_bytes(4, "big")
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("n_samples", "told"),
    [
        (2**36 - 1, "claims 1193 hours"),
        (2**30, r"18.6 hours are too long .* \(at most 4.0 hours\)"),
        (2**26, "cannot be decoded to the end"),
    ],
)
def test_a_flac_that_claims_to_be_longer_fills_no_memory(tmp_path: Path, n_samples: int, told: str) -> None:
    write_flac_that_claims(tmp_path / "a.flac", n_samples)
    tracemalloc.start()
    try:
        with pytest.raises(audio.AudioError, match=told):
            audio.load(tmp_path / "a.flac")
        assert tracemalloc.get_traced_memory()[1] < 2**29
    finally:
        tracemalloc.stop()


def test_the_memory_of_resampling_is_bounded(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", np.zeros(2_000_000, dtype=np.float32), 2000)
    with pytest.raises(audio.AudioError, match=r"0.3 hours are too long to load at once at 1000000 Hz \(at most 0.1"):
        audio.load(tmp_path / "a.wav", sampling_rate=1_000_000)


@pytest.mark.parametrize("channel", [None, 1])
def test_long_audio_is_decoded_in_blocks_without_a_seam(tmp_path: Path, channel: int | None) -> None:
    written = noise(3_000_000, 2)  # more than a block
    sf.write(tmp_path / "a.wav", written, 44100, subtype="FLOAT")
    mono = written.mean(axis=1) if channel is None else written[:, channel]
    loaded = audio.load(tmp_path / "a.wav", channel=channel)
    np.testing.assert_array_equal(loaded, soxr.resample(np.ascontiguousarray(mono), 44100, 16000))
    np.testing.assert_array_equal(audio.load(tmp_path / "a.wav", sampling_rate=None, channel=channel), mono)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"channel": 2}, r"has 2 channel\(s\), channel 2 was requested"),
        ({"start": 1.5}, "is 1.00 s long, a segment from 1.50 s was requested"),
        ({"end": 1.5}, "is 1.00 s long, a segment up to 1.50 s was requested"),
    ],
)
def test_what_the_file_does_not_have(tmp_path: Path, arguments: dict[str, float], told: str) -> None:
    sf.write(tmp_path / "a.wav", noise(16000, 2), 16000)
    with pytest.raises(audio.AudioError, match=told):
        audio.load(tmp_path / "a.wav", **arguments)  # type: ignore[arg-type]
    sf.write(tmp_path / "a.wav", noise(0), 16000)
    with pytest.raises(audio.AudioError, match="contains no samples"):
        audio.load(tmp_path / "a.wav")


@pytest.mark.corpus
def test_real_speech_has_the_length_of_its_header(librispeech: Path) -> None:
    for suffix, tolerance in ((".flac", 0), (".mp3", 2304)):
        for file in sorted(librispeech.rglob(f"*{suffix}"))[:8]:
            known = audio.info(file)
            loaded = audio.load(file)
            assert abs(len(loaded) - known.duration * 16000) <= tolerance
            assert 0.01 < np.abs(loaded).max() <= 1.001


def test_samples_over_full_scale_are_cut_in_pcm16() -> None:
    samples = np.array([0.0, 0.5, 1.0, 1.5, -0.5, -1.0, -2.0], dtype=np.float32)
    assert np.frombuffer(audio.pcm16(samples), "<i2").tolist() == [0, 16383, 32767, 32767, -16383, -32767, -32767]
    assert audio.pcm16(samples[1:2]) == b"\xff\x3f"
    assert audio.pcm16(samples[:0]) == b""
