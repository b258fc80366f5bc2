"""Equality before speed: the model against a slow one that encodes and decodes pair by pair, frame by frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from speech2vec.config import validate_settings
from speech2vec.errors import UserError
from speech2vec.model import LstmWeights, Segments, Speech2Vec, seeded_model
from speech2vec.presets import ModelSettings
from speech2vec.skipgram import pairs


def step(weights: LstmWeights, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    gates = x @ weights.input + weights.bias + h @ weights.recurrent
    i, f, o, candidate = gates.chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(candidate)
    return torch.sigmoid(o) * torch.tanh(c), c


def slow_encode(model: Speech2Vec, frames: Tensor) -> Tensor:
    ends = []
    for weights, sequence in zip(model.encoder.directions, (frames, frames.flip(0)), strict=False):
        h = c = torch.zeros(weights.recurrent.shape[0], dtype=frames.dtype)
        for x in sequence:
            h, c = step(weights, x, h, c)
        ends.append(h)
    return torch.cat(ends)


def slow_error(model: Speech2Vec, z: Tensor, target: Tensor) -> Tensor:
    h, c, before = z, torch.zeros_like(z), torch.zeros_like(target[0])
    error = torch.zeros((), dtype=target.dtype)
    for frame in target:
        h, c = step(model.decoder.lstm, torch.cat([before, z]), h, c)
        predicted = model.decoder.output(h)
        error = error + ((predicted - frame) ** 2).sum()
        before = frame if model.settings.teacher_forcing else predicted
    return error


def slow_loss(model: Speech2Vec, words: list[Tensor], centre: np.ndarray, context: np.ndarray) -> Tensor:
    total = torch.zeros((), dtype=words[0].dtype)
    if model.settings.objective == "cbow":
        for c in sorted(set(centre.tolist())):
            z = torch.stack([slow_encode(model, words[j]) for j in context[centre == c]]).sum(0)
            total = total + slow_error(model, z, words[c])
        return total
    for c, j in zip(centre, context, strict=True):
        total = total + slow_error(model, slow_encode(model, words[c]), words[j])
    return total


def random_words(lengths: list[int], n_mfcc: int, seed: int) -> tuple[list[Tensor], Segments]:
    draw = torch.Generator().manual_seed(seed)
    words = [torch.randn(n, n_mfcc, dtype=torch.float64, generator=draw) for n in lengths]
    n = torch.tensor(lengths)
    return words, Segments(torch.cat(words), n.cumsum(0) - n, n)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("teacher_forcing", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("objective", ["skipgram", "cbow"])
def test_loss_and_gradients_equal_those_of_the_slow_model(
    objective: str, bidirectional: bool, teacher_forcing: bool, seed: int
) -> None:
    settings = ModelSettings(
        objective=objective,  # type: ignore[arg-type]
        vector_size=6,
        bidirectional=bidirectional,
        teacher_forcing=teacher_forcing,
    )
    lengths = [1, *np.random.default_rng(seed).integers(1, 12, 6).tolist(), 40]
    words, segments = random_words(lengths, 5, seed)
    centre, context = pairs(np.array([0, 0, 0, 1, 1, 1, 1, 1]), window=2)
    model = seeded_model(5, settings, seed).double()

    fast = model(segments, torch.from_numpy(centre), torch.from_numpy(context)).squared_error()
    slow = slow_loss(model, words, centre, context)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-8)
    names = [name for name, _ in model.named_parameters()]
    ours = torch.autograd.grad(fast, list(model.parameters()))
    theirs = torch.autograd.grad(slow, list(model.parameters()))
    for name, mine, other in zip(names, ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-8, msg=lambda text, name=name: f"{name}: {text}")


def test_a_word_has_the_same_vector_in_any_company() -> None:
    model = seeded_model(4, ModelSettings(vector_size=8), 0).double()
    words, segments = random_words([3, 17, 1, 9], 4, 0)
    together = model.encoder(segments)
    for word, vector in zip(words, together, strict=True):
        alone = model.encoder(Segments(word, torch.tensor([0]), torch.tensor([len(word)])))
        torch.testing.assert_close(alone[0], vector, rtol=0, atol=1e-12)


def test_the_decoder_hears_the_encoder_through_z_alone() -> None:
    model = seeded_model(4, ModelSettings(vector_size=8), 0).double()
    _, segments = random_words([5, 6], 4, 0)
    centre, context = torch.tensor([0]), torch.tensor([1])
    z = model.encoder(segments)
    changed = Segments(torch.cat([torch.randn(5, 4).double(), segments.frames[5:]]), segments.first, segments.lengths)
    with_z = model.decode(z, segments, centre, context).predicted
    with_other_frames = model.decode(z, changed, centre, context).predicted
    torch.testing.assert_close(with_z, with_other_frames, rtol=0, atol=0)


def test_initial_weights_depend_on_the_seed_alone() -> None:
    settings = ModelSettings()
    first = seeded_model(13, settings, 5).state_dict()
    torch.rand(7)
    again, other = seeded_model(13, settings, 5).state_dict(), seeded_model(13, settings, 6).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_an_odd_vector_size_is_refused_for_two_directions() -> None:
    with pytest.raises(UserError, match="even vector_size, not 51"):
        validate_settings(ModelSettings, {"vector_size": 51})
    assert validate_settings(ModelSettings, {"vector_size": 51, "bidirectional": False}).vector_size == 51
