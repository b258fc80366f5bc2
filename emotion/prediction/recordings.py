"""Find the recordings to classify: files and folders, whole or in chunks, channels averaged or separate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import librosa
import numpy as np

from emotion.features.extraction import BAD_AUDIO
from emotion.prediction.transcribe import UNTRANSCRIBED
from speech2vec.corpus import audio
from speech2vec.corpus.manifest import Utterance
from speech2vec.corpus.readers import (
    BAD_FILE_NAME,
    BAD_TRANSCRIPT,
    Problem,
    audio_files,
    folders_below,
    text_beside,
    writable,
)
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import is_utf8

VAD, ALL_CHANNELS = "vad", "all"
NO_SPEECH = "no speech"

_SAMPLING_RATE = 16000  # Hz, for the detection of pauses
_TOP_DB = 40.0  # windows quieter than the loudest by more than this are pauses
_JOIN_PAUSE = 0.5  # seconds; shorter pauses do not end a chunk
_LONGEST_CHUNK = 20.0  # seconds, for ``vad``
_SHORTEST_CHUNK = 0.3  # seconds
_ROUNDING = 1e-6  # seconds


def find_audio(paths: Sequence[Path]) -> list[Path]:
    """The given audio files and those below the given folders, without duplicates.

    Raises
    ------
    UserError
        A path does not exist, or a folder contains no audio.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [file for folder in folders_below(path) for file in audio_files(folder)]
            if not inside:
                raise UserError(f"{path} contains no audio files")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UserError(f"{path}: no such audio file or folder")
    return list(dict.fromkeys(found))


def recordings(
    paths: Sequence[Path], text: str | None = None, chunk: str | None = None, channel: str | None = None
) -> tuple[list[Utterance], list[Problem]]:
    """One utterance for each recording or part to classify; its speaker is the folder and the channel.

    Parameters
    ----------
    paths : sequence of Path
        Files and folders.
    text : str or None
        Transcript of the only recording; otherwise the .lab or .txt file beside each. A transcript does not say in
        which chunk or channel a word was spoken, so the words of parts have to be recognised
        (``extras["untranscribed"]``).
    chunk : str or None
        ``vad``, or the length in seconds.
    channel : str or None
        A number from 0, ``all`` for each separately, or None for their mean.

    Returns
    -------
    utterances : list of Utterance
    problems : list of Problem
        Files that are unreadable or contain nothing to classify.

    Raises
    ------
    UserError
        An option is invalid or incompatible with another.
    """
    files = find_audio(paths)
    seconds = _seconds(chunk)
    if channel is not None and channel != ALL_CHANNELS and not channel.isdecimal():
        raise UserError(f"--channel must be a number from 0 or 'all', not '{channel}'")
    if text is not None and len(files) > 1:
        raise UserError("--text is the transcript of ONE recording; put a .txt file beside each of several")
    if text is not None and (chunk or channel == ALL_CHANNELS):
        raise UserError(
            "--text is the transcript of the whole recording: omit it with --chunk or --channel all, and the words of "
            "each part are recognised"
        )
    utterances: list[Utterance] = []
    problems: list[Problem] = []
    for path in files:
        try:
            if not is_utf8(str(path)):
                raise audio.AudioError(f"{path}: {BAD_FILE_NAME}, rename it")
            parts = list(_parts(path, text, chunk, seconds, channel))
        except audio.AudioError as error:
            problems.append(writable(Problem(str(path), BAD_AUDIO, str(error))))
            continue
        except OSError as error:  # of the transcript beside it
            problems.append(Problem(str(path), BAD_TRANSCRIPT, f"{path}: {error.filename}: {error.strerror}"))
            continue
        if not parts:
            problems.append(Problem(str(path), NO_SPEECH, f"no speech of at least {_SHORTEST_CHUNK} s"))
        utterances += parts
    return utterances, problems


def _seconds(chunk: str | None) -> float | None:
    """The length of chunks of equal length; None for ``vad`` and for no chunks."""
    if chunk is None or chunk == VAD:
        return None
    try:
        seconds = float(chunk)
    except ValueError:
        seconds = 0.0
    if not _SHORTEST_CHUNK <= seconds < np.inf:
        raise UserError(f"--chunk must be 'vad' or at least {_SHORTEST_CHUNK} seconds, not '{chunk}'")
    return seconds


def _parts(
    path: Path, text: str | None, chunk: str | None, seconds: float | None, channel: str | None
) -> Iterator[Utterance]:
    """The utterances of one file, with distinct names."""
    whole = Utterance(str(path), path, "", str(path.parent))
    channels: list[int | None] = [int(channel)] if channel is not None and channel.isdecimal() else [None]
    if channel == ALL_CHANNELS:
        channels = list(range(audio.info(path).n_channels))
    transcript = text if text is not None else text_beside(path)
    if transcript is None or chunk or len(channels) > 1:
        whole = replace(whole, extras={UNTRANSCRIBED: True})
    else:
        whole = replace(whole, text=transcript)
    for number in channels:
        name, speaker = str(path), whole.speaker
        if number is not None:
            name, speaker = f"{path} (channel {number})", f"{speaker}#{number}"
        part = replace(whole, utterance_id=name, speaker=speaker, channel=number)
        if chunk is None:
            yield part
            continue
        if seconds is None:
            spans = speech_spans(audio.load(path, sampling_rate=_SAMPLING_RATE, channel=number), _SAMPLING_RATE)
        else:
            spans = _even(0.0, audio.info(path).duration, seconds)
        for start, end in spans:
            yield replace(part, utterance_id=f"{name}, {start:.2f}-{end:.2f} s", start=start, end=end)


def _even(start: float, end: float, seconds: float) -> list[tuple[float, float]]:
    """Spans of `seconds` without gaps; a remainder that is too short belongs to the last. None if the whole is."""
    if end - start < _SHORTEST_CHUNK - _ROUNDING:
        return []
    edges = np.arange(start, end, seconds).tolist()
    if len(edges) > 1 and end - edges[-1] < _SHORTEST_CHUNK - _ROUNDING:
        edges.pop()
    return list(pairwise([*edges, end]))


def speech_spans(signal: np.ndarray, sampling_rate: int) -> list[tuple[float, float]]:
    """Spans louder than 40 dB below the peak, including short pauses.

    Parameters
    ----------
    signal : ndarray [shape=(n_samples,)]
    sampling_rate : int, Hz

    Returns
    -------
    list of (float, float), seconds
        Each 0.3 to 20.3 s long.
    """
    if not signal.any():
        return []
    joined: list[list[float]] = []
    for first, last in librosa.effects.split(signal, top_db=_TOP_DB) / sampling_rate:
        if joined and first - joined[-1][1] < _JOIN_PAUSE:
            joined[-1][1] = float(last)
        else:
            joined.append([float(first), float(last)])
    return [span for start, end in joined for span in _even(start, end, _LONGEST_CHUNK)]
