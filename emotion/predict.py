"""Class probabilities of recordings: files and folders, whole or in chunks, channels together or apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import librosa
import numpy as np
import torch

from emotion.embeddings import UNKNOWN
from emotion.ensemble import Ensemble
from emotion.extraction import extract_utterance
from emotion.features34 import FeatureSettings
from emotion.inputs import normalise_by_speaker
from emotion.run import Run
from speech2vec import audio
from speech2vec.config import validate_settings
from speech2vec.console import log
from speech2vec.corpora import AUDIO_SUFFIXES, TRANSCRIPT_SUFFIXES, Problem
from speech2vec.errors import UserError
from speech2vec.manifest import Utterance
from speech2vec.transcripts import tokenize

VAD = "vad"
ALL_CHANNELS = "all"

_TOP_DB = 40.0  # below the loudest window by more than this is a pause
_JOIN_PAUSE = 0.5  # seconds; shorter pauses part nothing
_LONGEST_CHUNK = 20.0  # seconds, of a chunk that voice activity gives
_SHORTEST_CHUNK = 0.3


@dataclass(frozen=True)
class Prediction:
    """What a run says of one stretch of sound.

    Parameters
    ----------
    audio : Path
    start, end : float, seconds
    channel : int or None
        None is the mean of all channels.
    probabilities : dict of str to float
        Each class; they add up to 1.
    """

    audio: Path
    start: float
    end: float
    channel: int | None
    probabilities: dict[str, float]

    @property
    def label(self) -> str:
        return max(self.probabilities, key=lambda label: self.probabilities[label])


def find_audio(paths: Sequence[Path]) -> list[Path]:
    """Audio files: those named, and those in the folders named, at any depth."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES and p.name[0] != ".")
            if not inside:
                raise UserError(f"{path} holds no audio files")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UserError(f"{path}: there is no such audio file or folder")
    return found


def text_beside(path: Path) -> str | None:
    """The transcript that lies beside an audio file as .lab or .txt."""
    for suffix in TRANSCRIPT_SUFFIXES:
        if path.with_suffix(suffix).exists():
            return path.with_suffix(suffix).read_text(encoding="utf-8-sig", errors="replace").strip()
    return None


def recordings(
    run: Run, paths: Sequence[Path], text: str | None = None, chunk: str | None = None, channel: str | None = None
) -> Iterator[Utterance]:
    """The stretches of sound that are to be classified, as utterances; the speaker is the folder and the channel.

    Raises
    ------
    UserError
        The model needs text and there is none; text is given for chunks or for several files.
    """
    if run.uses_text and run.segments is not None:
        raise UserError(
            f"{run.folder} was trained on vectors of each word's own sound (segments), which predict cannot make: "
            "train with a vectors file to classify new recordings"
        )
    files = find_audio(paths)
    if text is not None and len(files) > 1:
        raise UserError("--text is what was said in ONE recording; beside several put .txt files")
    if run.uses_text and chunk:
        raise UserError(f"the {run.model_name} model needs the words of each chunk: --chunk works with acoustic models")
    for path in files:
        said = text if text is not None else text_beside(path)
        if run.uses_text and said is None:
            raise UserError(f"{path}: the {run.model_name} model needs text: --text, or a .txt or .lab file beside it")
        whole = Utterance(str(path), path, said or "", str(path.parent))
        for part in _channels(whole, channel):
            yield from _chunks(part, chunk) if chunk else [part]


def _channels(whole: Utterance, channel: str | None) -> list[Utterance]:
    if channel is None:
        return [whole]
    if channel == ALL_CHANNELS:
        numbers = list(range(audio.info(whole.audio).n_channels))
    elif channel.isdigit():
        numbers = [int(channel)]
    else:
        raise UserError(f"--channel takes a number from 0 or 'all', not '{channel}'")
    return [replace(whole, channel=number, speaker=f"{whole.speaker}#{number}") for number in numbers]


def _chunks(whole: Utterance, chunk: str) -> Iterator[Utterance]:
    if chunk == VAD:
        spans = speech_spans(audio.load(whole.audio, channel=whole.channel), 16000)
    else:
        try:
            seconds = float(chunk)
        except ValueError:
            seconds = 0.0
        if not seconds >= _SHORTEST_CHUNK:
            raise UserError(f"--chunk takes 'vad' or seconds, {_SHORTEST_CHUNK} or more, not '{chunk}'")
        spans = _even(0.0, audio.info(whole.audio).duration, seconds)
    for start, end in spans:
        yield replace(whole, start=start, end=end)


def _even(start: float, end: float, seconds: float) -> list[tuple[float, float]]:
    """Stretches of `seconds`; what is left at the end is a chunk of its own if it is long enough."""
    edges = [*np.arange(start, end, seconds).tolist(), end]
    return [(a, b) for a, b in pairwise(edges) if b - a >= _SHORTEST_CHUNK]


def speech_spans(signal: np.ndarray, sampling_rate: int) -> list[tuple[float, float]]:
    """Stretches that are louder than 40 dB below the peak, short pauses included.

    Parameters
    ----------
    signal : ndarray [shape=(n_samples,)]
    sampling_rate : int, Hz

    Returns
    -------
    list of (float, float), seconds
        Each 0.3 to 20 s long.
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


def feature_settings(run: Run) -> FeatureSettings:
    """The settings that the run's training features were made with."""
    return validate_settings(FeatureSettings, run.info["features"])


def predict(run: Run, ensemble: Ensemble, utterances: Sequence[Utterance]) -> tuple[list[Prediction], list[Problem]]:
    """Classify; what cannot be classified is returned by name and reason.

    With normalisation by speaker, the recordings of one folder (and channel) count as one speaker's.
    """
    settings, problems = feature_settings(run), []
    kept: list[Utterance] = []
    features: list[np.ndarray] = []
    spans: list[tuple[float, float]] = []
    rates: dict[Path, int] = {}
    for utterance in utterances:
        found = extract_utterance(utterance, settings)
        if isinstance(found, Problem):
            problems.append(found)
            continue
        start = utterance.start or 0.0
        kept.append(utterance)
        features.append(found.features)
        spans.append((start, start + found.duration))
        rates[utterance.audio] = found.sampling_rate
    _warn(run, kept, features, rates)
    if run.uses_audio and run.settings.training.normalisation == "speaker":
        features = normalise_by_speaker(features, [utterance.speaker for utterance in kept])
    predictions = []
    unknown = n_words = 0
    with torch.inference_mode():
        for utterance, segment, (start, end) in zip(kept, features, spans, strict=True):
            words = np.zeros(0, dtype=np.int64)
            if run.vocabulary is not None:
                words = run.vocabulary.rows([utterance.text])[0]
                unknown, n_words = unknown + int((words == UNKNOWN).sum()), n_words + len(words)
                if not tokenize(utterance.text):
                    log.warning("%s: the text holds no words", utterance.audio)
            probabilities = ensemble(torch.from_numpy(segment), torch.from_numpy(words)).tolist()
            classes = dict(zip(run.labels, probabilities, strict=True))
            predictions.append(Prediction(utterance.audio, start, end, utterance.channel, classes))
    if unknown:
        log.warning("%d of %d words are not in the run's vocabulary", unknown, n_words)
    return predictions, problems


def _warn(run: Run, kept: Sequence[Utterance], features: Sequence[np.ndarray], rates: dict[Path, int]) -> None:
    """Say where recordings differ from training in a way that costs accuracy."""
    if not run.uses_audio:
        return
    usual = min((int(rate) for rate in run.info["sampling_rates"]), default=0)
    wanted = min(usual or feature_settings(run).sampling_rate, feature_settings(run).sampling_rate)
    narrow = [path for path, rate in rates.items() if rate < wanted]
    if narrow:
        log.warning(
            "%d recording(s) have a smaller bandwidth than training's %d Hz (first: %s, %d Hz): expect more errors",
            len(narrow), wanted // 2, narrow[0], rates[narrow[0]] // 2,
        )  # fmt: skip
    model = run.settings.model
    longest = model.max_windows * model.stack
    cut = [u.audio for u, segment in zip(kept, features, strict=True) if len(segment) > longest]
    if cut:
        log.warning(
            "%d recording(s) are longer than the model's %.0f s and are cut (first: %s): --chunk vad takes them apart",
            len(cut), longest * feature_settings(run).hop, cut[0],
        )  # fmt: skip
    if run.settings.training.normalisation == "speaker":
        windows: dict[str, int] = {}
        for utterance, segment in zip(kept, features, strict=True):
            windows[utterance.speaker] = windows.get(utterance.speaker, 0) + len(segment)
        short = [speaker for speaker, n in windows.items() if n * feature_settings(run).hop < 20]
        if short:
            log.warning(
                "normalisation by speaker has less than 20 s of %d speaker(s) (first: %s); files of one folder count "
                "as one speaker's", len(short), short[0],
            )  # fmt: skip
