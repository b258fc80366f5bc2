"""Equality before speed: the model against a slow one that encodes and decodes pair by pair, frame by frame."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from speech2vec.model.decoder import AttentionDecoder
from speech2vec.model.encoder import Segments
from speech2vec.model.recurrence.layers import Cell, GRULayer, LSTMLayer
from speech2vec.model.settings import ModelSettings
from speech2vec.model.speech2vec import Speech2Vec, seeded_model
from speech2vec.runtime.config import validate_settings
from speech2vec.runtime.errors import UserError
from speech2vec.training.sampler import neighbour_pairs

State = tuple[Tensor, Tensor]  # hidden and cell; a GRU leaves the cell alone


def step(weights: Cell, x: Tensor, state: State) -> State:
    h, c = state
    if isinstance(weights, GRULayer):
        from_x, from_h = x @ weights.from_input, h @ weights.from_state
        reset_x, update_x, candidate_x = (from_x + weights.bias[: len(from_x)]).chunk(3)
        reset_h, update_h, candidate_h = from_h.chunk(3)
        update = torch.sigmoid(update_x + update_h)
        scaled = torch.sigmoid(reset_x + reset_h) * (candidate_h + weights.bias[len(from_x) :])
        return (1 - update) * torch.tanh(candidate_x + scaled) + update * h, c
    i, f, o, candidate = (x @ weights.input + weights.bias + h @ weights.recurrent).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(candidate)
    return torch.sigmoid(o) * torch.tanh(c), c


def slow_encode(model: Speech2Vec, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """z, the last cell state, and every hidden state [shape=(n_frames, vector_size)]."""
    last, cells, states = [], [], []
    for number, weights in enumerate(model.encoder.directions):
        assert isinstance(weights, LSTMLayer | GRULayer)
        h = c = torch.zeros(len(weights.recurrent), dtype=frames.dtype)
        heard = []
        for x in frames.flip(0) if number else frames:
            h, c = step(weights, x, (h, c))
            heard.append(h)
        last.append(h)
        cells.append(c)
        states.append(torch.stack(heard[::-1] if number else heard))
    return torch.cat(last), torch.cat(cells), torch.cat(states, dim=1)


def slow_error(model: Speech2Vec, encoded: tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
    z, cell, states = encoded
    settings, decoder = model.settings, model.decoder
    attends = isinstance(decoder, AttentionDecoder)
    h, c, before = z, cell if attends else torch.zeros_like(z), torch.zeros_like(target[0])
    error = torch.zeros((), dtype=target.dtype)
    for frame in target:
        h, c = step(getattr(decoder, settings.cell), before if attends else torch.cat([before, z]), (h, c))
        if attends:
            weight = torch.softmax(states @ h, dim=0)
            predicted = decoder.output(torch.tanh(decoder.combine(torch.cat([h, weight @ states]))))
        else:
            predicted = decoder.output(h)
        error = error + ((predicted - frame) ** 2).sum()
        before = frame if settings.teacher_forcing else predicted
    return error


def slow_loss(model: Speech2Vec, words: list[Tensor], centre: np.ndarray, context: np.ndarray) -> Tensor:
    total = torch.zeros((), dtype=words[0].dtype)
    if model.settings.objective == "cbow":
        for c in sorted(set(centre.tolist())):
            z = torch.stack([slow_encode(model, words[j])[0] for j in context[centre == c]]).sum(0)
            total = total + slow_error(model, (z, z, z), words[c])
        return total
    for c, j in zip(centre, context, strict=True):
        total = total + slow_error(model, slow_encode(model, words[c]), words[j])
    return total


def random_words(lengths: list[int], n_mfcc: int, seed: int) -> tuple[list[Tensor], Segments]:
    draw = torch.Generator().manual_seed(seed)
    words = [torch.randn(n, n_mfcc, dtype=torch.float64, generator=draw) for n in lengths]
    n = torch.tensor(lengths)
    return words, Segments(torch.cat(words), n.cumsum(0) - n, n)


VARIANTS = [
    *itertools.product(["conditioned"], ["skipgram", "cbow"], [True, False]),
    ("attention", "skipgram", True),
]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("decoder", "objective", "teacher_forcing"), VARIANTS)
def test_loss_and_gradients_equal_those_of_the_slow_model(
    decoder: str, objective: str, teacher_forcing: bool, bidirectional: bool, cell: str, seed: int
) -> None:
    chosen = {
        "objective": objective,
        "vector_size": 6,
        "bidirectional": bidirectional,
        "cell": cell,
        "decoder": decoder,
        "teacher_forcing": teacher_forcing,
    }
    settings = validate_settings(ModelSettings, chosen)
    lengths = [1, *np.random.default_rng(seed).integers(1, 12, 6).tolist(), 40]
    words, segments = random_words(lengths, 5, seed)
    centre, context = neighbour_pairs(np.array([0, 0, 0, 1, 1, 1, 1, 1]), window=2)
    model = seeded_model(5, settings, seed).double()

    fast = model(segments, torch.from_numpy(centre), torch.from_numpy(context)).squared_error()
    slow = slow_loss(model, words, centre, context)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-8)
    names = [name for name, _ in model.named_parameters()]
    ours = torch.autograd.grad(fast, list(model.parameters()))
    theirs = torch.autograd.grad(slow, list(model.parameters()))
    for name, mine, other in zip(names, ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-8, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("decoder", "objective", "teacher_forcing"), VARIANTS)
def test_every_engine_has_the_same_loss_and_gradients(
    decoder: str, objective: str, teacher_forcing: bool, bidirectional: bool, cell: str
) -> None:
    chosen = {"objective": objective, "cell": cell, "decoder": decoder, "teacher_forcing": teacher_forcing}
    _, segments = random_words([1, 40, 5, 3, 9, 12, 2], 5, 0)
    sides = [torch.from_numpy(side) for side in neighbour_pairs(np.array([0, 0, 0, 0, 1, 1, 1]), window=2)]
    results = []
    for engine in ("auto", "steps"):
        given = {"vector_size": 6, "bidirectional": bidirectional, "engine": engine, **chosen}
        model = seeded_model(5, validate_settings(ModelSettings, given), 0).double()
        error = model(segments, *sides).squared_error()
        results.append([error, *torch.autograd.grad(error, list(model.parameters()))])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_a_word_has_the_same_vector_in_any_company() -> None:
    model = seeded_model(4, ModelSettings(vector_size=6), 0).double()
    words, segments = random_words([3, 17, 1, 9], 4, 0)
    together = model.encoder(segments).z
    for word, vector in zip(words, together, strict=True):
        alone = model.encoder(Segments(word, torch.tensor([0]), torch.tensor([len(word)]))).z
        torch.testing.assert_close(alone[0], vector, rtol=0, atol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum", "padded"])
def test_the_loss_is_the_reduction_of_padded_sequences(reduction: str) -> None:
    """Padding written out: targets and predictions are zero behind a word's end."""
    words, segments = random_words([3, 1, 7, 2], 4, 0)
    centre, context = neighbour_pairs(np.array([0, 0, 0, 0]), window=3)
    model = seeded_model(4, ModelSettings(vector_size=6, teacher_forcing=True), 0).double()
    decoded = model(segments, torch.from_numpy(centre), torch.from_numpy(context))
    predicted, target = (torch.zeros(len(centre), 7, 4, dtype=torch.float64) for _ in range(2))
    predicted[decoded.sequence, decoded.time] = decoded.predicted
    target[decoded.sequence, decoded.time] = decoded.target
    expected = {
        "mean": ((predicted - target) ** 2).sum() / (4 * sum(len(words[j]) for j in context)),
        "sum": ((predicted - target) ** 2).sum(dim=(1, 2)).mean(),
        "padded": torch.nn.functional.mse_loss(predicted, target),
    }
    loss = decoded.squared_error() / decoded.divisor(reduction, longest=7)
    torch.testing.assert_close(loss, expected[reduction], rtol=1e-12, atol=0)


def change_the_centre(decoder: str) -> tuple[Tensor, Tensor]:
    """What is generated from a word's z and states, and from another word's states with the same z."""
    settings = ModelSettings(vector_size=6, teacher_forcing=True, decoder=decoder)  # type: ignore[arg-type]
    model = seeded_model(4, settings, 0).double()
    _, segments = random_words([5, 6], 4, 0)
    centre, context = torch.tensor([0]), torch.tensor([1])
    encoded = model.encoder(segments)
    changed = Segments(torch.cat([torch.randn(5, 4).double(), segments.frames[5:]]), segments.first, segments.lengths)
    other = dataclasses.replace(model.encoder(changed), z=encoded.z)
    return model.decode(encoded, segments, centre, context).predicted, model.decode(
        other, changed, centre, context
    ).predicted


def test_the_published_decoder_hears_the_encoder_through_z_alone() -> None:
    torch.testing.assert_close(*change_the_centre("conditioned"), rtol=0, atol=0)


def test_a_decoder_that_attends_bypasses_z() -> None:
    one, other = change_the_centre("attention")
    assert (one - other).abs().max() > 1e-3


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


@pytest.mark.parametrize(
    ("chosen", "message"),
    [({"objective": "cbow", "teacher_forcing": True}, "CBOW has no one word"), ({}, "takes teacher_forcing = true")],
)
def test_what_a_decoder_that_attends_cannot_do_is_refused(chosen: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate_settings(ModelSettings, {"decoder": "attention", **chosen})


@pytest.mark.gpu
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize(("decoder", "objective", "teacher_forcing"), VARIANTS)
def test_loss_and_gradients_on_a_gpu_equal_those_on_the_cpu(
    decoder: str, objective: str, teacher_forcing: bool, cell: str
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    chosen = {"objective": objective, "cell": cell, "decoder": decoder, "teacher_forcing": teacher_forcing}
    results = []
    _, segments = random_words([1, 5, 3, 9, 40], 5, 0)
    sides = [torch.from_numpy(side) for side in neighbour_pairs(np.array([0, 0, 0, 1, 1]), window=2)]
    for device in ("cpu", "cuda"):
        settings = validate_settings(ModelSettings, {"vector_size": 6, "engine": "steps", **chosen})
        model = seeded_model(5, settings, 0).double().to(device)
        there = Segments(*(part.to(device) for part in (segments.frames, segments.first, segments.lengths)))
        error = model(there, *(side.to(device) for side in sides)).squared_error()
        results.append([part.cpu() for part in (error, *torch.autograd.grad(error, list(model.parameters())))])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-8)


@pytest.mark.gpu
@pytest.mark.parametrize("engine", ["steps", "triton"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("vector_size", [50, 300])
@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 5e-2)])
def test_in_the_precision_of_training_too(
    precision: torch.dtype, tolerance: float, vector_size: int, cell: str, engine: str
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    _, segments = random_words([1, 5, 3, 9, 40, *range(1, 60)], 13, 0)
    sides = [torch.from_numpy(side) for side in neighbour_pairs(np.repeat([0, 1, 2, 3], 16), window=3)]
    results = []
    for device, dtype, name in (("cpu", torch.float64, "steps"), ("cuda", precision, engine)):
        settings = validate_settings(ModelSettings, {"vector_size": vector_size, "cell": cell, "engine": name})
        model = seeded_model(13, settings, 0).to(device, dtype)
        frames = segments.frames.to(device, dtype)
        there = Segments(frames, segments.first.to(device), segments.lengths.to(device))
        error = model(there, *(side.to(device) for side in sides)).squared_error()
        results.append([part.double().cpu() for part in (error, *torch.autograd.grad(error, list(model.parameters())))])
    for exact, other in zip(*results, strict=True):
        assert float((other - exact).norm() / exact.norm()) < tolerance
