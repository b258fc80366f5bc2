"""`hmm`: a hidden Markov model of the frames of each emotion; the likeliest one decides.

Lin & Wei, "Speech emotion recognition based on HMM and SVM" (ICMLC 2005): left-to-right models of short-term features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field
from safetensors.numpy import load_file, save_file
from scipy.special import softmax

from emotion.classifiers.base import Classifier, Context
from emotion.data.examples import FRAMES, Examples
from speech2vec.runtime.config import Settings
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.guarded import check_arrays

if TYPE_CHECKING:
    from hmmlearn.hmm import GaussianHMM

_FILE = "hmm.safetensors"
_TENSORS = ("startprob_", "transmat_", "means_", "_covars_")  # as hmmlearn names them
_UNSEEN = 1e-3  # frames


class HmmSettings(Settings):
    """Settings of the hidden Markov models.

    Parameters
    ----------
    states : int
        Of each emotion's model, from left to right.
    iterations : int
        Of expectation maximisation.
    min_variance : float
        Of the standardised features in a state.
    """

    states: Annotated[int, Field(gt=0)] = 5
    iterations: Annotated[int, Field(gt=0)] = 20
    min_variance: Annotated[float, Field(gt=0)] = 0.01


@dataclass(frozen=True)
class FittedHmm:
    """A model for each class; None for one without frames."""

    models: list[GaussianHMM | None]

    def predict_proba(self, examples: Examples) -> np.ndarray:
        """Softmax of the log-likelihoods per frame: neighbouring frames are far from independent."""
        scores = np.zeros((len(examples), len(self.models)))
        for row, frames in enumerate(_frames(examples)):
            if len(frames):
                scores[row] = [-np.inf if m is None else m.score(frames) / len(frames) for m in self.models]
        found: np.ndarray = softmax(scores, axis=1)
        return found

    def save(self, folder: Path) -> None:
        tensors = {
            f"{label}.{name}": np.ascontiguousarray(getattr(model, name))
            for label, model in enumerate(self.models)
            if model is not None
            for name in _TENSORS
        }
        save_file(tensors, folder / _FILE)

    @property
    def facts(self) -> dict[str, Any]:
        return {"parameters": sum(getattr(m, name).size for m in self.models if m is not None for name in _TENSORS)}


class Hmm(Classifier):
    """Frames -> for each class a left-to-right model with diagonal Gaussians -> the likeliest class."""

    name, title = "hmm", "HMM"
    inputs = frozenset({FRAMES})
    settings = HmmSettings

    def fit(self, train: Examples, development: Examples, context: Context) -> FittedHmm:
        own = context.settings.of(self.name, HmmSettings)
        frames = _frames(train)
        models = []
        for label in range(len(context.labels)):
            sequences = [frames[row] for row in np.flatnonzero(train.labels == label) if len(frames[row])]
            models.append(_fit(sequences, own, context.seed) if sequences else None)
        if not any(models):
            raise UserError("hmm: the training part has no frames: prepare a corpus with audio")
        return FittedHmm(models)

    def load(self, folder: Path, context: Context) -> FittedHmm:
        tensors = load_file(folder / _FILE)
        models: list[GaussianHMM | None] = []
        for label in range(len(context.labels)):
            if f"{label}.means_" not in tensors:
                models.append(None)
                continue
            n, n_features = tensors[f"{label}.means_"].shape
            own = {name: tensors[f"{label}.{name}"] for name in _TENSORS}
            shapes = {"startprob_": (n,), "transmat_": (n, n), "means_": (n, n_features), "_covars_": (n, n_features)}
            check_arrays(own, shapes)
            if n_features != context.n_features or not n or not (own["_covars_"] > 0).all():
                raise ValueError(f"models of {n_features} features, or without variance")
            probabilities = np.vstack([own["startprob_"], own["transmat_"]])
            if not (probabilities >= 0).all() or not np.allclose(probabilities.sum(axis=1), 1):
                raise ValueError("a model whose states have no probabilities")
            model = _model(n)
            for name, value in own.items():
                setattr(model, name, value)
            model.n_features = n_features
            models.append(model)
        return FittedHmm(models)


def _frames(examples: Examples) -> list[np.ndarray]:
    assert examples.frames is not None  # asked for
    return examples.frames


def _model(n_states: int, **options: Any) -> GaussianHMM:
    try:
        from hmmlearn.hmm import GaussianHMM
    except ImportError as error:
        raise UserError("hmm needs hmmlearn: pip install 'speech2vec-emotion[hmm]'") from error
    return GaussianHMM(n_states, covariance_type="diag", init_params="", **options)


def _fit(sequences: Sequence[np.ndarray], settings: HmmSettings, seed: int) -> GaussianHMM:
    """Start from equal parts of each sequence, one for each state, and maximise the likelihood."""
    n = min(settings.states, max(len(sequence) for sequence in sequences))
    model = _model(
        n,
        params="tmc",
        means_weight=_UNSEEN,  # with the next, a state that no frame is in keeps a mean and somewhere to go
        transmat_prior=1 + _UNSEEN,
        n_iter=settings.iterations,
        min_covar=settings.min_variance,
        random_state=seed,
    )
    everything = np.concatenate(sequences).astype(np.float64)
    split = [np.array_split(sequence, n) for sequence in sequences]
    parts = [np.concatenate([own[k] for own in split]) for k in range(n)]
    model.startprob_ = np.eye(n)[0]
    model.transmat_ = 0.5 * np.eye(n) + 0.5 * np.eye(n, k=1)
    model.transmat_[-1, -1] = 1.0
    model.means_ = np.array([part.mean(axis=0) if len(part) else everything.mean(axis=0) for part in parts])
    spread = np.maximum(everything.var(axis=0), settings.min_variance)
    model.covars_ = np.array([np.maximum(part.var(axis=0), 0.1 * spread) if len(part) else spread for part in parts])
    return model.fit(everything, [len(sequence) for sequence in sequences])
