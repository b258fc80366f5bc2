"""Speaker adaptation without labels: an affine map that brings a speaker's frames closer to those of all speakers.

The map is the one of constrained maximum likelihood (fMLLR; Gales 1998, "Maximum likelihood linear transformations for
HMM-based speech recognition", section 2.2), estimated against a mixture of Gaussians that share a diagonal covariance
instead of the states of a recogniser, as in the label-free systems of the Zero Resource Speech Challenge (Heck, Sakti &
Nakamura 2016, "Unsupervised linear discriminant analysis for supporting DPGMM clustering in the zero resource
scenario"). It undoes much of what the length of a vocal tract does, which moves the formants, and with them all
coefficients at once: no mean and variance per coefficient can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from speech2vec.features.rows import rows_of_ranges, runs_of, starts_of_runs
from speech2vec.model.word_encoder import Words
from speech2vec.runtime.config import Settings
from speech2vec.runtime.errors import UserError

_FRAMES_AT_ONCE = 50_000
_ROW_SWEEPS = 5


class AdaptationSettings(Settings):
    """How a speaker's map is estimated.

    Parameters
    ----------
    rounds : int
        Times that the frames are assigned to the components, and the map estimated anew; 0 leaves frames as they are.
    prior_frames : float
        So many frames count towards no change: a speaker of few words is changed little.
    most_frames : int
        A speaker's map is estimated from words with about so many frames, evenly spread over all that are given.
    """

    rounds: int = Field(8, ge=0, le=100)
    prior_frames: float = Field(500.0, ge=1e-3, le=1e9)
    most_frames: int = Field(10_000, ge=1)


@dataclass(frozen=True, eq=False)
class SpeakerAdaptation:
    """A mixture of Gaussians with one diagonal covariance, in the space of weighted frames.

    Parameters
    ----------
    settings : AdaptationSettings
    weight : ndarray [shape=(n_features,)], float32
        Frames are multiplied by it before anything else.
    mean : ndarray [shape=(n_components, n_features)], float32
    variance : ndarray [shape=(n_features,)], float32
    second_moment : ndarray [shape=(n_features + 1, n_features + 1)], float32
        Mean outer product of the training frames, each with a 1 appended: what the prior frames are.
    """

    settings: AdaptationSettings
    weight: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    second_moment: np.ndarray

    def adapted(self, words: Words) -> Words:
        """The same words with their speakers' maps applied to the frames when these are read."""
        speakers, speaker = np.unique(words.speaker, return_inverse=True)
        weighted = replace(words, speaker=speaker, gather=lambda positions: words.gather(positions) * self.weight)
        maps = self.maps(weighted, len(speakers)).astype(np.float32)
        return replace(
            words, gather=lambda positions: transform(weighted.gather(positions), *_runs(weighted, positions), maps)
        )

    def maps(self, words: Words, n_speakers: int) -> np.ndarray:
        """An affine map for each speaker [shape=(n_speakers, n_features, n_features + 1)], float64.

        Parameters
        ----------
        words : Words
            Weighted; their `speaker` counts from 0.
        n_speakers : int

        Raises
        ------
        UserError
            If the statistics and the frames allow no map.
        """
        frames, first, speaker = frames_by_speaker(words, self.settings.most_frames)
        maps, adapted = no_change(n_speakers, words.n_features), frames
        try:
            for _ in range(self.settings.rounds):
                maps = self.improve(maps, frames, adapted, first, speaker)
                adapted = transform(frames, first, speaker, maps.astype(np.float32))
        except np.linalg.LinAlgError as error:
            raise UserError("speakers cannot be adapted to this encoder, whose statistics must be damaged") from error
        return maps

    def improve(
        self, maps: np.ndarray, frames: np.ndarray, adapted: np.ndarray, first: np.ndarray, speaker: np.ndarray
    ) -> np.ndarray:
        """One round: the maps under which `frames` fit best the components that the `adapted` ones are assigned to.

        Parameters
        ----------
        maps : ndarray [shape=(n_speakers, n_features, n_features + 1)]
            To start from.
        frames, adapted : ndarray [shape=(n_frames, n_features)], float32
        first, speaker : ndarray [shape=(n_runs,)]
            The first frame and the speaker of each run of frames.
        """
        n_features, prior = frames.shape[1], self.settings.prior_frames
        moment = self.second_moment.astype(np.float64)
        target = moment[:n_features].copy()  # statistics under which no change is the best one
        target[:, :n_features] -= np.diag(self.variance.astype(np.float64))
        moments = np.tile(prior * moment, (len(maps), 1, 1))
        targets = np.tile(prior * target, (len(maps), 1, 1))
        count = np.full(len(maps), prior)
        ends = np.append(first, len(frames))[1:]
        for begin, end, who in zip(first.tolist(), ends.tolist(), speaker.tolist(), strict=True):
            for start in range(begin, end, _FRAMES_AT_ONCE):
                part = slice(start, min(start + _FRAMES_AT_ONCE, end))
                extended = np.append(frames[part], np.ones((part.stop - start, 1), np.float32), axis=1)
                moments[who] += extended.T @ extended
                targets[who] += (self.responsibilities(adapted[part]) @ self.mean).T @ extended
        np.add.at(count, speaker, ends - first)
        return _maximise(maps, moments, targets, count, self.variance.astype(np.float64))

    def responsibilities(self, frames: np.ndarray) -> np.ndarray:
        """The posterior of each component, all with one weight [shape=(n_frames, n_components)], float32."""
        scaled = self.mean / self.variance
        logits = frames @ scaled.T - 0.5 * (scaled * self.mean).sum(axis=1)
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return logits

    def tensors(self) -> dict[str, Tensor]:
        """All that was fitted."""
        names = ("weight", "mean", "variance", "second_moment")
        return {f"adaptation.{name}": torch.from_numpy(getattr(self, name)) for name in names}

    @classmethod
    def of_file(
        cls, tensors: Mapping[str, Tensor], settings: AdaptationSettings, n_features: int
    ) -> SpeakerAdaptation | None:
        """What `tensors` gave, of frames of so many numbers; None if the settings have no rounds.

        Raises
        ------
        KeyError, ValueError
            If they do not fit together, or no map can be estimated with them.
        """
        if not settings.rounds:
            return None
        names = ("weight", "mean", "variance", "second_moment")
        weight, mean, variance, moment = (tensors[f"adaptation.{name}"].numpy() for name in names)
        n = n_features
        if (weight.shape, mean.shape[1:], variance.shape, moment.shape) != ((n,), (n,), (n,), (n + 1, n + 1)):
            raise ValueError(f"means of shape {mean.shape} and the other statistics do not fit {n} numbers a frame")
        np.linalg.inv(moment)  # raises where it has none
        if not len(mean) or not (variance > 0).all():
            raise ValueError("an adaptation whose variances are not above 0")
        return cls(settings, weight, mean, variance, moment)


def frames_by_speaker(words: Words, most_frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames of each speaker's words, in memory: of all, or of words evenly spread over those of a long-winded one.

    Returns
    -------
    frames : ndarray [shape=(n_frames, n_features)], float32
    first, speaker : ndarray [shape=(n_runs,)], int64
        The first frame and the speaker of each run of frames.
    """
    order = np.lexsort((words.place, words.speaker))
    speaker, n_frames = words.speaker[order], words.n_frames[order]
    starts, n_words = runs_of(speaker)
    total = np.add.reduceat(n_frames, starts) if len(starts) else np.zeros(0, np.int64)
    step = np.repeat(-(-total // most_frames), n_words)
    rank = np.arange(len(order)) - np.repeat(starts, n_words)
    chosen = order[rank % np.maximum(step, 1) == 0]
    lengths = words.n_frames[chosen]
    frames = np.empty((int(lengths.sum()), words.n_features), dtype=np.float32)
    begin = np.zeros(len(words), dtype=np.int64)
    begin[chosen] = np.cumsum(lengths) - lengths
    part = replace(words, n_frames=lengths, place=words.place[chosen], gather=lambda at: words.gather(chosen[at]))
    for positions, read in part.chunks():
        frames[rows_of_ranges(begin[chosen[positions]], lengths[positions])] = read
    runs = starts_of_runs(words.speaker[chosen])
    return frames, begin[chosen[runs]], words.speaker[chosen[runs]]


def no_change(n_speakers: int, n_features: int) -> np.ndarray:
    """The map of each speaker before adaptation [shape=(n_speakers, n_features, n_features + 1)], float64."""
    return np.tile(np.eye(n_features, n_features + 1), (n_speakers, 1, 1))


def transform(frames: np.ndarray, first: np.ndarray, speaker: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Frames under the maps of their speakers [shape=(n_frames, n_features)], float32; see `frames_by_speaker`."""
    out = np.empty_like(frames)
    for begin, end, who in zip(first, np.append(first, len(frames))[1:], speaker, strict=True):
        np.matmul(frames[begin:end], maps[who, :, :-1].T, out=out[begin:end])
        out[begin:end] += maps[who, :, -1]
    return out


def _runs(words: Words, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first frame and the speaker of each run of words of one speaker."""
    lengths, speaker = words.n_frames[positions], words.speaker[positions]
    runs = starts_of_runs(speaker)
    return (np.cumsum(lengths) - lengths)[runs], speaker[runs]


def _maximise(
    maps: np.ndarray, moments: np.ndarray, targets: np.ndarray, count: np.ndarray, variance: np.ndarray
) -> np.ndarray:
    """Row by row, the maps of largest likelihood (Gales 1998, equations 23 to 27, for all speakers at once).

    Parameters
    ----------
    maps : ndarray [shape=(n_speakers, d, d + 1)]
        To start from.
    moments : ndarray [shape=(n_speakers, d + 1, d + 1)]
        Sums of the outer products of the extended frames.
    targets : ndarray [shape=(n_speakers, d, d + 1)]
        Sums of the outer products of the means that the frames should have and the extended frames.
    count : ndarray [shape=(n_speakers,)]
        Frames.
    variance : ndarray [shape=(d,)]
    """
    maps, inverse, d = maps.copy(), np.linalg.inv(moments), maps.shape[1]
    for _ in range(_ROW_SWEEPS):
        for row in range(d):
            cofactors = np.zeros((len(maps), d + 1))  # up to a factor, which the step below makes up for
            cofactors[:, :d] = np.linalg.inv(maps[:, :, :d])[:, :, row]
            free = np.einsum("si,sij->sj", targets[:, row], inverse)
            towards = np.einsum("si,sij->sj", cofactors, inverse) * variance[row]
            a, b = (towards * cofactors).sum(axis=1), (free * cofactors).sum(axis=1)
            # The root that mirrors nothing: with it, no change stays the best where nothing is known.
            step = (np.sqrt(b**2 + 4 * a * count) - b) / (2 * a)
            maps[:, row] = free + step[:, None] * towards
    return maps
