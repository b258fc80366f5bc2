"""A training step on a GPU waits for nothing: on tensors without numbers, whatever reads a number off one fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)

pytest.importorskip("triton", reason="this build of torch comes without Triton")

from speech2vec.model.encoder import Segments
from speech2vec.model.recurrence import gru_gpu, layers, lstm_gpu, lstm_steps
from speech2vec.model.settings import ModelSettings
from speech2vec.model.speech2vec import Speech2Vec
from speech2vec.runtime.config import validate_settings
from speech2vec.training.batches import DeviceBatch
from speech2vec.training.presets import OptimiserSettings
from speech2vec.training.step import BatchLoss, make_optimiser, train_step

N_WORDS, N_FRAMES, N_PAIRS, N_ROWS, LONGEST = 30, 600, 50, 1000, 40
WAITS = (DataDependentOutputException, DynamicOutputShapeException)


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The kernels that would have been launched on a GPU."""
    kernels: list[Any] = []
    for module in (lstm_gpu, gru_gpu):
        monkeypatch.setattr(module, "launch", lambda kernel, *_, **__: kernels.append(kernel))
    monkeypatch.setattr(layers, "_lstm_engine", lambda *_: lstm_gpu)
    monkeypatch.setattr(layers, "_gru_engine", lambda *_: gru_gpu)
    return kernels


def two_steps(
    model: dict[str, Any], optimiser: dict[str, Any], n_rows: int | None = N_ROWS, known: bool = False
) -> None:
    settings = OptimiserSettings(batch_size=N_PAIRS, **optimiser)
    with FakeTensorMode():
        loss = BatchLoss(Speech2Vec(13, validate_settings(ModelSettings, model)), settings, LONGEST)
        weights = make_optimiser(loss, settings)
        lengths = torch.empty(N_WORDS, dtype=torch.int64)
        running = [N_WORDS] * (N_FRAMES // N_WORDS), [N_PAIRS] * (N_ROWS // N_PAIRS)
        of_words, of_contexts = running if known else (None, None)
        first = torch.cumsum(lengths, 0) - lengths
        words = Segments(torch.empty(N_FRAMES, 13), first, lengths, LONGEST, N_FRAMES, of_words)
        centre, context = torch.empty(2, N_PAIRS, dtype=torch.int64).unbind(0)
        for _ in range(2):  # the first makes what the optimiser keeps
            train_step(loss, weights, DeviceBatch(words, centre, context, n_rows, of_contexts), settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "optimiser"),
    [
        ({}, {}),
        ({}, {"name": "sgd"}),
        ({}, {"precision": "bfloat16"}),
        ({}, {"reduction": "padded"}),
        ({"teacher_forcing": True}, {}),
        ({"cell": "gru", "bidirectional": False}, {}),
    ],
    ids=str,
)
def test_a_step_reads_no_number(launched: list[Any], model: dict[str, Any], optimiser: dict[str, Any]) -> None:
    two_steps(model, optimiser)
    assert len(launched) == 2 * 2 * 2  # steps, ways, layers: both directions of the encoder are one launch


def steps_in_operators(monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    monkeypatch.setattr(layers, "_lstm_engine", lambda *_: lstm_steps)
    two_steps({}, {}, known=known)


def test_neither_does_one_in_single_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told on the host how many sequences each step has."""
    steps_in_operators(monkeypatch, known=True)


@pytest.mark.usefixtures("launched")
@pytest.mark.parametrize(
    "waits",
    [
        lambda patch: steps_in_operators(patch, known=False),
        lambda _: two_steps({}, {}, n_rows=None),
        lambda _: two_steps({"objective": "cbow"}, {}),
    ],
    ids=["steps, told nothing", "unknown number of rows", "cbow"],
)
def test_what_does_wait_is_found(monkeypatch: pytest.MonkeyPatch, waits: Callable[[pytest.MonkeyPatch], None]) -> None:
    with pytest.raises(WAITS):
        waits(monkeypatch)
