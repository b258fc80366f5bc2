"""The encoder of a Whisper model in CTranslate2's format (what faster-whisper reads), as the one of transformers.

CTranslate2 computes the last layer only, and always 30 s of it. Its ``model.bin`` is a list of named arrays
(`ctranslate2.specs.model_spec`, binary version 6): read into `transformers.WhisperEncoder` they give every layer, on
any device and for any length. Quantised weights are multiplied out; float16 and float32 are exact.
"""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path
from typing import IO, TYPE_CHECKING

import torch
from torch import Tensor

from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import require_file

if TYPE_CHECKING:
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

WEIGHTS_FILE = "model.bin"
_TYPES = [torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16]  # by CTranslate2's number
_VERSIONS = range(4, 7)  # of the binary format, which has been the same since


def is_whisper_folder(folder: Path) -> bool:
    """Whether a folder holds a Whisper model in CTranslate2's format."""
    try:
        with require_file(folder / WEIGHTS_FILE).open("rb") as file:
            _integer(file, "I")
            return _string(file) == "WhisperSpec"
    except (OSError, struct.error, UnicodeDecodeError):
        return False


def read_whisper_encoder(folder: Path) -> WhisperEncoder:
    """The encoder in a folder that CTranslate2 or faster-whisper reads, in float32.

    Raises
    ------
    UserError
        If the file is damaged, or of a version that is not known.
    """
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    file = folder / WEIGHTS_FILE
    try:
        values = _read_encoder(file)
        state = {_renamed(name): value for name, value in _split(values).items()}
        width, n_mels, _ = state["conv1.weight"].shape
        config = WhisperConfig(
            d_model=width,
            num_mel_bins=n_mels,
            encoder_layers=len({name.split(".")[1] for name in state if name.startswith("layers.")}),
            encoder_attention_heads=int(values["num_heads"]),
            encoder_ffn_dim=len(state["layers.0.fc1.bias"]),
            max_source_positions=len(state["embed_positions.weight"]),
        )
        with torch.device("meta"):  # allocates nothing, whatever sizes the file claims
            encoder = WhisperEncoder(config)
        encoder.load_state_dict(state, assign=True)
    except (OSError, struct.error, KeyError, IndexError, ValueError, ArithmeticError, RuntimeError) as error:
        raise UserError(f"{file} is damaged, or not a Whisper model: {str(error).splitlines()[0]}") from error
    return encoder


def _read_encoder(path: Path) -> dict[str, Tensor]:
    """The variables of the encoder by their names below ``encoder/``, multiplied out to float32."""
    values: dict[str, Tensor] = {}
    with path.open("rb") as file:
        version = _integer(file, "I")
        if version not in _VERSIONS:
            raise ValueError(f"version {version} of the format is not known")
        _string(file)
        _integer(file, "I")  # revision of the specification
        for _ in range(_integer(file, "I")):
            name = _string(file)
            shape = [_integer(file, "I") for _ in range(_integer(file, "B"))]
            kind, n_bytes = _integer(file, "B"), _integer(file, "I")
            if not name.startswith("encoder/"):
                file.seek(n_bytes, 1)
                continue
            content = bytearray(file.read(n_bytes))
            if len(content) < n_bytes or not n_bytes:
                raise ValueError("it ends too early")
            value = torch.frombuffer(content, dtype=_TYPES[kind])
            values[name.removeprefix("encoder/")] = value[: math.prod(shape)].view(shape).float()
    for name in [name for name in values if name.endswith("_scale")]:
        scale, weight = values.pop(name), name.removesuffix("_scale")
        values[weight] = values[weight] / scale.view(-1, *[1] * (values[weight].ndim - 1))
    return values


def _split(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without what is no weight, and the joint projection of query, key and value as three; the key has no bias."""
    parts = {name: value for name, value in values.items() if value.ndim}
    for name in [name for name in parts if "self_attention/linear_0" in name]:
        for part, value in zip(("q_proj", "k_proj", "v_proj"), parts.pop(name).chunk(3), strict=True):
            if not (part == "k_proj" and name.endswith("bias")):
                parts[name.replace("self_attention/linear_0", f"self_attn/{part}")] = value
    return parts


def _renamed(name: str) -> str:
    """CTranslate2's name of a weight as that of transformers."""
    for pattern, replacement in (
        (r"layer_(\d+)/", r"layers/\1/"),
        ("self_attention/linear_1", "self_attn/out_proj"),
        ("self_attention/layer_norm", "self_attn_layer_norm"),
        ("ffn/layer_norm", "final_layer_norm"),
        ("ffn/linear_0", "fc1"),
        ("ffn/linear_1", "fc2"),
        ("position_encodings/encodings", "embed_positions/weight"),
        ("gamma$", "weight"),
        ("beta$", "bias"),
    ):
        name = re.sub(pattern, replacement, name)
    return name.replace("/", ".")


def _integer(file: IO[bytes], kind: str) -> int:
    size = struct.calcsize(f"<{kind}")
    return int(struct.unpack(f"<{kind}", file.read(size))[0])


def _string(file: IO[bytes]) -> str:
    return file.read(_integer(file, "H"))[:-1].decode()
