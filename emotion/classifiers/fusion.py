"""`Fusion`: the probabilities of several classifiers as one, with weights fitted on inner speaker folds.

A log-linear combination (logarithmic opinion pool): the log-probabilities are multiplied by a weight for each part, not
negative, and added, with a bias for each class (Hinton, "Products of experts", ICANN 1999; Brümmer & du Preez,
"Application-independent evaluation of speaker detection", Computer Speech and Language 2006, for the fit).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from emotion.classifiers.base import Classifier, Context, Fitted
from emotion.classifiers.inner import held_out_probabilities, log_probabilities
from emotion.data.examples import Examples
from emotion.metrics import balancing_weights
from emotion.settings import EmotionSettings
from speech2vec.runtime.config import Settings
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import read_json_as, write_json

JOIN = "+"
SETTINGS = "fusion"  # the table of its settings, whatever its parts
_FILE = "fusion.json"


class FusionSettings(Settings):
    """Settings of the fusion.

    Parameters
    ----------
    penalty : float
        Of the squared differences of the weights from their equal share, and of the squared biases, beside the mean
        cross-entropy.
    """

    penalty: Annotated[float, Field(ge=0)] = 0.01


@dataclass(frozen=True)
class FittedFusion:
    """Trained parts and their weights.

    Parameters
    ----------
    names : list of str
    parts : list of Fitted
    weights : ndarray [shape=(n_parts,)]
    bias : ndarray [shape=(n_classes,)]
    """

    names: list[str]
    parts: list[Fitted]
    weights: np.ndarray
    bias: np.ndarray

    def predict_proba(self, examples: Examples) -> np.ndarray:
        return fused([part.predict_proba(examples) for part in self.parts], self.weights, self.bias)

    def save(self, folder: Path) -> None:
        for number, part in enumerate(self.parts):
            _part_folder(folder, number).mkdir()
            part.save(_part_folder(folder, number))
        write_json(folder / _FILE, {"weights": self.weights.tolist(), "bias": self.bias.tolist()})

    @property
    def facts(self) -> dict[str, Any]:
        weights = {name: round(float(weight), 3) for name, weight in zip(self.names, self.weights, strict=True)}
        counts = [part.facts.get("parameters", 0) for part in self.parts]
        return {"parameters": sum(counts) + len(self.weights) + len(self.bias), "weights": weights}


class Fusion(Classifier):
    """Several classifiers, fused late.

    Parameters
    ----------
    parts : sequence of Classifier

    Raises
    ------
    UserError
        There are fewer than two parts, or one occurs twice.
    """

    settings = FusionSettings
    calibrated = True  # by the fit of the weights

    def __init__(self, parts: Sequence[Classifier]) -> None:
        names = [part.name for part in parts]
        if len(set(names)) < max(2, len(names)):
            raise UserError(f"--model {JOIN.join(names)}: a fusion needs two or more different models")
        self.parts = list(parts)
        self.name = JOIN.join(names)
        self.title = " + ".join(part.title or part.name for part in parts)
        self.inputs = frozenset().union(*(part.inputs for part in parts))
        self.uses_development = any(part.uses_development for part in parts)
        self.deterministic = all(part.deterministic for part in parts)

    def fit(self, train: Examples, development: Examples, context: Context) -> FittedFusion:
        own = context.settings.of(SETTINGS, FusionSettings)
        held = [held_out_probabilities(part, train, context) for part in self.parts]
        rows = held[0][0]  # the inner folds are the same for all parts
        weights, bias = fit_weights([found for _, found in held], train.labels[rows], own.penalty)
        fitted = [part.fit(train, development, context) for part in self.parts]
        return FittedFusion([part.name for part in self.parts], fitted, weights, bias)

    def load(self, folder: Path, context: Context) -> FittedFusion:
        stored = read_json_as(folder / _FILE, dict[str, list[float]], "the weights of a fusion")
        parts = [part.load(_part_folder(folder, number), context) for number, part in enumerate(self.parts)]
        weights, bias = np.array(stored["weights"]), np.array(stored["bias"])
        if weights.shape != (len(parts),) or bias.shape != (len(context.labels),):
            raise UserError(f"{folder / _FILE} is of another fusion")
        return FittedFusion([part.name for part in self.parts], parts, weights, bias)

    def longest(self, settings: EmotionSettings) -> int | None:
        limits = [limit for part in self.parts if (limit := part.longest(settings)) is not None]
        return min(limits, default=None)


def _part_folder(folder: Path, number: int) -> Path:
    return folder / f"part-{number + 1}"


def fused(probabilities: Sequence[np.ndarray], weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """softmax(sum of weight * log p + bias): sequence of [shape=(n, n_classes)] -> [shape=(n, n_classes)]."""
    logs = np.stack([log_probabilities(own) for own in probabilities])
    result: np.ndarray = softmax(np.tensordot(weights, logs, axes=1) + bias, axis=1)
    return result


def fit_weights(
    probabilities: Sequence[np.ndarray], labels: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    """The weights of parts (not negative) and the biases of classes that minimise the penalised cross-entropy.

    Parameters
    ----------
    probabilities : sequence of ndarray [shape=(n_utterances, n_classes)]
        Of utterances that no part was trained on.
    labels : ndarray [shape=(n_utterances,)]
    penalty : float

    Returns
    -------
    weights : ndarray [shape=(n_parts,)]
    bias : ndarray [shape=(n_classes,)]
    """
    logs = np.stack([log_probabilities(own) for own in probabilities])
    n_parts, n, n_classes = logs.shape
    share = 1.0 / n_parts
    balanced = balancing_weights(labels)[labels]  # all classes count the same

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = values[:n_parts], values[n_parts:]
        log_p = log_softmax(np.tensordot(weights, logs, axes=1) + bias, axis=1)
        error = np.exp(log_p)
        error[np.arange(n), labels] -= 1
        error *= balanced[:, None] / n
        value = -(balanced * log_p[np.arange(n), labels]).mean()
        value += penalty * (np.square(weights - share).sum() + np.square(bias).sum())
        slope = np.concatenate((np.einsum("pnc,nc->p", logs, error), error.sum(axis=0)))
        slope += 2 * penalty * np.concatenate((weights - share, bias))
        return float(value), slope

    start = np.concatenate((np.full(n_parts, share), np.zeros(n_classes)))
    bounds = [(0, None)] * n_parts + [(None, None)] * n_classes
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return found[:n_parts], found[n_parts:]
