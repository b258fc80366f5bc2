"""What the recordings of a training corpus are like, so that others can be compared with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from sklearn.covariance import LedoitWolf
from sklearn.model_selection import GroupKFold

from emotion.data.examples import FRAMES, FUNCTIONALS, STATISTICS, statistics
from emotion.data.normalise import Scaler, mean_of_speakers
from speech2vec.runtime.files import atomic_path, require_file
from speech2vec.runtime.guarded import check_arrays, parsing

_FOLDS = 5  # of speakers
_FAR = 99  # %, of training recordings of speakers held out, that are nearer
_SLOPE = 2.0


@dataclass(frozen=True)
class Reference:
    """Ranges and means over the recordings of a training corpus.

    The distance of a recording is the squared Mahalanobis distance of its `emotion.data.examples.statistics`, over
    their number, with the covariance shrunk after Ledoit & Wolf ("A well-conditioned estimator for large-dimensional
    covariance matrices", J. Multivariate Analysis 88(2), 2004).

    Parameters
    ----------
    mean, deviation : ndarray [shape=(3 * n_features,)], float32
        Of the statistics.
    precision : ndarray [shape=(3 * n_features, 3 * n_features)], float32
        Inverse covariance of the standardised statistics.
    usual, far : ndarray [shape=()], float32
        The median and the 99th percentile of the distances of training recordings from those of other speakers.
    shortest, longest : ndarray [shape=()], float32, seconds
        The range of the durations, after trimming.
    frames : ndarray [shape=(n_features,)], float32
        Mean over speakers of the mean of their windows.
    statistics : ndarray [shape=(3 * n_features,)], float32
        Mean over speakers of the statistics.
    functionals : ndarray [shape=(n_functionals,)], float32
        Mean over speakers; empty if the classifier does not ask for them.
    """

    mean: np.ndarray
    deviation: np.ndarray
    precision: np.ndarray
    usual: np.ndarray
    far: np.ndarray
    shortest: np.ndarray
    longest: np.ndarray
    frames: np.ndarray
    statistics: np.ndarray
    functionals: np.ndarray

    @classmethod
    def of(
        cls,
        segments: Sequence[np.ndarray],
        speakers: Sequence[str],
        hop: float,
        functionals: np.ndarray | None = None,
    ) -> Reference:
        """Of the windows of each recording, and their functionals."""
        values = np.stack([statistics(own) for own in segments])
        n_speakers = len(set(speakers))
        distances = np.ones(len(values))
        if n_speakers > 1:
            for near, held in GroupKFold(min(_FOLDS, n_speakers)).split(values, groups=np.asarray(speakers, str)):
                distances[held] = _distance(values[held], *_moments(values[near]))
        seconds = hop * np.array([len(own) for own in segments])
        vectors = np.zeros(0) if functionals is None else mean_of_speakers(list(functionals[:, np.newaxis]), speakers)
        scalars = (np.median(distances), np.percentile(distances, _FAR), seconds.min(), seconds.max())
        of_statistics = mean_of_speakers(list(values[:, np.newaxis]), speakers)
        arrays = (*_moments(values), *scalars, mean_of_speakers(segments, speakers), of_statistics, vectors)
        return cls(*(np.asarray(array, dtype=np.float32) for array in arrays))

    @property
    def population(self) -> dict[str, np.ndarray]:
        """The means over speakers, as `emotion.data.examples.Examples.normalised` takes them."""
        means = {FRAMES: self.frames, STATISTICS: self.statistics, FUNCTIONALS: self.functionals}
        return {name: mean for name, mean in means.items() if len(mean)}

    def distances(self, segments: Sequence[np.ndarray]) -> np.ndarray:
        """The distance of each recording, 1 for the median of training recordings [shape=(n_recordings,)]."""
        values = np.stack([statistics(own) for own in segments])
        return _distance(values, self.mean, self.deviation, self.precision) / float(self.usual)

    def temperatures(self, segments: Sequence[np.ndarray]) -> np.ndarray:
        """The temperature of the probabilities of each recording [shape=(n_recordings,)].

        1 + 2 max(0, d - 1) for a distance d. The factor 2 was chosen on RAVDESS and nEMO, each as training corpus of
        the other: more costs certainty on the training corpus itself (docs/emotion.md).
        """
        return 1.0 + _SLOPE * np.maximum(0.0, self.distances(segments) - 1.0)

    def save(self, path: Path) -> None:
        with atomic_path(path) as temporary:
            save_file(asdict(self), temporary)

    @classmethod
    def load(cls, path: Path) -> Reference:
        """Raises UserError if the file is damaged."""
        with parsing(path, "the reference of a run, or is damaged", "train again"):
            none = {"statistics": np.zeros(0, dtype=np.float32)}  # of a run made before these
            found = cls(**{**none, **load_file(require_file(path))})
            n, scalars = len(found.mean), ("usual", "far", "shortest", "longest")
            shapes = {"mean": (n,), "deviation": (n,), "precision": (n, n), **dict.fromkeys(scalars, ())}
            shapes |= {
                "frames": (found.frames.size,),
                "statistics": (found.statistics.size,),
                "functionals": (found.functionals.size,),
            }
            check_arrays(asdict(found), shapes)
            if not (found.deviation > 0).all() or not found.usual > 0:
                raise ValueError("a deviation or a distance that is not above 0")
            return found


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scaler = Scaler.fit([values])
    precision: np.ndarray = LedoitWolf().fit(scaler(values).astype(np.float64)).precision_
    return scaler.mean, scaler.deviation, precision


def _distance(values: np.ndarray, mean: np.ndarray, deviation: np.ndarray, precision: np.ndarray) -> np.ndarray:
    standard = (values.astype(np.float64) - mean) / deviation
    found: np.ndarray = np.einsum("ni,ni->n", standard @ precision, standard) / values.shape[1]
    return found
