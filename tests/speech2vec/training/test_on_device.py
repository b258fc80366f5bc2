"""Whole trainings where the model computes: on a GPU where there is one (`-m gpu` takes them), else on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import made_up_store

from speech2vec.features.store import Store
from speech2vec.model.encoding import encode_instances
from speech2vec.model.settings import ModelSettings
from speech2vec.training.batches import DeviceStore, fits_on_device
from speech2vec.training.checkpoint import load_checkpoint
from speech2vec.training.metrics import EpochState
from speech2vec.training.presets import DataSettings, OptimiserSettings, TrainSettings
from speech2vec.training.run import Run, checkpoint_file
from speech2vec.training.trainer import TrainOptions, train

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made_up_store(tmp_path_factory.mktemp("made-up") / "store")


def settings_of(epochs: int = 3, precision: str = "float32", **model: Any) -> TrainSettings:
    return TrainSettings(
        model=ModelSettings(vector_size=16, **model),
        data=DataSettings(held_out=0.2, window=2),
        optimiser=OptimiserSettings(epochs=epochs, learning_rate=1e-2, batch_size=60, precision=precision),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"cell": "gru"},
        {"objective": "cbow"},
        {"teacher_forcing": True},
        {"decoder": "attention", "teacher_forcing": True},
        pytest.param(
            {"engine": "triton"},
            marks=pytest.mark.skipif(DEVICE.type == "cpu", reason="Triton's interpreter would take minutes"),
        ),
    ],
    ids=["default", "gru", "cbow", "teacher-forcing", "attention", "triton"],
)
def test_it_trains_as_step_by_step_on_the_cpu(store: Store, tmp_path: Path, model: dict[str, Any]) -> None:
    losses = []
    for name, device in (("steps", torch.device("cpu")), ("there", DEVICE)):
        chosen = {**model, "engine": "steps"} if name == "steps" else model
        run = train(store, tmp_path / name, settings_of(epochs=8, **chosen), device, TrainOptions(quiet=True))
        losses.append([values["dev_loss"] for values in run.metrics])
    assert losses[0][-1] < 0.98 * losses[0][0]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
    runs = [Run.load(tmp_path / "steps"), Run.load(tmp_path / "there", device=DEVICE.type)]
    vectors = [encode_instances(run.model, run.store) for run in runs]
    np.testing.assert_allclose(vectors[-1], vectors[0], atol=0.05)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_stopped_run_goes_on_as_if_it_had_not(store: Store, tmp_path: Path, precision: str) -> None:
    settings = settings_of(epochs=4, precision=precision)

    class StoppedError(Exception):
        pass

    def stop(end: EpochState) -> dict[str, float]:
        if end.epoch == 2:
            raise StoppedError
        return {}

    train(store, tmp_path / "whole", settings, DEVICE, TrainOptions(quiet=True))
    with pytest.raises(StoppedError):
        train(
            store,
            tmp_path / "stopped",
            settings,
            DEVICE,
            TrainOptions(checkpoint_every=3, quiet=True),
            on_epoch_end=stop,
        )
    train(store, tmp_path / "stopped", settings, DEVICE, TrainOptions(resume=True, quiet=True))
    whole, stopped = (load_checkpoint(checkpoint_file(tmp_path / name)) for name in ("whole", "stopped"))
    assert whole.progress["step"] == stopped.progress["step"]
    tolerance = 1e-3 if precision == "float32" else 5e-2
    for name, weights in whole.weights.items():
        assert float((stopped.weights[name] - weights).norm() / weights.norm()) < tolerance, name


def test_two_runs_of_one_seed_are_the_same(store: Store, tmp_path: Path) -> None:
    for name in ("one", "two"):
        train(store, tmp_path / name, settings_of(), DEVICE, TrainOptions(quiet=True))
    one, two = (load_checkpoint(checkpoint_file(tmp_path / name)).weights for name in ("one", "two"))
    for name, weights in one.items():
        assert float((two[name] - weights).norm() / weights.norm()) < 1e-4, name


def test_frames_that_do_not_fit_stay_in_main_memory(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"none": 0, "less than twice": int(1.9 * store.frames.nbytes), "enough": int(2.1 * store.frames.nbytes)}
    fits = {}
    for name, free in sizes.items():
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 2**40))
        fits[name] = fits_on_device(store, torch.device("cuda"))
    assert fits == {"none": False, "less than twice": False, "enough": True}
    assert not DeviceStore(store, torch.device("cpu")).resident
