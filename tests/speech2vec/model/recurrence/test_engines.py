"""Which engine is taken where."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from speech2vec.model.recurrence import engines, lstm_cpu, lstm_steps

fused = pytest.importorskip(
    "speech2vec.model.recurrence.fused", reason="this build of torch comes without Triton", exc_type=ImportError
)
from speech2vec.model.recurrence import lstm_gpu  # noqa: E402


@pytest.fixture(autouse=True)
def a_card(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine with an H100."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a card")
    monkeypatch.setattr(fused, "try_out", lambda _: None)
    engines.takes_triton.cache_clear()
    yield
    engines.takes_triton.cache_clear()


def chosen(device: str, dtype: torch.dtype) -> str:
    weights = SimpleNamespace(device=torch.device(device), dtype=dtype)
    module = engines.engine(weights, lstm_cpu, lambda: lstm_gpu, lstm_steps)  # type: ignore[arg-type]
    return module.__name__.rpartition("_")[2]


@pytest.mark.parametrize(
    ("device", "dtype", "expected"),
    [
        ("cpu", torch.float32, "cpu"),
        ("cpu", torch.float64, "cpu"),
        ("cpu", torch.bfloat16, "steps"),
        ("cuda", torch.float32, "gpu"),
        ("cuda", torch.bfloat16, "gpu"),
        ("cuda", torch.float64, "steps"),
        ("meta", torch.float32, "steps"),
    ],
)
def test_the_fastest_that_takes_the_weights(device: str, dtype: torch.dtype, expected: str) -> None:
    assert chosen(device, dtype) == expected


def test_an_older_card_goes_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert chosen("cuda", torch.float32) == "steps"


def test_where_triton_does_not_run_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_compiler(_: torch.device) -> None:
        raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")

    monkeypatch.setattr(fused, "try_out", no_compiler)
    monkeypatch.setattr(logging.getLogger("speech2vec"), "propagate", True)
    with caplog.at_level(logging.WARNING, logger="speech2vec"):
        assert [chosen("cuda", torch.float32) for _ in range(3)] == ["steps"] * 3
    (line,) = caplog.messages
    assert "Triton does not run on a card" in line and "Failed to find C compiler" in line
