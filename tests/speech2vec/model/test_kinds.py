"""Encoder files of every kind: what is written is read back; whatever does not fit together is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import drawn, made_up_encoders, made_up_store
from safetensors.torch import save_file
from torch import Tensor

import speech2vec as s2v
from speech2vec.features.frontend import FrontEnd, PretrainedSettings, Projection
from speech2vec.features.mfcc import MfccSettings
from speech2vec.model.kinds import KINDS, load_encoder, save_encoder
from speech2vec.model.word_encoder import Words
from speech2vec.runtime.errors import UserError
from speech2vec.vectors.portable import PortableEncoder

N = 5  # numbers a frame


EVERY = sorted(made_up_encoders(N))


@lru_cache(maxsize=1)
def words() -> Words:
    return Words.from_frames(drawn(60, N), np.full(6, 10), np.arange(6) % 2)


def front_end(n_features: int) -> FrontEnd:
    return FrontEnd(MfccSettings(n_mfcc=n_features))


def test_every_kind_is_tested() -> None:
    assert {encoder.kind for encoder in made_up_encoders(N).values()} == set(KINDS)


@pytest.mark.parametrize("kind", EVERY)
def test_a_file_gives_back_the_encoder(tmp_path: Path, kind: str) -> None:
    encoder, file = made_up_encoders(N)[kind], tmp_path / "encoder.safetensors"
    save_encoder(file, encoder, note="made up")
    loaded, metadata, _ = load_encoder(file)
    np.testing.assert_allclose(loaded.encode(words()), encoder.encode(words()), atol=1e-6)  # of another engine
    assert loaded.settings.model_dump() == encoder.settings.model_dump() and metadata["note"] == "made up"
    assert (loaded.n_features, loaded.vector_size) == (N, encoder.vector_size)


@pytest.mark.parametrize("kind", EVERY)
def test_weights_that_do_not_fit_the_features_are_refused(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "encoder.safetensors"
    PortableEncoder(made_up_encoders(N)[kind], front_end(N + 1)).save(file)
    with pytest.raises(UserError, match=r"encoder\.safetensors .* of 5 numbers, its features have 6") as told:
        PortableEncoder.load(file)
    assert len(str(told.value)) <= 300


@pytest.mark.parametrize("kind", EVERY)
def test_a_tensor_of_another_shape_or_kind_is_refused(tmp_path: Path, kind: str) -> None:
    encoder, file = made_up_encoders(N)[kind], tmp_path / "encoder.safetensors"
    tensors = {name: tensor.detach().cpu() for name, tensor in encoder.tensors().items()}
    metadata = {"kind": encoder.kind, "model": encoder.settings.model_dump_json()}
    for name, tensor in tensors.items():
        for changed in damaged(tensor):
            save_file({**tensors, name: changed} if changed is not None else without(tensors, name), file, metadata)
            refused_or_finite(file, f"{name} as {None if changed is None else (changed.shape, changed.dtype)}")


def without(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in tensors.items() if key != name}


def damaged(tensor: Tensor) -> list[Tensor | None]:
    changed: list[Tensor | None] = [None, tensor.flatten()[:0], tensor[None].contiguous()]
    if tensor.ndim:
        changed += [torch.cat([tensor, tensor[:1]]), tensor[:-1].contiguous()]
    if tensor.ndim > 1:
        changed += [tensor.T.contiguous() if tensor.ndim == 2 else tensor.flatten(), tensor[:, :0].contiguous()]
        changed.append(torch.cat([tensor, tensor[:, :1]], dim=1))
    changed += [tensor.to(dtype) for dtype in (torch.int32, torch.bool, torch.complex64, torch.bfloat16)]
    return [*changed, torch.full_like(tensor.float(), torch.nan), torch.zeros_like(tensor)]


def refused_or_finite(file: Path, what: str) -> None:
    """A file that still fits together is one of an encoder: all that is asked for is that it encodes."""
    try:
        encoder, _, _ = load_encoder(file)
    except UserError as error:
        assert "encoder.safetensors" in str(error) and len(str(error)) <= 300, what
        return
    given = Words.from_frames(drawn(60, encoder.n_features), np.full(6, 10), np.arange(6) % 2)
    vectors = encoder.encode(given)
    assert vectors.shape == (6, encoder.vector_size) and np.isfinite(vectors).all(), what


@pytest.mark.parametrize("kind", EVERY)
def test_settings_of_another_encoder_are_refused(tmp_path: Path, kind: str) -> None:
    encoder, file = made_up_encoders(N)[kind], tmp_path / "encoder.safetensors"
    tensors = {name: tensor.detach().cpu() for name, tensor in encoder.tensors().items()}
    whole = encoder.settings.model_dump(mode="json")
    for path, value in leaves(whole):
        for other in (
            0,
            1,
            100,
            value + 1 if isinstance(value, int) else 3,
            10**6,
            2**62,
            -1,
            None,
            "x",
            [],
            not value,
        ):
            changed = json.loads(json.dumps(whole))
            place = changed
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = other
            save_file(tensors, file, {"kind": encoder.kind, "model": json.dumps(changed)})
            refused_or_finite(file, f"{path} = {other}")


def leaves(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found = []
    for key, value in values.items():
        found += leaves(value, (*above, key)) if isinstance(value, dict) else [((*above, key), value)]
    return found


@pytest.mark.parametrize(
    ("projection", "message"),
    [
        (None, "'mean'"),
        (Projection(drawn(8), drawn(8, N - 1)), r"components of shape \(8, 4\) are no projection to 5"),
        (Projection(drawn(7), drawn(8, N)), r"a mean of shape \(7,\) and components of shape \(8, 5\)"),
        (Projection(drawn(8, 1), drawn(8, N)), "a mean of shape"),
        (Projection(drawn(8) * np.nan, drawn(8, N)), "numbers that are not finite, or"),
    ],
)
def test_a_projection_that_does_not_fit_is_refused(tmp_path: Path, projection: Projection | None, message: str) -> None:
    file = tmp_path / "encoder.safetensors"
    PortableEncoder(
        made_up_encoders(N)["resampled"], FrontEnd(PretrainedSettings(encoder="x", n_components=N), projection)
    ).save(file)
    with pytest.raises(UserError, match=rf"encoder\.safetensors is not an encoder.*{message}"):
        PortableEncoder.load(file)


@pytest.mark.parametrize("method", ["acoustic", "published"])
def test_a_run_whose_encoder_takes_other_frames_than_its_store_is_refused(tmp_path: Path, method: str) -> None:
    """As a store of another run put in the place of its own, which is said to have its settings."""
    stores = [made_up_store(tmp_path / f"store{n}", n_mfcc=n) for n in (N, N + 1)]
    settings = (
        {"preset": method, "method": method}
        if method != "published"
        else {"optimiser.epochs": 1, "model.engine": "steps", "model.vector_size": 8}
    )
    run = s2v.train(stores[0].path, tmp_path / "run", settings=settings, device="cpu", quiet=True)
    origin = run.path / "store.json"
    origin.write_text(origin.read_text().replace(stores[0].fingerprint, stores[1].fingerprint))
    with pytest.raises(UserError, match=r"last\.safetensors belongs to another (store|model)") as told:
        s2v.load(run.path, store=stores[1].path, device="cpu")
    assert len(str(told.value)) <= 300
