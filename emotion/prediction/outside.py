"""Recordings unlike those that a run was trained on: how unlike they are, and how sure it may be of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emotion.classifiers.inner import apply_temperature
from emotion.data.examples import Examples
from emotion.data.reference import Reference
from emotion.metrics import are_probabilities
from emotion.training.member import Member
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import log


def classify(
    members: Sequence[Member], examples: Examples, segments: Sequence[np.ndarray], reference: Reference | None
) -> np.ndarray:
    """Mean probabilities of all members, less sure for recordings unlike the training data.

    Parameters
    ----------
    members : sequence of Member
    examples : Examples
    segments : sequence of ndarray [shape=(n_windows, n_features)]
        The features of each utterance, as extracted.
    reference : Reference or None
        Of the run; None (a run without audio, or made before) leaves the probabilities as they are.

    Returns
    -------
    ndarray [shape=(n_utterances, n_classes)]

    Raises
    ------
    UserError
        The features are too large for probabilities.
    """
    probabilities = np.mean([member.predict_proba(examples) for member in members], axis=0)
    if not are_probabilities(probabilities):
        raise UserError(
            "there are utterances for which the classifier has no probabilities: no sound has such features"
        )
    if reference is None:
        return probabilities
    rows = zip(probabilities[:, np.newaxis], reference.temperatures(segments), strict=True)
    return np.concatenate([apply_temperature(row, temperature) for row, temperature in rows])


def warn_of_recordings(
    reference: Reference | None, segments: Sequence[np.ndarray], names: Sequence[str], hop: float
) -> None:
    """Warn if recordings lie outside what training saw: their features, or their durations."""
    if reference is None:
        return
    distances = reference.distances(segments)
    far = np.flatnonzero(distances > reference.far / reference.usual)
    if len(far):
        worst = far[distances[far].argmax()]
        log.warning(
            "%d of %d recording(s) are unlike the training recordings: their features are further from these than "
            "99 %% of them are from each other (most: %s, %.0f times the usual distance): the probabilities are made "
            "less sure, and may be wrong",
            len(far), len(distances), names[worst], distances[worst],
        )  # fmt: skip
    seconds = hop * np.array([len(segment) for segment in segments])
    low, high = float(reference.shortest), float(reference.longest)
    for which, rows in (("shorter", np.flatnonzero(seconds < low / 2)), ("longer", np.flatnonzero(seconds > 2 * high))):
        if len(rows):
            log.warning(
                "%d recording(s) are far %s than all training recordings, %.1f to %.1f s (first: %s, %.1f s)%s",
                len(rows), which, low, high, names[rows[0]], seconds[rows[0]],
                ": --chunk splits them" if which == "longer" else "",
            )  # fmt: skip
