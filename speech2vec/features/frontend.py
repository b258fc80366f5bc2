"""The front end: what turns samples into the frames of a store, MFCC or those of a pretrained encoder.

An encoder's frames are reduced by a principal component analysis, fitted once on a sample of the words. It belongs to
the store, and travels with what is trained on it: new recordings need the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field
from safetensors.numpy import load_file, save

from speech2vec.features.mfcc import MfccSettings, mfcc
from speech2vec.features.store import Store
from speech2vec.runtime.config import Settings, validate_settings
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path, require_file, shortened
from speech2vec.runtime.guarded import parsing

if TYPE_CHECKING:
    from speech2vec.features.pretrained import PretrainedEncoder

PROJECTION_FILE = "projection.safetensors"


class PretrainedSettings(Settings):
    """Settings of the frames of a pretrained encoder.

    Parameters
    ----------
    encoder : str
        A folder, or a name in the cache of Hugging Face.
    layer : int
        0 is the input of the first layer, -1 the output of the last.
    weights : str
        Hash of the encoder's weights; filled in when they are first read, then checked.
    n_components : int
        Principal components of its frames that are kept, if it has more numbers.
    normalise : str
        As in `MfccSettings`, of each component.
    max_frames : int or None
        Longer words are truncated to this many frames.
    sampling_rate, hop_length : int
        Of the encoders, in Hz and samples; not to be chosen.
    """

    encoder: str
    layer: int = -1
    weights: str = ""
    n_components: int = Field(100, ge=1)
    normalise: Literal["speaker", "utterance", "corpus", "none"] = "speaker"
    max_frames: int | None = Field(None, ge=1)
    sampling_rate: Literal[16000] = 16000
    hop_length: Literal[320] = 320

    @property
    def frame_shift(self) -> float:
        """Seconds between frames."""
        return self.hop_length / self.sampling_rate


FeatureSettings = MfccSettings | PretrainedSettings


def feature_settings(values: Mapping[str, Any]) -> FeatureSettings:
    """The settings of a store, as they stand in its meta.json; a `UserError` names every invalid key."""
    if isinstance(values, Mapping) and "encoder" in values:
        return validate_settings(PretrainedSettings, values)
    return validate_settings(MfccSettings, values)


def owed(settings: Mapping[str, Any]) -> str:
    """What to say of frames that a pretrained encoder made; "" for MFCC."""
    if "encoder" not in settings:
        return ""
    name = settings["encoder"].rstrip("/").rsplit("/", 1)[-1]
    return (
        f"frames of the pretrained encoder {name} (layer {settings['layer']}, weights {settings['weights']}): these "
        "vectors owe it what it learned elsewhere"
    )


@dataclass(frozen=True, eq=False)
class Projection:
    """A principal component analysis.

    Parameters
    ----------
    mean : ndarray [shape=(hidden_size,)], float32
    components : ndarray [shape=(hidden_size, n_components)], float32
        By descending variance.
    """

    mean: np.ndarray
    components: np.ndarray

    @classmethod
    def fit(cls, blocks: Iterable[np.ndarray], n_components: int) -> Projection:
        """Fit it to frames that come in blocks [shape=(n, hidden_size)]; at least one."""
        count = 0
        total: np.ndarray = np.zeros(1)
        products: np.ndarray = np.zeros((1, 1))
        for block in blocks:
            frames = block.astype(np.float64)
            count, total, products = count + len(frames), total + frames.sum(axis=0), products + frames.T @ frames
        mean = total / count
        _, directions = np.linalg.eigh(products / count - np.outer(mean, mean))
        components = directions[:, ::-1][:, :n_components]
        # Either sign is a principal component: on every machine the one whose largest number is positive.
        components = components * np.sign(np.take_along_axis(components, np.abs(components).argmax(axis=0)[None], 0))
        return cls(mean.astype(np.float32), np.ascontiguousarray(components, dtype=np.float32))

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Frames reduced to their components [shape=(n, n_components)]."""
        reduced: np.ndarray = (frames - self.mean) @ self.components
        return reduced

    def tensors(self) -> dict[str, np.ndarray]:
        """What `from_tensors` takes."""
        return {"mean": self.mean, "components": self.components}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Any], n_components: int) -> Projection:
        """Of arrays or tensors; a KeyError if one is missing, a ValueError if they are not of so many components."""
        mean, components = np.asarray(tensors["mean"]), np.asarray(tensors["components"])
        if mean.ndim != 1 or components.shape != (len(mean), n_components):
            shapes = f"mean of shape {mean.shape} and components of shape {components.shape}"
            raise ValueError(f"a {shapes} are no projection to {n_components}")
        if not (np.isfinite(mean).all() and np.isfinite(components).all()):
            raise ValueError("a projection that is not finite")
        return cls(mean, components)

    def save(self, path: Path) -> None:
        """Write one safetensors file."""
        with atomic_path(path) as temporary:
            temporary.write_bytes(save(self.tensors()))

    @classmethod
    def load(cls, path: Path, settings: PretrainedSettings) -> Projection:
        """Read what `save` wrote for these features; a `UserError` says why it cannot be read."""
        with parsing(path, "a projection of these features", "copy it again, or extract again with --force"):
            return cls.from_tensors(load_file(require_file(path)), settings.n_components)


@dataclass(frozen=True, eq=False)
class FrontEnd:
    """Settings of features, with the projection of a pretrained encoder's frames.

    Parameters
    ----------
    settings : MfccSettings or PretrainedSettings
    projection : Projection or None
        None for MFCC, and before it is fitted.
    """

    settings: FeatureSettings
    projection: Projection | None = None

    @classmethod
    def of(cls, settings: FeatureSettings) -> FrontEnd:
        """The front end before its projection is fitted; what the settings leave to the encoder is filled in."""
        if isinstance(settings, PretrainedSettings):
            encoder = _open(settings)
            folder = Path(settings.encoder)
            name = str(folder.resolve()) if folder.is_dir() else settings.encoder
            filled = {
                "encoder": name,
                "weights": encoder.weights,
                "n_components": min(settings.n_components, encoder.hidden_size),
            }
            settings = settings.model_copy(update=filled)
        return cls(settings)

    @classmethod
    def of_store(cls, store: Store) -> FrontEnd:
        """The front end that made a store."""
        settings = feature_settings(store.settings)
        if isinstance(settings, MfccSettings):
            return cls(settings)
        return cls(settings, Projection.load(store.path / PROJECTION_FILE, settings))

    @property
    def n_features(self) -> int:
        """Numbers in a frame."""
        return self.settings.n_mfcc if isinstance(self.settings, MfccSettings) else self.settings.n_components

    @property
    def dtype(self) -> str:
        """Of the frames on disk: float16 where they are many numbers."""
        return "<f4" if isinstance(self.settings, MfccSettings) else "<f2"

    @property
    def first_centre(self) -> float:
        """Time of the centre of the first frame, in seconds."""
        return 0.0 if isinstance(self.settings, MfccSettings) else _open(self.settings).first_centre

    def frames(self, samples: np.ndarray) -> np.ndarray:
        """The frames of a signal at ``settings.sampling_rate`` [shape=(n_frames, n_features)], not normalised.

        Before the projection is fitted, those of the encoder itself [shape=(n_frames, hidden_size)].
        """
        if isinstance(self.settings, MfccSettings):
            return mfcc(samples, self.settings)
        frames = _open(self.settings).encode(samples)
        if self.projection is None:
            return frames
        if len(self.projection.mean) != frames.shape[1]:
            raise UserError(
                f"the encoder {shortened(self.settings.encoder)} has {frames.shape[1]} numbers a frame, and the "
                f"projection was fitted to {len(self.projection.mean)}"
            )
        return self.projection(frames)


def _open(settings: PretrainedSettings) -> PretrainedEncoder:
    from speech2vec.features.pretrained import open_encoder  # with torch, which the processes for MFCC do not need

    encoder = open_encoder(settings.encoder, settings.layer)
    if settings.weights not in ("", encoder.weights):
        raise UserError(
            f"the encoder {settings.encoder} has other weights ({encoder.weights}) than the one that made these "
            f"features ({settings.weights})"
        )
    return encoder
