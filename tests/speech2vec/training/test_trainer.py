"""Training learns, and stops with one line when something is wrong (tests/hostile/kill.py kills it)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes import made_up_store
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from speech2vec.features.store import Store
from speech2vec.model.encoding import encode_instances
from speech2vec.model.settings import ModelSettings
from speech2vec.model.speech2vec import seeded_model
from speech2vec.runtime.errors import UserError
from speech2vec.training import checkpoint, held_out, trainer
from speech2vec.training.batches import DeviceStore
from speech2vec.training.checkpoint import TrainState, load_checkpoint, save_checkpoint
from speech2vec.training.held_out import HeldOutLoss, held_out_sampler
from speech2vec.training.metrics import EpochState
from speech2vec.training.presets import DataSettings, OptimiserSettings, TrainSettings
from speech2vec.training.run import Run, checkpoint_file, create_run
from speech2vec.training.sampler import Sampler, neighbour_pairs, split
from speech2vec.training.step import BatchLoss, learning_rate, make_optimiser, train_step
from speech2vec.training.trainer import TrainOptions, train

CPU = torch.device("cpu")


def small(epochs: int = 3, learning_rate: float = 1e-2, batch_size: int = 60, **model: object) -> TrainSettings:
    return TrainSettings(
        model=ModelSettings(vector_size=16, **model),  # type: ignore[arg-type]
        data=DataSettings(held_out=0.2, window=1),
        optimiser=OptimiserSettings(epochs=epochs, learning_rate=learning_rate, batch_size=batch_size),
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made_up_store(tmp_path_factory.mktemp("made-up") / "store")


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(checkpoint_file(run, "last")).weights


def test_training_beats_its_controls_on_held_out_speakers(store: Store, tmp_path: Path) -> None:
    settings = small(epochs=6, batch_size=30, teacher_forcing=False)
    metrics = train(store, tmp_path / "run", settings, CPU, TrainOptions(quiet=True)).metrics
    assert [values["epoch"] for values in metrics] == list(range(7))
    last = metrics[-1]
    assert last["dev_loss"] < 0.9 * last["dev_mean_frame"]
    assert last["dev_loss"] < 0.7 * last["dev_shuffled_within"]
    assert last["dev_loss"] < 0.7 * last["dev_shuffled"]


def test_with_teacher_forcing_it_beats_the_previous_frame(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store", speakers=10)
    last = train(
        store, tmp_path / "run", small(epochs=8, batch_size=30, teacher_forcing=True), CPU, TrainOptions(quiet=True)
    ).metrics[-1]
    assert last["dev_loss"] < last["dev_previous_frame"]
    assert last["dev_loss"] < 0.8 * last["dev_shuffled"]


def test_the_same_seed_gives_the_same_weights(store: Store, tmp_path: Path) -> None:
    for name in ("one", "two"):
        train(store, tmp_path / name, small(1), CPU, TrainOptions(quiet=True))
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_checkpoint_is_due_after_a_time_too(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []

    def count(path: Path, model: Any, optimiser: Any, state: TrainState) -> None:
        written.append(state.step)
        save_checkpoint(path, model, optimiser, state)

    monkeypatch.setattr(trainer, "save_checkpoint", count)
    options = TrainOptions(checkpoint_every=10**6, checkpoint_seconds=0.0, quiet=True)
    train(store, tmp_path / "run", small(1), CPU, options)
    assert sorted(set(written)) == list(range(1, max(written) + 1))


def test_a_write_that_fails_keeps_the_checkpoint_that_was_there(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(store, tmp_path / "run", small(1), CPU, TrainOptions(quiet=True))
    before = checkpoint_file(tmp_path / "run", "last").read_bytes()

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full_disk)
    with pytest.raises(UserError, match=r"cannot be written .*No space left.*the previous one is intact"):
        train(store, tmp_path / "run", small(1), CPU, TrainOptions(quiet=True))
    assert checkpoint_file(tmp_path / "run", "last").read_bytes() == before
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(store: Store, tmp_path: Path) -> None:
    diverging = TrainSettings(
        model=ModelSettings(vector_size=8, teacher_forcing=False),
        optimiser=OptimiserSettings(
            name="sgd", learning_rate=1e6, epochs=3, batch_size=30, gradient_clip=0.0, reduction="sum"
        ),
    )
    with pytest.raises(UserError, match=r"the (loss|gradient) became (nan|inf) at step \d+: .*smaller .*learning_rate"):
        train(store, tmp_path / "run", diverging, CPU, TrainOptions(quiet=True))


def test_a_truncated_checkpoint_and_one_of_another_size_are_named(store: Store, tmp_path: Path) -> None:
    train(store, tmp_path / "run", small(1), CPU, TrainOptions(quiet=True))
    file = checkpoint_file(tmp_path / "run", "last")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="not a checkpoint, or is truncated"):
        Run.load(tmp_path / "run", checkpoint="last")
    file.write_bytes(whole)
    config = tmp_path / "run" / "config.toml"
    config.write_text(config.read_text().replace("vector_size = 16", "vector_size = 10"))
    with pytest.raises(UserError, match=r"belongs to another model: '.*' has shape"):
        Run.load(tmp_path / "run", checkpoint="last")


def test_a_run_is_not_resumed_with_other_settings_or_another_store(store: Store, tmp_path: Path) -> None:
    train(store, tmp_path / "run", small(1), CPU, TrainOptions(quiet=True))
    with pytest.raises(UserError, match="started with other settings"):
        train(store, tmp_path / "run", small(2), CPU, TrainOptions(resume=True, quiet=True))
    other = made_up_store(tmp_path / "other", speakers=3)
    with pytest.raises(UserError, match="started on another store"):
        train(other, tmp_path / "run", small(1), CPU, TrainOptions(resume=True, quiet=True))


def test_evaluation_is_plugged_in_from_above(store: Store, tmp_path: Path) -> None:
    seen: list[tuple[int, bool]] = []

    def watch(end: EpochState) -> dict[str, float]:
        seen.append((end.epoch, end.last))
        return {"words_held_out": float(len(end.split.held_out))}

    metrics = train(store, tmp_path / "run", small(2), CPU, TrainOptions(quiet=True), on_epoch_end=watch).metrics
    assert seen == [(0, False), (1, False), (2, True)]
    assert all(values["words_held_out"] == 48 for values in metrics)
    assert list((tmp_path / "run").glob("events.*"))


def test_the_held_out_pairs_do_not_depend_on_the_batch(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "held_out_sampler", partial(held_out_sampler, most_pairs=30))  # of 80
    monkeypatch.setattr(held_out, "_BATCH_SIZE", 10)
    before = [
        train(store, tmp_path / str(size), small(epochs=1, batch_size=size), CPU, TrainOptions(quiet=True)).metrics[0]
        for size in (20, 5000)
    ]
    assert 30 <= before[0]["dev_n_pairs"] < 80
    assert before[0] == before[1]


def test_held_out_speakers_are_never_trained_on(store: Store, tmp_path: Path) -> None:
    def watch(end: EpochState) -> dict[str, float]:
        assert not set(store.speaker[end.split.train]) & set(store.speaker[end.split.held_out])
        return {}

    train(store, tmp_path / "run", small(1), CPU, TrainOptions(quiet=True), on_epoch_end=watch)


def test_one_word_utterances_cannot_be_trained_on(tmp_path: Path) -> None:
    lonely = made_up_store(tmp_path / "store", words=1)
    with pytest.raises(UserError, match="no utterance has two words"):
        train(lonely, tmp_path / "run", small(1), CPU, TrainOptions(quiet=True))


def test_a_loaded_run_encodes_some_words_of_a_store_as_it_encodes_all(store: Store, tmp_path: Path) -> None:
    train(store, tmp_path / "run", small(1), CPU, TrainOptions(quiet=True))
    trained, untrained = Run.load(tmp_path / "run"), Run.load(tmp_path / "run", trained=False)
    indices = np.array([5, 0, 17])
    from_store = encode_instances(trained.model, trained.store, indices)
    np.testing.assert_allclose(encode_instances(trained.model, store)[indices], from_store, atol=1e-6)
    assert np.abs(encode_instances(untrained.model, store, indices) - from_store).max() > 1e-3


def test_the_learning_rate_falls_along_half_a_cosine() -> None:
    settings = OptimiserSettings(learning_rate=1.0, final_learning_rate=0.1)
    assert learning_rate(settings, 0.0) == 1.0
    assert learning_rate(settings, 0.25) == pytest.approx(0.1 + 0.9 * (1 + np.sqrt(0.5)) / 2)
    assert learning_rate(settings, 0.5) == pytest.approx(0.55)
    assert learning_rate(settings, 1.0) == pytest.approx(0.1)


def test_the_learning_rate_falls_from_step_to_step(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[float] = []
    step = trainer.train_step

    def record(loss: Any, optimiser: torch.optim.Optimizer, *rest: Any) -> torch.Tensor:
        used.append(optimiser.param_groups[0]["lr"])
        return step(loss, optimiser, *rest)

    monkeypatch.setattr(trainer, "train_step", record)
    settings = small(epochs=2)
    train(store, tmp_path / "run", settings, CPU, TrainOptions(quiet=True))
    assert len(used) > 10 and (np.diff(used) < 0).all()
    assert used[0] == settings.optimiser.learning_rate
    assert learning_rate(settings.optimiser, 0.5) in used  # as the second epoch begins


def test_a_gradient_is_clipped_to_the_norm_that_is_set(store: Store) -> None:
    settings = OptimiserSettings(name="sgd", learning_rate=1.0, gradient_clip=0.01)
    loss = BatchLoss(seeded_model(store.n_mfcc, ModelSettings(vector_size=8), 0), settings, int(store.n_frames.max()))
    before = [weights.detach().clone() for weights in loss.parameters()]
    sampler = Sampler.from_store(store, np.arange(store.n_words), 1, 60, seed=0)
    batch = DeviceStore(store, CPU).batch(sampler.batch(sampler.epoch(0)[0]))
    *_, norm = train_step(loss, make_optimiser(loss, settings), batch, settings).tolist()
    changes = [(weights.detach() - old).flatten() for weights, old in zip(loss.parameters(), before, strict=True)]
    assert norm > 0.1  # before it is clipped
    assert torch.cat(changes).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_the_best_checkpoint_is_that_of_the_lowest_held_out_loss(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([9.0, 3.0, 1.0, 2.0])  # before training, and after each epoch

    def measured(*_: object) -> HeldOutLoss:
        return HeldOutLoss(next(losses), 1.0, 1.0, 1.0, 1.0, 1, 1)

    monkeypatch.setattr(trainer, "held_out_loss", measured)
    train(store, tmp_path / "run", small(3, batch_size=200), CPU, TrainOptions(quiet=True))
    best, last = (load_checkpoint(checkpoint_file(tmp_path / "run", name)) for name in ("best", "last"))
    assert (best.progress["epoch"], last.progress["epoch"]) == (2, 3)
    assert best.progress["best_loss"] == last.progress["best_loss"] == 1.0


def test_the_mean_frame_that_the_loss_is_compared_with_is_that_of_the_training_part(
    store: Store, tmp_path: Path
) -> None:
    settings = small(1, batch_size=200)
    parts = split(store, settings.data.held_out, settings.seed)
    _, context = neighbour_pairs(store.utterance[parts.held_out], settings.data.window)
    said = store.gather(parts.held_out[context]).astype(np.float64)

    def error_of(rows: np.ndarray) -> float:
        return float(((said - store.gather(rows).mean(axis=0, dtype=np.float64)) ** 2).mean())

    assert error_of(parts.train) > 1.05 * error_of(parts.held_out)  # speakers differ by an offset
    metrics = train(store, tmp_path / "run", settings, CPU, TrainOptions(quiet=True)).metrics
    assert [values["dev_mean_frame"] for values in metrics] == pytest.approx([error_of(parts.train)] * 2, rel=1e-5)


def test_a_run_is_not_loaded_with_a_store_of_other_settings(store: Store, tmp_path: Path) -> None:
    create_run(tmp_path / "run", store, small(1), "cpu", 1)
    other = made_up_store(tmp_path / "other", speakers=2, utterances=2, n_mfcc=4)
    assert Run.load(tmp_path / "run", trained=False).store.path == store.path
    with pytest.raises(UserError, match="was trained on a store with other settings"):
        Run.load(tmp_path / "run", store=other.path, trained=False)


def test_what_a_resumed_run_shows_again_is_shown_once(store: Store, tmp_path: Path) -> None:
    run = tmp_path / "run"

    class StoppedError(Exception):
        pass

    def stop(end: EpochState) -> dict[str, float]:
        if end.epoch == 2:
            end.writer.flush()
            raise StoppedError
        return {}

    with pytest.raises(StoppedError):
        train(store, run, small(2), CPU, TrainOptions(log_every=1, quiet=True), on_epoch_end=stop)
    (before,) = run.glob("events.*")
    before.rename(run / "events.out.tfevents.0")  # the older: names hold no part of a second
    train(store, run, small(2), CPU, TrainOptions(resume=True, log_every=1, quiet=True))
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    steps = [scalar.step for scalar in events.Scalars("step/loss")]
    assert steps == list(range(1, load_checkpoint(checkpoint_file(run)).progress["step"] + 1))
