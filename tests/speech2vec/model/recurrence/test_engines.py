"""Which engine is taken where."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fakes import made_up_store

from speech2vec.model.recurrence import engines, lstm_cpu, lstm_steps
from speech2vec.model.settings import ModelSettings
from speech2vec.runtime.config import differences, fingerprint, to_toml
from speech2vec.runtime.errors import UserError
from speech2vec.training.presets import OptimiserSettings, TrainSettings

fused = pytest.importorskip(
    "speech2vec.model.recurrence.fused", reason="this build of torch comes without Triton", exc_type=ImportError
)
from speech2vec.model.recurrence import lstm_gpu  # noqa: E402
from speech2vec.training.trainer import TrainOptions, train  # noqa: E402


@pytest.fixture(autouse=True)
def a_card(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine with an H100."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a card")
    monkeypatch.setattr(fused, "try_out", lambda _: None)
    engines.why_no_triton.cache_clear()
    yield
    engines.why_no_triton.cache_clear()


def chosen(device: str, dtype: torch.dtype, asked: engines.Engine) -> str:
    weights = SimpleNamespace(device=torch.device(device), dtype=dtype)
    module = engines.choose(weights, asked, lstm_cpu, lambda: lstm_gpu, lstm_steps)  # type: ignore[arg-type]
    return module.__name__.rpartition("_")[2]


@pytest.mark.parametrize(
    ("device", "dtype", "asked", "expected"),
    [
        ("cpu", torch.float32, "auto", "cpu"),
        ("cpu", torch.float64, "auto", "cpu"),
        ("cpu", torch.bfloat16, "auto", "steps"),
        ("cuda", torch.float32, "auto", "gpu"),
        ("cuda", torch.bfloat16, "auto", "gpu"),
        ("cuda", torch.float64, "auto", "steps"),
        ("meta", torch.float32, "auto", "steps"),
        ("cpu", torch.float32, "steps", "steps"),
        ("cuda", torch.float32, "steps", "steps"),
        ("cuda", torch.float32, "triton", "gpu"),
        ("cuda", torch.bfloat16, "triton", "gpu"),
    ],
)
def test_which_is_taken_where(device: str, dtype: torch.dtype, asked: engines.Engine, expected: str) -> None:
    assert chosen(device, dtype, asked) == expected


def test_auto_goes_step_by_step_on_an_older_card_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert chosen("cuda", torch.float32, "auto") == "steps"
    for asked, n_warnings in (("steps", 0), ("auto", 1)):
        engines.check_engine(asked, torch.device("cuda"))
        assert len(caplog.records) == n_warnings
    assert "step by step, which is slow on a GPU: Triton needs one of NVIDIA's GPUs from Ampere on" in caplog.text


def test_auto_goes_step_by_step_where_triton_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda _: None)
    assert chosen("cuda", torch.float32, "auto") == "steps"


def refused(device: str = "cuda", dtype: torch.dtype = torch.float32) -> str:
    with pytest.raises(UserError) as raised:
        chosen(device, dtype, "triton")
    (line,) = str(raised.value).splitlines()
    return line


def test_triton_is_refused_on_an_older_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert "'triton' does not run here: Triton needs one of NVIDIA's GPUs from Ampere on" in refused()


def test_triton_is_refused_on_a_cpu_unless_interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    assert "the device is the CPU" in refused("cpu")
    engines.why_no_triton.cache_clear()
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert chosen("cpu", torch.float32, "triton") == "gpu"


def test_triton_is_refused_in_float64() -> None:
    assert "takes float32 and bfloat16, not torch.float64" in refused(dtype=torch.float64)


def test_where_triton_does_not_run_one_line_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_compiler(_: torch.device) -> None:
        raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")

    monkeypatch.setattr(fused, "try_out", no_compiler)
    assert "Failed to find C compiler" in refused() and "docs/install.md" in refused()


def test_an_engine_is_asked_for_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    store = made_up_store(tmp_path / "store")
    settings = TrainSettings(model=ModelSettings(engine="triton"))
    with pytest.raises(UserError, match="does not run here: the device is the CPU"):
        train(store, tmp_path / "run", settings, torch.device("cpu"), TrainOptions(quiet=True))
    assert not (tmp_path / "run").exists()


def test_the_engine_is_no_part_of_the_result(tmp_path: Path) -> None:
    """A run goes on under another engine; what is written of its settings names none."""
    store, cpu = made_up_store(tmp_path / "store"), torch.device("cpu")
    first, then = (
        TrainSettings(
            model=ModelSettings(vector_size=6, engine=engine), optimiser=OptimiserSettings(epochs=epochs, batch_size=60)
        )
        for engine, epochs in (("auto", 2), ("steps", 2))
    )
    assert fingerprint(first) == fingerprint(then) and differences(first, then) == []
    assert "engine" not in to_toml(first)
    train(store, tmp_path / "run", first, cpu, TrainOptions(quiet=True))
    assert len(train(store, tmp_path / "run", then, cpu, TrainOptions(resume=True, quiet=True)).metrics) == 3
