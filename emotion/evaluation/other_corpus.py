"""A run on another corpus: the predictions of all its members together for every utterance whose label it knows."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from emotion.data.audio_inputs import prepared_examples
from emotion.data.dataset import Prepared
from emotion.data.normalise import check_features, warn_of_speakers
from emotion.evaluation.predictions import Predictions
from emotion.features.settings import FeatureSettings
from emotion.prediction.outside import classify, warn_of_recordings
from emotion.training.member import Member
from emotion.training.run import Run
from speech2vec.runtime.config import validate_settings
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import log


def predict_corpus(run: Run, members: list[Member], prepared: Prepared) -> tuple[Predictions, dict[str, int]]:
    """Classify a prepared corpus by the mean of a run's members.

    Labels are matched by name. Utterances with a label that the run does not know are left out.

    Returns
    -------
    predictions : Predictions
        With one seed, 0, and one fold, "".
    left_out : dict of str to int
        Number of utterances left out by label.

    Raises
    ------
    UserError
        The corpus has other features, no label of the run, or no audio or words that the run needs.
    """
    _check_features(run, prepared)
    known = np.isin(prepared.label.astype(str), run.labels)
    left_out = dict(Counter(prepared.label[~known].tolist()))
    if not known.any():
        found, wanted = (", ".join(names) for names in (sorted(left_out), run.labels))
        raise UserError(f"{prepared.folder} has none of the labels of {run.folder}: {found} instead of {wanted}")
    if run.uses_audio and not prepared.n_windows.all():
        raise UserError(f"{prepared.folder} has utterances without audio, which the {run.model_name} model requires")
    if run.uses_segments:
        raise UserError("word segments are encoded for the training corpus only: predict encodes those of recordings")
    if run.uses_text and not any(text.strip() for text in prepared.text):
        raise UserError(f"{prepared.folder} has no transcripts, which the {run.model_name} model requires")
    own = {name for parts in run.splits.values() for names in parts.values() for name in names}
    n_own = int(np.isin(prepared.utterance_id.astype(str), list(own)).sum())
    if n_own > len(prepared) / 2 or (n_own and run.corpus == prepared.name):
        log.warning(
            "%d of %d utterances of %s have the names of utterances that the run was trained on (%s): if they are the "
            "same, these scores are too high", n_own, len(prepared), prepared.folder, run.corpus,
        )  # fmt: skip
    vectors = None if run.vocabulary is None else run.vocabulary.rows(list(prepared.text))
    reference = run.reference
    how = run.settings.training.normalisation
    examples = prepared_examples(run.inputs, run.settings, prepared, vectors, version=run.info["functionals"])
    examples = examples.normalised(how, None if reference is None else reference.population)
    segments = [np.asarray(prepared.segment(i)) for i in range(len(prepared))]
    check_features(segments, list(prepared.utterance_id))
    probabilities = classify(members, examples, segments, reference)
    warn_of_recordings(reference, segments, list(prepared.utterance_id), float(prepared.meta["features"]["hop"]))
    warn_of_speakers(list(prepared.speaker), probabilities.argmax(axis=1), run.labels, how)
    predictions = Predictions(
        run.labels,
        [0],
        prepared.utterance_id,
        prepared.speaker,
        np.array([style or "" for style in prepared.style], dtype=object),
        np.full(len(prepared), "", dtype=object),
        true=np.array([run.labels.index(label) if label in run.labels else -1 for label in prepared.label]),
        predicted=probabilities.argmax(axis=1)[np.newaxis],
        probabilities=probabilities[np.newaxis],
    )
    return predictions.where(known), left_out


def _check_features(run: Run, prepared: Prepared) -> None:
    ours, theirs = (
        validate_settings(FeatureSettings, dict(given)).model_dump()
        for given in (run.info["features"], prepared.meta["features"])
    )
    differing: dict[str, Any] = {name: value for name, value in ours.items() if theirs[name] != value}
    if run.uses_audio and differing:
        wanted = " ".join(f"--set features.{name}={value}" for name, value in differing.items())
        raise UserError(f"{prepared.folder} has other features than the run was trained on: prepare it with {wanted}")
