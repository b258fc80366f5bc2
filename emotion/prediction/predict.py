"""Class probabilities of recordings, with warnings if they differ from the training data."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotion.data.audio_inputs import spectrograms, voice_functionals
from emotion.data.dataset import data_warning
from emotion.data.examples import FUNCTIONALS, SPECTROGRAM, VECTORS, make_examples
from emotion.data.normalise import warn_of_speakers
from emotion.features.extraction import extract_utterance
from emotion.features.settings import FeatureSettings
from emotion.models.word_vectors import UNKNOWN, WordSegments
from emotion.prediction.outside import classify, warn_of_recordings
from emotion.prediction.recognisers import POCKETSPHINX, Recogniser, open_recogniser
from emotion.prediction.transcribe import align_words, is_untranscribed, recognise
from emotion.training.member import Member
from emotion.training.run import Run
from speech2vec.corpus.manifest import Utterance
from speech2vec.corpus.readers import Problem
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.config import validate_settings
from speech2vec.runtime.display import Displayed, Table
from speech2vec.runtime.progress import log

NO_WORDS = "no words"


@dataclass(frozen=True)
class Prediction:
    """A run's prediction for one recording or part of it.

    Parameters
    ----------
    audio : Path
    start, end : float, seconds
    channel : int or None
        None is the mean of all channels.
    probabilities : dict of str to float
        Probability of each class; they sum to 1.
    text : str or None
        The words used, given or recognised; None for models without text.
    """

    audio: Path
    start: float
    end: float
    channel: int | None
    probabilities: dict[str, float]
    text: str | None = None

    @property
    def label(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=lambda label: self.probabilities[label])

    def to_dict(self) -> dict[str, Any]:
        return {
            "audio": str(self.audio),
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "channel": self.channel,
            "label": self.label,
            "probabilities": {label: round(value, 6) for label, value in self.probabilities.items()},
            **({} if self.text is None else {"text": self.text}),
        }


@dataclass(frozen=True)
class PredictionTable(Displayed):
    """Predictions of a run; prints as a table with one line per recording or part.

    Parameters
    ----------
    labels : tuple of str
    predictions : list of Prediction
    problems : list of Problem
        Recordings that could not be classified, by name and reason.
    trained_on : str
        The training corpus. The table shows it only if it is not natural speech (`data_warning`).
    """

    labels: tuple[str, ...]
    predictions: list[Prediction]
    problems: list[Problem]
    trained_on: str

    def rows(self, with_corpus: bool = True) -> list[list[str]]:
        """Header and cells; with the words if the model uses any, and optionally with the training corpus."""
        with_text = any(p.text is not None for p in self.predictions)
        more = [*(["text"] if with_text else []), *(["trained_on"] if with_corpus else [])]
        header = ["audio", "start", "end", "channel", "label", *self.labels, *more]
        return [header] + [
            [
                str(p.audio), f"{p.start:.2f}", f"{p.end:.2f}", "" if p.channel is None else str(p.channel), p.label,
                *(f"{p.probabilities[label]:.4f}" for label in self.labels),
                *([p.text or ""] if with_text else []), *([self.trained_on] if with_corpus else []),
            ]
            for p in self.predictions
        ]  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        return {
            "trained_on": self.trained_on,
            "predictions": [{**p.to_dict(), "trained_on": self.trained_on} for p in self.predictions],
            "problems": [asdict(problem) for problem in self.problems],
        }

    def display_parts(self) -> list[str | Table]:
        """One table."""
        return [Table(self.rows(with_corpus=bool(data_warning(self.trained_on))), align="left")]


def feature_settings(run: Run) -> FeatureSettings:
    """The feature settings of the run's training corpus."""
    return validate_settings(FeatureSettings, run.info["features"]).resolved


def predict(
    run: Run, members: Sequence[Member], utterances: Sequence[Utterance], transcriber: str = POCKETSPHINX
) -> PredictionTable:
    """Classify utterances by the mean of all members; those that cannot be classified are listed by name and reason.

    If the classifier needs words and there is no transcript, they are recognised first (`open_recogniser`). With
    normalisation by speaker, the recordings of one folder (and channel) are treated as one speaker.
    """
    problems: list[Problem] = []
    if run.uses_text:
        utterances, problems = _with_words(run, utterances, transcriber)
        if not run.uses_audio:
            problems += [
                Problem(one.utterance_id, NO_WORDS, f"the {run.model_name} model needs at least one")
                for one in utterances
                if not tokenize(one.text)
            ]
            utterances = [one for one in utterances if tokenize(one.text)]
    settings = feature_settings(run)
    kept: list[Utterance] = []
    features: list[np.ndarray] = []
    spans: list[tuple[float, float]] = []
    rates: dict[Path, int] = {}
    for utterance in utterances:
        extracted = extract_utterance(utterance, settings)
        if isinstance(extracted, Problem):
            problems.append(extracted)
            continue
        start = utterance.start or 0.0
        kept.append(utterance)
        features.append(extracted.features)
        spans.append((start, start + extracted.duration))
        rates[utterance.audio] = extracted.sampling_rate
    if not kept:
        return PredictionTable(run.labels, [], problems, run.corpus)
    _warn(run, kept, features, rates)
    names = [utterance.utterance_id for utterance in kept]
    warn_of_recordings(run.reference, features, names, settings.hop)
    how = run.settings.training.normalisation
    examples = make_examples(
        run.inputs,
        labels=np.zeros(len(kept), dtype=np.int64),
        speakers=[utterance.speaker for utterance in kept],
        frames=features,
        texts=[utterance.text for utterance in kept],
        utterances=kept,
        vectors=_vectors(run, kept) if VECTORS in run.inputs else None,
        functionals=voice_functionals(kept, None, run.info["functionals"]) if FUNCTIONALS in run.inputs else None,
        spectrogram=spectrograms(kept, run.settings.spectrogram) if SPECTROGRAM in run.inputs else None,
    ).normalised(how, run.reference.population if run.reference else None)
    found = classify(members, examples, features, run.reference)
    warn_of_speakers([utterance.speaker for utterance in kept], found.argmax(axis=1), run.labels, how)
    predictions = []
    for utterance, row, (start, end) in zip(kept, found.tolist(), spans, strict=True):
        classes = dict(zip(run.labels, row, strict=True))
        text = utterance.text if run.uses_text else None
        predictions.append(Prediction(utterance.audio, start, end, utterance.channel, classes, text))
    return PredictionTable(run.labels, predictions, problems, run.corpus)


def _with_words(run: Run, utterances: Sequence[Utterance], transcriber: str) -> tuple[list[Utterance], list[Problem]]:
    """Recognise untranscribed utterances, and warn about texts without words."""

    def recogniser() -> Recogniser:
        opened = open_recogniser(transcriber)
        log.warning(
            "the %s model needs text, but %d of %d recordings or parts have none (--text, or a .txt or .lab file "
            "beside the recording): %s",
            run.model_name, sum(map(is_untranscribed, utterances)), len(utterances), opened.title,
        )  # fmt: skip
        return opened

    known, problems = recognise(utterances, recogniser)
    for utterance in known:
        if not tokenize(utterance.text):
            log.warning("%s: the text contains no words", utterance.utterance_id)
    return known, problems


def _vectors(run: Run, utterances: Sequence[Utterance]) -> list[np.ndarray]:
    """Each utterance's words as rows of the table of word vectors, or as vectors of the word segments."""
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
    assert run.vocabulary is not None  # of every run with vectors that are not of segments
    rows = run.vocabulary.rows([utterance.text for utterance in utterances])
    unknown = sum(int((own == UNKNOWN).sum()) for own in rows)
    if unknown:
        n = sum(map(len, rows))
        doubt = ": is the text in another language? The words say little" if unknown > n / 2 else ""
        log.warning("%d of %d words are not in the run's vocabulary%s", unknown, n, doubt)
    return rows


def _warn(run: Run, kept: Sequence[Utterance], features: Sequence[np.ndarray], rates: dict[Path, int]) -> None:
    """Warn if recordings differ from the training data in ways that reduce accuracy."""
    if not run.uses_audio:
        return
    _warn_of_bandwidth(run, rates)
    longest = run.classifier.longest(run.settings)
    cut = [u.audio for u, own in zip(kept, features, strict=True) if longest is not None and len(own) > longest]
    if cut and longest is not None:
        log.warning(
            "%d recording(s) exceed the model's maximum of %.0f s and are cut (first: %s): --chunk vad splits them",
            len(cut), longest * feature_settings(run).hop, cut[0],
        )  # fmt: skip


def _warn_of_bandwidth(run: Run, rates: dict[Path, int]) -> None:
    """Warn about files with a smaller or larger bandwidth than all training files, going by their sampling rates."""
    used = feature_settings(run).sampling_rate  # features do not extend beyond it
    trained = [min(int(rate), used) for rate in run.info["sampling_rates"]] or [used]
    lowest, highest = min(trained), max(trained)
    narrow = [path for path, rate in rates.items() if rate < lowest]
    wide = [path for path, rate in rates.items() if min(rate, used) > highest]
    if narrow:
        log.warning(
            "%d recording(s) have a smaller bandwidth than the training data, %d Hz (first: %s, %d Hz): expect more "
            "errors",
            len(narrow), lowest // 2, narrow[0], rates[narrow[0]] // 2,
        )  # fmt: skip
    if wide:
        log.warning(
            "%d recording(s) have a larger bandwidth than the training data, %d Hz (first: %s, %d Hz): expect more "
            "errors, or resample them to %d Hz first",
            len(wide), highest // 2, wide[0], rates[wide[0]] // 2, highest,
        )  # fmt: skip
