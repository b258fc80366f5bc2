"""Frames of a frozen pretrained audio encoder: the activations of one of its layers, every 20 ms.

Any wav2vec 2.0-like encoder of transformers (wav2vec 2.0, HuBERT, WavLM, data2vec-audio, UniSpeech), a Whisper encoder
of transformers, or one in CTranslate2's format. Nothing is ever fetched: a name must be in the cache of Hugging Face.

A recording longer than 30 s is encoded in windows that overlap by 4 s, of which each gives its middle. Whisper was
trained on windows filled with silence to 30 s; half a second of it costs a fraction (docs/pretrained.md says what it
changes).
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from torch import Tensor, nn

from speech2vec.features.whisper_folder import is_whisper_folder, read_whisper_encoder
from speech2vec.runtime.devices import choose_device
from speech2vec.runtime.errors import UserError

SAMPLING_RATE = 16000
HOP_LENGTH = 320  # samples: 20 ms
_LONGEST, _OVERLAP = 30 * SAMPLING_RATE, 2 * SAMPLING_RATE  # samples of a window, and of its edges that are not used
_SILENCE = SAMPLING_RATE // 2  # after each of Whisper's windows
_MISSING_HARMLESS = ("masked_spec_embed",)  # used in training only


@dataclass(frozen=True, eq=False)
class PretrainedEncoder:
    """A frozen encoder of which one layer is used.

    Parameters
    ----------
    name : str
        As it was opened.
    model : torch.nn.Module
        In float32.
    extractor
        The feature extractor of transformers that prepares its input.
    layer : int
        0 is the input of the first layer, -1 the output of the last.
    weights : str
        Hash of the weights as loaded and of what else decides the output: the same for every copy and file format.
    """

    name: str
    model: Any  # of transformers: a module with a configuration
    extractor: Any
    layer: int
    weights: str

    @classmethod
    def open(cls, name: str | Path, layer: int = -1, device: str = "auto") -> PretrainedEncoder:
        """Open an encoder that is on disk.

        Parameters
        ----------
        name : str or Path
            A folder, or a name in the cache of Hugging Face.
        layer : int
        device : {"auto", "cpu", "cuda"}

        Raises
        ------
        UserError
            If it is not on disk (with the command that fetches it), is not an audio encoder with a frame every 20 ms,
            lacks weights, or has fewer layers.
        """
        model, extractor = _load(str(name))
        model = model.float().eval().requires_grad_(False)
        weights = _hash(model, extractor)
        encoder = cls(str(name), model.to(choose_device(device)), extractor, layer, weights)
        encoder.check_layer(layer)
        return encoder

    def check_layer(self, layer: int) -> None:
        """A `UserError` if the encoder has no such layer."""
        n = self.n_layers
        if not -n - 1 <= layer <= n:
            raise UserError(
                f"{self.name} has {n} layers: a layer is 0 (the input of the first) to {n}, or -1 (the last)"
            )

    @property
    def hidden_size(self) -> int:
        """Numbers in a frame."""
        return int(self.model.config.hidden_size)

    @property
    def frame_shift(self) -> float:
        """Seconds between frames."""
        return HOP_LENGTH / SAMPLING_RATE

    @property
    def first_centre(self) -> float:
        """Time of the centre of the first frame, in seconds."""
        return 0.0 if self._is_whisper else _receptive_field(self.model.config) / 2 / SAMPLING_RATE

    @property
    def _is_whisper(self) -> bool:
        return bool(self.model.config.model_type == "whisper")

    @property
    def n_layers(self) -> int:
        """Layers of the encoder."""
        return int(self.model.config.num_hidden_layers)

    def encode(self, waveform: np.ndarray, sampling_rate: int = SAMPLING_RATE) -> np.ndarray:
        """The frames of a recording.

        Parameters
        ----------
        waveform : ndarray [shape=(n_samples,)]
        sampling_rate : int, Hz

        Returns
        -------
        ndarray [shape=(n_frames, hidden_size)], float32
            Frame i is centred at ``first_centre + i * frame_shift``. At least one.
        """
        frames: np.ndarray = self.encode_layers(waveform, sampling_rate, layers=(self.layer,))[0]
        return frames

    def encode_layers(
        self, waveform: np.ndarray, sampling_rate: int = SAMPLING_RATE, *, layers: Sequence[int]
    ) -> np.ndarray:
        """The frames of several layers [shape=(len(layers), n_frames, hidden_size)]; see `encode`."""
        samples = np.asarray(waveform, dtype=np.float32)
        if sampling_rate != SAMPLING_RATE:
            samples = soxr.resample(samples, sampling_rate, SAMPLING_RATE)
        if getattr(self.extractor, "do_normalize", False) and not self._is_whisper:
            # Over the recording, not over each window: neighbouring windows must not differ in gain.
            samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
        frames = partial(self._frames_of_whisper if self._is_whisper else self._frames_of_waveform, layers=layers)
        longest = _LONGEST - (_SILENCE if self._is_whisper else 0)
        if len(samples) <= longest:
            return frames(samples)
        pieces = []
        for start in range(0, len(samples) - 2 * _OVERLAP, longest - 2 * _OVERLAP):
            window = frames(samples[start : start + longest])
            last = (longest - _OVERLAP) // HOP_LENGTH if start + longest < len(samples) else window.shape[1]
            pieces.append(window[:, _OVERLAP // HOP_LENGTH if start else 0 : last])
        return np.concatenate(pieces, axis=1)

    @torch.inference_mode()
    def _frames_of_whisper(self, samples: np.ndarray, layers: Sequence[int]) -> np.ndarray:
        n_frames = max(1, -(-len(samples) // HOP_LENGTH))
        # An even number of the spectrogram's frames of 10 ms, of which the encoder makes one of 20 ms.
        padded = np.pad(samples, (0, n_frames * HOP_LENGTH - len(samples) + _SILENCE))
        inputs = self.extractor(padded, sampling_rate=SAMPLING_RATE, padding=False, truncation=False)
        spectrogram = torch.as_tensor(np.array(inputs["input_features"]), dtype=torch.float32, device=self._device)
        with _positions(self.model, spectrogram.shape[-1] // 2):
            hidden = self.model(spectrogram, output_hidden_states=True).hidden_states
        return _to_numpy([hidden[layer][0, :n_frames] for layer in layers])

    @torch.inference_mode()
    def _frames_of_waveform(self, samples: np.ndarray, layers: Sequence[int]) -> np.ndarray:
        padded = np.pad(samples, (0, max(0, _receptive_field(self.model.config) - len(samples))))
        values = torch.as_tensor(padded[None], device=self._device)
        hidden = self.model(values, output_hidden_states=True).hidden_states
        return _to_numpy([hidden[layer][0] for layer in layers])

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device


@lru_cache(maxsize=2)
def open_encoder(name: str, layer: int = -1) -> PretrainedEncoder:
    """As `PretrainedEncoder.open`, once in each process."""
    return PretrainedEncoder.open(name, layer)


def _to_numpy(frames: list[Tensor]) -> np.ndarray:
    array: np.ndarray = torch.stack(frames).float().cpu().numpy()
    return array


@contextlib.contextmanager
def _positions(model: Any, n_frames: int) -> Iterator[None]:
    """Whisper's encoder for `n_frames` frames: the first of its (sinusoidal) position codes."""
    every = model.embed_positions
    first = nn.Embedding.from_pretrained(every.weight[:n_frames])
    model.embed_positions, model.config.max_source_positions = first, n_frames
    try:
        yield
    finally:
        model.embed_positions, model.config.max_source_positions = every, len(every.weight)


def _load(name: str) -> tuple[Any, Any]:
    """The encoder and its feature extractor, from disk."""
    try:
        from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, WhisperFeatureExtractor
    except ImportError as error:
        raise UserError("a pretrained encoder needs: pip install 'speech2vec-emotion[pretrained]'") from error
    folder = Path(name)
    if is_whisper_folder(folder):
        encoder = read_whisper_encoder(folder)
        return encoder, WhisperFeatureExtractor(feature_size=encoder.config.num_mel_bins)
    try:
        config = AutoConfig.from_pretrained(name, local_files_only=True)
        if config.model_type != "whisper" and _hop_length(config) != HOP_LENGTH:
            raise UserError(
                f"{name} ({config.model_type}) is no audio encoder with a frame every 20 ms: WavLM, HuBERT, "
                "wav2vec 2.0, data2vec-audio and Whisper are"
            )
        extractor = AutoFeatureExtractor.from_pretrained(name, local_files_only=True)
        _check_size(folder, config)
        model, loading = AutoModel.from_pretrained(name, local_files_only=True, output_loading_info=True)
    except UserError:
        raise
    except Exception as error:  # whatever transformers raises on damaged files
        if not folder.exists() and isinstance(error, (OSError, ValueError)):
            raise UserError(f"the encoder {name} is not on disk: 'hf download {name}' fetches it") from error
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{name} holds no encoder that can be read: {reason[:150]}") from error
    model, prefix = (model.get_encoder(), "encoder.") if config.model_type == "whisper" else (model, "")
    needed = {prefix + key for key in model.state_dict() if not key.endswith(_MISSING_HARMLESS)}
    missing = sorted(needed & set(loading["missing_keys"]))
    if missing:
        raise UserError(f"{name} lacks {len(missing)} weights of its encoder, such as {missing[0]}")
    return model, extractor


def _check_size(folder: Path, config: Any) -> None:
    """A `UserError` if a configuration describes far more weights than lie in the folder: they would be allocated."""
    from transformers import AutoModel

    most = 2 * sum(path.stat().st_size for path in folder.glob("*") if path.suffix in (".safetensors", ".bin"))
    if not most:  # a name in the cache, or nothing to load
        return
    needed = 4 * config.num_hidden_layers * config.hidden_size**2  # of the attentions at least
    if needed <= most:
        with torch.device("meta"):  # which allocates nothing
            needed = sum(weight.numel() for weight in AutoModel.from_config(config).parameters())
    if needed > most:
        raise UserError(f"{folder} holds no encoder that can be read: its config.json describes a larger one")


def _hop_length(config: Any) -> int:
    return math.prod(getattr(config, "conv_stride", None) or [0])


def _receptive_field(config: Any) -> int:
    """Samples that one frame of the convolutional layers sees."""
    size, hop = 1, 1
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        size, hop = size + (kernel - 1) * hop, hop * stride
    return size


def _hash(model: Any, extractor: Any) -> str:
    kind = (model.config.model_type, model.config.num_attention_heads, getattr(extractor, "do_normalize", False))
    digest = hashlib.sha256(repr(kind).encode())
    for name, value in sorted(model.state_dict().items()):
        if not name.endswith(_MISSING_HARMLESS):
            digest.update(name.encode())
            digest.update(value.cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]
