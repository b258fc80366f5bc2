"""Class probabilities of recordings, with warnings where they differ from what a run was trained on."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from emotion.data.batches import normalise_by_speaker
from emotion.features.extraction import extract_utterance
from emotion.features.settings import FeatureSettings
from emotion.models.word_vectors import UNKNOWN, WordSegments
from emotion.prediction.ensemble import Ensemble
from emotion.prediction.transcribe import align_words, is_untranscribed, recognise
from emotion.training.run import Run
from speech2vec.corpus.manifest import Utterance
from speech2vec.corpus.readers import Problem
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.config import validate_settings
from speech2vec.runtime.progress import log

NO_WORDS = "no words"


@dataclass(frozen=True)
class Prediction:
    """A run's prediction for one stretch of sound.

    Parameters
    ----------
    audio : Path
    start, end : float, seconds
    channel : int or None
        None is the mean of all channels.
    probabilities : dict of str to float
        Of each class; they add up to 1.
    text : str or None
        The words that it is based on, given or recognised; None for models without text.
    """

    audio: Path
    start: float
    end: float
    channel: int | None
    probabilities: dict[str, float]
    text: str | None = None

    @property
    def label(self) -> str:
        return max(self.probabilities, key=lambda label: self.probabilities[label])


def feature_settings(run: Run) -> FeatureSettings:
    """The settings that the run's training features were made with."""
    return validate_settings(FeatureSettings, run.info["features"])


def predict(run: Run, ensemble: Ensemble, utterances: Sequence[Utterance]) -> tuple[list[Prediction], list[Problem]]:
    """Classify utterances; those that cannot be classified are returned by name and reason.

    Where the model needs words and there is no transcript, they are recognised first. With normalisation by speaker,
    the recordings of one folder (and channel) count as one speaker's.
    """
    problems: list[Problem] = []
    if run.uses_text:
        utterances, problems = _with_words(run, utterances)
    settings = feature_settings(run)
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
    words = _word_inputs(run, kept)
    device = next(ensemble.buffers()).device
    predictions = []
    with torch.inference_mode():
        for utterance, segment, own, (start, end) in zip(kept, features, words, spans, strict=True):
            if run.model_name == "embedding" and not len(own):
                problems.append(Problem(utterance.utterance_id, NO_WORDS, "the embedding model has nothing to go by"))
                continue
            inputs = (torch.from_numpy(array).to(device) for array in (segment, own))
            probabilities = ensemble(*inputs).tolist()
            classes = dict(zip(run.labels, probabilities, strict=True))
            text = utterance.text if run.uses_text else None
            predictions.append(Prediction(utterance.audio, start, end, utterance.channel, classes, text))
    return predictions, problems


def _with_words(run: Run, utterances: Sequence[Utterance]) -> tuple[list[Utterance], list[Problem]]:
    """Recognise what is not transcribed, and say which texts hold no words."""
    unknown = sum(map(is_untranscribed, utterances))
    if unknown:
        log.warning(
            "the %s model needs text, and %d of %d recordings or parts have none (--text, or a .txt or .lab file "
            "beside it): PocketSphinx recognises their words, as American English and with errors",
            run.model_name, unknown, len(utterances),
        )  # fmt: skip
    known, problems = recognise(utterances)
    for utterance in known:
        if not tokenize(utterance.text):
            log.warning("%s: the text holds no words", utterance.utterance_id)
    return known, problems


def _word_inputs(run: Run, utterances: Sequence[Utterance]) -> list[np.ndarray]:
    """Each utterance's words as the model takes them: rows of its embedding layer, or vectors of their own sound."""
    if run.uses_segments:
        vectors = [np.zeros((0, run.info["vector_size"]), dtype=np.float32)] * len(utterances)
        spoken = [i for i, utterance in enumerate(utterances) if tokenize(utterance.text)]
        with tempfile.TemporaryDirectory() as folder:
            aligned = align_words([utterances[i] for i in spoken], Path(folder)) if spoken else None
            if aligned is not None:
                names = [utterances[i].utterance_id for i in spoken]
                for i, own in zip(spoken, WordSegments.encode(run.encoder, aligned, names).of_each(), strict=True):
                    vectors[i] = own
        return vectors
    if run.vocabulary is None:
        return [np.zeros(0, dtype=np.int64)] * len(utterances)
    rows = run.vocabulary.rows([utterance.text for utterance in utterances])
    unknown = sum(int((own == UNKNOWN).sum()) for own in rows)
    if unknown:
        log.warning("%d of %d words are not in the run's vocabulary", unknown, sum(map(len, rows)))
    return rows


def _warn(run: Run, kept: Sequence[Utterance], features: Sequence[np.ndarray], rates: dict[Path, int]) -> None:
    """Warn where recordings differ from training in a way that costs accuracy."""
    if not run.uses_audio:
        return
    _warn_of_bandwidth(run, rates)
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


def _warn_of_bandwidth(run: Run, rates: dict[Path, int]) -> None:
    """Warn of files whose sampling rate gives them less, or more, of the spectrum than any file of training had."""
    taken = feature_settings(run).sampling_rate  # more than this is never heard
    trained = [min(int(rate), taken) for rate in run.info["sampling_rates"]] or [taken]
    lowest, highest = min(trained), max(trained)
    narrow = [path for path, rate in rates.items() if rate < lowest]
    wide = [path for path, rate in rates.items() if min(rate, taken) > highest]
    if narrow:
        log.warning(
            "%d recording(s) have a smaller bandwidth than training's %d Hz (first: %s, %d Hz): expect more errors",
            len(narrow), lowest // 2, narrow[0], rates[narrow[0]] // 2,
        )  # fmt: skip
    if wide:
        log.warning(
            "%d recording(s) have a larger bandwidth than training's %d Hz (first: %s, %d Hz): expect more errors, "
            "unless you convert them to a sampling rate of %d Hz first",
            len(wide), highest // 2, wide[0], rates[wide[0]] // 2, highest,
        )  # fmt: skip
