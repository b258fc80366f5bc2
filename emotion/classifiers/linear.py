"""A linear support vector machine on one vector per utterance, calibrated: the head of several classifiers.

Of all classes at once (Crammer & Singer, "On the algorithmic implementation of multiclass kernel-based vector
machines", JMLR 2001): on inner speaker folds of RAVDESS it is better than one class against the rest.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from safetensors.numpy import load_file, save_file
from scipy.special import softmax
from sklearn.svm import LinearSVC

from emotion.classifiers.inner import fit_temperature, inner_folds
from emotion.data.normalise import Scaler
from emotion.metrics import confusion_matrix, measures
from speech2vec.runtime.config import Settings
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.guarded import check_arrays

_FAR = 5.0  # standard deviations

Cost = Annotated[float, Field(gt=0)]


class LinearSettings(Settings):
    """Settings of a linear support vector machine.

    Parameters
    ----------
    costs : tuple of float
        C; the one with the highest UA on inner speaker folds of the training part is chosen, the smallest of equals.
    inner_folds : int
        Number of these folds.
    multi_class : {"crammer_singer", "ovr"}
        One machine of all classes, or a machine for each class against the rest.
    """

    costs: Annotated[tuple[Cost, ...], Field(min_length=1)] = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
    inner_folds: Annotated[int, Field(ge=2)] = 5
    multi_class: Literal["crammer_singer", "ovr"] = "crammer_singer"


@dataclass(frozen=True)
class LinearMachine:
    """A linear classifier of vectors.

    Parameters
    ----------
    mean, deviation : ndarray [shape=(n_features,)], float32
        Of the training part. Standardised vectors are cut at 5 standard deviations, so that what lies far outside is
        not answered with certainty.
    weights : ndarray [shape=(n_classes, n_features)], float64
        Of standardised vectors.
    bias : ndarray [shape=(n_classes,)], float64
    temperature : ndarray [shape=()], float64
        The probabilities are softmax(margins / temperature).
    cost : ndarray [shape=()], float64
    """

    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    temperature: np.ndarray
    cost: np.ndarray

    def margins(self, x: np.ndarray) -> np.ndarray:
        """[shape=(n, n_features)] -> [shape=(n, n_classes)]."""
        found: np.ndarray = _standardised(x, Scaler(self.mean, self.deviation)) @ self.weights.T + self.bias
        return found

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """[shape=(n, n_features)] -> [shape=(n, n_classes)]; the rows sum to 1."""
        probabilities: np.ndarray = softmax(self.margins(x) / self.temperature, axis=1)
        return probabilities

    @property
    def facts(self) -> dict[str, Any]:
        return {"parameters": self.weights.size + self.bias.size, "cost": float(self.cost)}

    def save(self, path: Path) -> None:
        save_file(asdict(self), path)

    @classmethod
    def load(cls, path: Path, n_classes: int) -> LinearMachine:
        """Raises KeyError, ValueError or what safetensors raises if the file is damaged."""
        tensors = load_file(path)
        machine = cls(**{field.name: tensors[field.name] for field in fields(cls)})
        n = len(machine.mean)
        shapes = {"mean": (n,), "deviation": (n,), "weights": (n_classes, n), "bias": (n_classes,)}
        check_arrays(asdict(machine), {**shapes, "temperature": (), "cost": ()})
        if not (machine.deviation > 0).all() or not machine.temperature > 0:
            raise ValueError("a deviation or a temperature that is not above 0")
        return machine


def fit_linear_machine(
    x: np.ndarray, labels: np.ndarray, speakers: np.ndarray, n_classes: int, settings: LinearSettings
) -> LinearMachine:
    """Train on standardised vectors with classes of equal weight; the cost and the temperature by inner speaker folds.

    Parameters
    ----------
    x : ndarray [shape=(n_utterances, n_features)]
    labels : ndarray [shape=(n_utterances,)], int64
    speakers : ndarray [shape=(n_utterances,)], object
    n_classes : int
    settings : LinearSettings

    Raises
    ------
    UserError
        The utterances allow no inner folds, or a value is not finite.
    """
    if not np.isfinite(x).all():
        raise UserError("a linear SVM needs finite values, and those of an utterance are not")
    folds = inner_folds(labels, speakers, settings.inner_folds)
    held = np.concatenate([rows for _, rows in folds])
    best: tuple[float, float, np.ndarray] | None = None
    for cost in sorted(settings.costs):
        machines = [_fit(x[train], labels[train], n_classes, cost, settings.multi_class) for train, _ in folds]
        margins = np.concatenate([m.margins(x[rows]) for m, (_, rows) in zip(machines, folds, strict=True)])
        score = float(measures(confusion_matrix(labels[held], margins.argmax(axis=1), n_classes))["UA"])
        if best is None or score > best[0]:
            best = (score, cost, margins)
    assert best is not None  # there is a cost
    machine = _fit(x, labels, n_classes, best[1], settings.multi_class)
    temperature = fit_temperature(best[2], labels[held])
    return replace(machine, temperature=np.array(temperature))


def _fit(x: np.ndarray, labels: np.ndarray, n_classes: int, cost: float, multi_class: str) -> LinearMachine:
    """At temperature 1. A class that does not occur is never chosen."""
    scaler = Scaler.fit([x])
    fitted = LinearSVC(C=cost, class_weight="balanced", multi_class=multi_class, max_iter=20000, random_state=0)
    coordinates, basis = _in_their_span(_standardised(x, scaler))
    fitted.fit(coordinates, labels)
    coefficients, intercepts = fitted.coef_ @ basis.T, fitted.intercept_
    if len(fitted.classes_) == 2:  # scikit-learn keeps their difference
        coefficients, intercepts = np.vstack((-coefficients, coefficients)), np.hstack((-intercepts, intercepts))
    weights, bias = np.zeros((n_classes, x.shape[1])), np.full(n_classes, -1e3)
    weights[fitted.classes_], bias[fitted.classes_] = coefficients, intercepts
    return LinearMachine(scaler.mean, scaler.deviation, weights, bias, np.array(1.0), np.array(cost))


def _in_their_span(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors as coordinates in an orthonormal basis of what they span, and the basis.

    The machine is the same, as its weights are sums of the vectors, and is found faster where features are many.

    [shape=(n, n_features)] -> [shape=(n, k)], [shape=(n_features, k)], k = min(n, n_features)
    """
    if x.shape[1] <= x.shape[0]:
        return x, np.eye(x.shape[1])
    basis, triangle = np.linalg.qr(x.T)
    return triangle.T, basis


def _standardised(x: np.ndarray, scaler: Scaler) -> np.ndarray:
    return np.clip(scaler(x), -_FAR, _FAR).astype(np.float64)
