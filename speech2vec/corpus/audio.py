"""Reading audio: every format of libsndfile (WAV, FLAC, MP3, Ogg, ...), recognised by content, not by suffix."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import require_file

# libsndfile's log message for a WAV header that announces more bytes than the file has.
_SHORT_CHUNK = re.compile(r"data\s*:\s*(\d+)\s*\(should be (\d+)\)")

# The length that libsndfile reports for a FLAC stream without one (for example, written to a pipe).
_UNKNOWN_LENGTH = 2**63 - 1

# The one bound on what an audio header may claim: anything beyond is damage, and could fill the memory.
MIN_SAMPLING_RATE, MAX_SAMPLING_RATE = 2_000, 384_000  # Hz
MAX_CHANNELS = 64
MAX_HOURS = 100  # of the file
MAX_SAMPLES = 4 * 3600 * 16000  # loaded at once, after resampling: 4 hours at 16 kHz, 0.9 GB

_VALUES_PER_BLOCK = 2**22  # decoded at once, of all channels: 16 MB

_OGG_PAGE = 65307  # maximum page size in bytes (RFC 3533, section 6)

_OGG_HEADER = 27

_OGG_LAST_PAGE = 4


class AudioError(UserError):
    """An audio file that cannot be used; the message gives the file and the reason."""


@dataclass(frozen=True)
class AudioInfo:
    """Properties given in the header of a file.

    Parameters
    ----------
    sampling_rate : int, Hz
    n_samples : int
        Per channel.
    n_channels : int
    """

    sampling_rate: int
    n_samples: int
    n_channels: int

    @property
    def duration(self) -> float:
        """Duration in seconds."""
        return self.n_samples / self.sampling_rate


def _open(path: Path) -> sf.SoundFile:
    path = Path(path)
    try:
        file = sf.SoundFile(require_file(path))
    except UserError as error:
        raise AudioError(str(error)) from error
    except FileNotFoundError as error:
        raise AudioError(f"{path}: no such audio file") from error
    except sf.LibsndfileError as error:
        if path.stat().st_size == 0:
            raise AudioError(f"{path}: the audio file is empty (0 bytes)") from error
        # libsndfile reports an MP3 truncated within its first frames as "does not exist".
        reason = error.error_string.strip()
        reason = "nothing can be decoded" if reason.startswith("File does not exist") else reason
        raise AudioError(f"{path}: not a readable audio file ({reason})") from error
    except (TypeError, ValueError, OSError) as error:
        raise AudioError(f"{path}: not a readable audio file ({error})") from error
    if file.frames >= _UNKNOWN_LENGTH:
        file.close()
        raise AudioError(f"{path}: its header lacks the length (written to a pipe?): encode it again to a file")
    try:
        _check_header(path, file)
    except AudioError:
        file.close()
        raise
    return file


def _check_header(path: Path, file: sf.SoundFile) -> None:
    """Refuse what no recording has, before anything is decoded."""
    hours = file.frames / max(1, file.samplerate) / 3600
    for value, least, most, unit in (
        (file.samplerate, MIN_SAMPLING_RATE, MAX_SAMPLING_RATE, "Hz"),
        (file.channels, 1, MAX_CHANNELS, "channels"),
        (hours, 0, MAX_HOURS, "hours"),
    ):
        if not least <= value <= most:
            raise AudioError(
                f"{path}: its header claims {value:.0f} {unit}, {least} to {most} can be read: "
                "if the header is damaged, encode the file again"
            )


def info(path: Path) -> AudioInfo:
    """Sampling rate, length and number of channels, from the header."""
    with _open(path) as file:
        return AudioInfo(file.samplerate, file.frames, file.channels)


def _ogg_is_truncated(path: Path) -> bool:
    """Whether an Ogg file lacks the last page of its stream (RFC 3533), which libsndfile does not report."""
    with Path(path).open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _OGG_PAGE))
        tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < _OGG_HEADER or not page[5] & _OGG_LAST_PAGE:
        return True
    lengths = page[_OGG_HEADER : _OGG_HEADER + page[26]]
    return len(page) < _OGG_HEADER + page[26] + sum(lengths)


def load(
    path: Path,
    start: float | None = None,
    end: float | None = None,
    sampling_rate: int | None = 16000,
    channel: int | None = None,
) -> np.ndarray:
    """Load an audio file or a segment of it.

    Parameters
    ----------
    path : Path
    start, end : float or None, seconds
        The segment to read; None is the start or end of the file.
    sampling_rate : int or None, Hz
        Rate to resample to (soxr, high quality); None keeps the rate of the file.
    channel : int or None
        The channel to read, counted from 0; None averages all channels.

    Returns
    -------
    ndarray [shape=(n_samples,)], float32
        Mono, in [-1, 1].

    Raises
    ------
    AudioError
        If the file is missing, unreadable, truncated or empty, or lacks the channel or the segment.
    """
    with _open(path) as file:
        rate, n_channels = file.samplerate, file.channels
        short = _SHORT_CHUNK.search(file.extra_info)
        if short and int(short[2]) < int(short[1]):
            raise AudioError(f"{path}: truncated (the header announces {short[1]} bytes of audio, {short[2]} exist)")
        if channel is not None and channel >= n_channels:
            raise AudioError(f"{path}: has {n_channels} channel(s), channel {channel} was requested (the first is 0)")
        first = round((start or 0.0) * rate)
        last = file.frames if end is None else round(end * rate)
        if file.format == "OGG" and _ogg_is_truncated(path):
            raise AudioError(f"{path}: truncated (the last page of the Ogg stream is missing)")
        if first >= file.frames > 0:
            raise AudioError(f"{path}: is {file.frames / rate:.2f} s long, a segment from {start:.2f} s was requested")
        wanted = max(0, min(last, file.frames) - first)
        rate_wanted = sampling_rate or rate
        if wanted * rate_wanted > MAX_SAMPLES * rate:
            raise AudioError(
                f"{path}: {wanted / rate / 3600:.1f} hours are too long to load at once at {rate_wanted} Hz "
                f"(at most {MAX_SAMPLES / rate_wanted / 3600:.1f} hours): split it into segments"
            )
        try:
            if first:
                file.seek(first)
            n_decoded, samples = _decode(file, wanted, channel, rate_wanted)
        except sf.LibsndfileError as error:
            raise AudioError(f"{path}: cannot be decoded to the end ({error.error_string.strip()})") from error
        # The header of an MP3 gives its length only to within a few codec frames.
        tolerance = 4 * 1152 if file.format == "MPEG" else 0
        if n_decoded < wanted - tolerance:
            raise AudioError(f"{path}: truncated ({n_decoded / rate:.2f} of {wanted / rate:.2f} s could be decoded)")
        if end is not None and last > file.frames + 0.1 * rate:
            raise AudioError(f"{path}: is {file.frames / rate:.2f} s long, a segment up to {end:.2f} s was requested")
    if n_decoded == 0:
        raise AudioError(f"{path}: contains no samples")
    if len(samples) == 0:
        raise AudioError(f"{path}: its {n_decoded} samples at {rate} Hz are none at {sampling_rate} Hz")
    return samples


def _decode(file: sf.SoundFile, n_samples: int, channel: int | None, sampling_rate: int) -> tuple[int, np.ndarray]:
    """The number of samples decoded, and these as mono at `sampling_rate`; at most a block is in memory besides."""
    if file.channels == 1:
        channel = 0  # saves the cost of averaging one channel
    rate = file.samplerate
    resampler = soxr.ResampleStream(rate, sampling_rate, 1, dtype="float32") if rate != sampling_rate else None
    # A few more than needed, as the resampler may round up.
    mono = np.empty(math.ceil(n_samples * sampling_rate / rate) + 16, dtype=np.float32)
    n_decoded = n_written = 0
    while True:
        n_wanted = min(_VALUES_PER_BLOCK // file.channels, n_samples - n_decoded)
        block = file.read(n_wanted, dtype="float32", always_2d=True)
        n_decoded += len(block)
        is_last = len(block) < n_wanted or n_decoded == n_samples
        piece = np.ascontiguousarray(block[:, channel]) if channel is not None else block.mean(axis=1)
        if not np.isfinite(piece).all():
            raise AudioError(f"{file.name}: contains samples that are NaN or infinite")
        if resampler is not None:
            piece = resampler.resample_chunk(piece, last=is_last)
        mono[n_written : n_written + len(piece)] = piece
        n_written += len(piece)
        if is_last:
            return n_decoded, mono[:n_written]


def pcm16(samples: np.ndarray) -> bytes:
    """Samples as little-endian 16-bit PCM without a header, as PocketSphinx expects it.

    Parameters
    ----------
    samples : ndarray [shape=(n_samples,)]
        In [-1, 1]; values outside are clipped, as they would wrap around.

    Returns
    -------
    bytes
        Two per sample, scaled by 32767 and rounded towards zero.
    """
    return (np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()
