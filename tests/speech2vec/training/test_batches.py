"""A batch is the same wherever the frames lie: gathered from the memory map, or from a copy on the device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import made_up_store

from speech2vec.features.store import Store
from speech2vec.model.encoding import segments_of
from speech2vec.model.settings import ModelSettings
from speech2vec.model.speech2vec import seeded_model
from speech2vec.training import batches
from speech2vec.training.batches import DeviceStore
from speech2vec.training.presets import DataSettings, OptimiserSettings, TrainSettings
from speech2vec.training.sampler import Sampler
from speech2vec.training.step import BatchLoss, make_optimiser, train_step
from speech2vec.training.trainer import TrainOptions, train

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made_up_store(tmp_path_factory.mktemp("made-up") / "store")


def test_frames_on_the_device_make_the_same_batches(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CHUNK_FRAMES", 1000)  # several pieces, the last one shorter
    mapped, resident = DeviceStore(store, CPU), DeviceStore(store, CPU, resident=True)
    assert not mapped.resident and resident.resident
    sampler = Sampler.from_store(store, np.arange(store.n_words)[::-1][::2][::-1], 3, 50, seed=0)
    for chosen in sampler.epoch(0):
        batch = sampler.batch(chosen)
        one, two = mapped.batch(batch), resident.batch(batch)
        for ours, theirs in (
            (one.words.frames, two.words.frames),
            (one.words.first, two.words.first),
            (one.words.lengths, two.words.lengths),
            (one.centre, two.centre),
            (one.context, two.context),
        ):
            assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)
        assert one.n_pairs == two.n_pairs == len(batch.centre)
        expected = np.concatenate([store.segment(row) for row in batch.words])
        assert np.array_equal(one.words.frames.numpy(), expected)
        assert torch.equal(one.words.frames, segments_of(store, batch.words).frames)


def test_a_batch_of_some_centres_counts_the_frames_of_their_contexts(store: Store) -> None:
    # Of these words most are context only: centres and contexts have not the same frames.
    sampler = Sampler.from_store(store, np.arange(store.n_words), 3, 50, seed=0, sample=1e-2, subsample="centres")
    frames, differ = DeviceStore(store, CPU), 0
    for chosen in sampler.epoch(0):
        batch = sampler.batch(chosen)
        said = store.n_frames[batch.words]
        assert frames.batch(batch).n_rows == said[batch.context].sum()
        differ += said[batch.context].sum() != said[batch.centre].sum()
    assert differ


def test_a_batch_of_nothing(store: Store) -> None:
    for resident in (False, True):
        words = DeviceStore(store, CPU, resident).segments(np.zeros(0, dtype=np.int64))
        assert words.frames.shape == (0, store.n_mfcc) and not len(words.first) and not len(words.lengths)


def test_bfloat16_learns_as_float32_does(store: Store, tmp_path: Path) -> None:
    last = {}
    for precision in ("float32", "bfloat16"):
        settings = TrainSettings(
            model=ModelSettings(vector_size=16),
            data=DataSettings(held_out=0.2, window=1),
            optimiser=OptimiserSettings(epochs=3, learning_rate=1e-2, batch_size=30, precision=precision),  # type: ignore[arg-type]
        )
        last[precision] = train(store, tmp_path / precision, settings, CPU, TrainOptions(quiet=True)).metrics[-1]
    assert last["bfloat16"]["dev_loss"] < 0.9 * last["bfloat16"]["dev_mean_frame"]
    assert last["bfloat16"]["dev_loss"] == pytest.approx(last["float32"]["dev_loss"], rel=0.05)
    assert last["bfloat16"]["dev_loss"] != last["float32"]["dev_loss"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("resident", [True, False])
def test_a_gpu_takes_the_same_batches_and_steps(store: Store, resident: bool) -> None:
    sampler = Sampler.from_store(store, np.arange(store.n_words), 3, 50, seed=0)
    settings = OptimiserSettings(batch_size=50)
    sums = {}
    for device in (CPU, torch.device("cuda")):
        frames = DeviceStore(store, device, resident if device.type == "cuda" else False)
        loss = BatchLoss(seeded_model(store.n_mfcc, ModelSettings(vector_size=16), 0), settings, 20).to(device)
        optimiser = make_optimiser(loss, settings)
        steps = [frames.batch(sampler.batch(chosen)) for chosen in sampler.epoch(0)]
        assert all(batch.words.frames.device.type == device.type for batch in steps)
        sums[device.type] = torch.stack([train_step(loss, optimiser, batch, settings) for batch in steps]).cpu()
    torch.testing.assert_close(sums["cuda"], sums["cpu"], rtol=1e-3, atol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("resident", [True, False])
def test_a_step_on_a_gpu_waits_for_nothing(store: Store, resident: bool) -> None:
    settings, device = OptimiserSettings(batch_size=50), torch.device("cuda")
    sampler, frames = (
        Sampler.from_store(store, np.arange(store.n_words), 3, 50, seed=0),
        DeviceStore(store, device, resident),
    )
    loss = BatchLoss(seeded_model(store.n_mfcc, ModelSettings(vector_size=16), 0), settings, 20).to(device)
    optimiser = make_optimiser(loss, settings)
    for number, chosen in enumerate(sampler.epoch(0)):
        torch.cuda.set_sync_debug_mode("error" if number else "default")  # the first step makes what all share
        try:
            train_step(loss, optimiser, frames.batch(sampler.batch(chosen)), settings)
        finally:
            torch.cuda.set_sync_debug_mode("default")
