"""What is fitted on inner speaker folds of the training part: held-out probabilities, and the temperature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.model_selection import GroupKFold

from emotion.classifiers.base import Classifier, Context, Fitted
from emotion.data.examples import Examples
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.progress import log

_HIGHEST = 20.0  # temperature; at this one every classifier says next to nothing
_FLOOR = 1e-12


def inner_folds(labels: np.ndarray, speakers: np.ndarray, n_folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to train on and rows held out, with disjoint speakers; every class in each training part.

    Of a single speaker, the folds are of utterances. A fold whose training part would lack a class is left out.

    Raises
    ------
    UserError
        There is no such fold.
    """
    n_speakers, classes = len(set(speakers)), set(labels.tolist())
    groups = speakers.astype(str) if n_speakers > 1 else np.arange(len(labels))
    n_groups = len(set(groups.tolist()))
    if n_groups < 2:
        raise UserError("the training part has one utterance: nothing can be chosen on inner folds of it")
    folds = GroupKFold(min(n_folds, n_groups)).split(labels, groups=groups)
    kept = [(train, held) for train, held in folds if set(labels[train].tolist()) == classes]
    if not kept:
        raise UserError("the training part is too small for inner speaker folds: a class has one speaker or utterance")
    return kept


def held_out_probabilities(classifier: Classifier, train: Examples, context: Context) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the training part's utterances from classifiers that did not see their speakers.

    Returns
    -------
    rows : ndarray [shape=(n,)], int64
        Rows of `train`, each held out once.
    probabilities : ndarray [shape=(n, n_classes)]
    """
    quiet, nothing = replace(context, on_epoch=None), train.part(np.zeros(0, dtype=np.int64))
    folds = inner_folds(train.labels, train.speakers, context.settings.training.inner_folds)
    found = [classifier.fit(train.part(rows), nothing, quiet).predict_proba(train.part(held)) for rows, held in folds]
    return np.concatenate([held for _, held in folds]), np.concatenate(found)


def log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities, none below that of 1e-12."""
    return np.log(np.maximum(probabilities, _FLOOR))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T that minimises the cross-entropy of softmax(logits / T) (Guo et al., ICML 2017).

    Parameters
    ----------
    logits : ndarray [shape=(n_utterances, n_classes)]
        Or logarithms of probabilities.
    labels : ndarray [shape=(n_utterances,)]

    Returns
    -------
    float
        From 0.05 to 20.
    """

    def loss(log_temperature: float) -> float:
        scaled = log_probabilities(softmax(logits / np.exp(log_temperature), axis=1))
        return float(-scaled[np.arange(len(labels)), labels].mean())

    bounds = (-np.log(_HIGHEST), np.log(_HIGHEST))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities at a temperature; at 1 they are unchanged."""
    if temperature == 1.0:
        return probabilities
    scaled: np.ndarray = softmax(log_probabilities(probabilities) / temperature, axis=1)
    return scaled


def calibrate(
    classifier: Classifier, fitted: Fitted, train: Examples, development: Examples, context: Context
) -> float:
    """The temperature of a trained classifier: on development data, or on inner speaker folds where there are none."""
    if len(development):
        return fit_temperature(log_probabilities(fitted.predict_proba(development)), development.labels)
    try:
        rows, probabilities = held_out_probabilities(classifier, train, context)
    except UserError as error:
        log.warning("probabilities are not calibrated: %s", error)
        return 1.0
    return fit_temperature(log_probabilities(probabilities), train.labels[rows])
