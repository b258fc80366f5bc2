"""The kinds of encoders, and the file that holds one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from speech2vec.model.clusters import Clusters
from speech2vec.model.convolutional import Convolutional
from speech2vec.model.resampled import Resampled
from speech2vec.model.speech2vec import Speech2Vec
from speech2vec.model.word_encoder import WordEncoder
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path, require_file, shortened
from speech2vec.runtime.guarded import naming, parsing

KINDS: dict[str, type[WordEncoder]] = {
    encoder.kind: encoder for encoder in (Speech2Vec, Resampled, Convolutional, Clusters)
}

_KIND, _SETTINGS = "kind", "model"  # in a file's metadata; one without a kind was written when there was one only
_OTHERS = "features."  # names of tensors that are not the encoder's


def save_encoder(path: Path, encoder: WordEncoder, others: Mapping[str, Any] | None = None, **metadata: str) -> None:
    """Write an encoder, other arrays that it needs and more text to one safetensors file, whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.tensors().items()}
    tensors |= {_OTHERS + name: torch.as_tensor(value) for name, value in (others or {}).items()}
    described = {_KIND: encoder.kind, _SETTINGS: encoder.settings.model_dump_json()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={**described, **metadata})


def load_encoder(path: Path) -> tuple[WordEncoder, dict[str, str], dict[str, Tensor]]:
    """Read what `save_encoder` wrote: the encoder, all metadata, and the other tensors.

    Raises
    ------
    UserError
        If the file is missing or damaged, or of a kind that this version does not know.
    """
    with parsing(path, "an encoder, or is damaged"):
        with safe_open(require_file(path), framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
        for name, tensor in tensors.items():
            # Counts are integers.
            if tensor.dtype != torch.int64 and not (tensor.is_floating_point() and tensor.isfinite().all()):
                raise ValueError(f"{shortened(name)}: numbers that are not finite, or of the type {tensor.dtype}")
        names = [name for name in tensors if name.startswith(_OTHERS)]
        others = {name.removeprefix(_OTHERS): tensors.pop(name) for name in names}
        return _rebuilt(path, tensors, metadata), metadata, others


def _rebuilt(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> WordEncoder:
    kind = metadata.get(_KIND, Speech2Vec.kind)
    if kind not in KINDS:
        raise UserError(
            f"{path} holds an encoder of the kind {shortened(kind)}, and this version knows {', '.join(KINDS)}"
        )
    with naming(path):  # the settings in it
        encoder = KINDS[kind].from_tensors(tensors, json.loads(metadata[_SETTINGS]))
    return encoder.eval() if isinstance(encoder, nn.Module) else encoder
