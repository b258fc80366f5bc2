"""`speech2vec train`: what is wrong with a store, a checkpoint or a device is one line, exit code 2."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from fakes import made_up_store
from safetensors import safe_open
from safetensors.torch import save_file

import speech2vec as s2v
from speech2vec.cli.app import app
from speech2vec.features.store import Store
from speech2vec.runtime.config import load_settings
from speech2vec.runtime.console import run_app
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import only_writer
from speech2vec.training import run as runs
from speech2vec.training import trainer
from speech2vec.training.presets import TrainSettings
from speech2vec.training.run import Run, checkpoint_file
from speech2vec.training.sampler import Sampler, split
from speech2vec.training.trainer import TrainOptions, train

CHOSEN = ("model.vector_size=8", "optimiser.epochs=1", "optimiser.batch_size=60", "data.held_out=0.2")
Said = tuple[int, str, list[str]]
Command = Callable[..., Said]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `speech2vec train` and give back exit code, output and lines of errors."""

    def run(store: Path, run: Path, *more: str) -> Said:
        options = [word for text in CHOSEN for word in ("--set", text)]
        fixed = ["--device", "cpu", "--evaluate-every", "1", "--quiet"]
        monkeypatch.setattr(sys, "argv", ["speech2vec", "train", str(store), "-o", str(run), *options, *fixed, *more])
        with pytest.raises(SystemExit) as ended:
            run_app(app)
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out, said.err.splitlines()

    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    made_up_store(folder / "store")
    return folder


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole / "store", tmp_path / "store"))


@pytest.fixture(scope="module")
def trained(whole: Path) -> Path:
    settings = load_settings(TrainSettings, overrides=CHOSEN)
    train(Store.open(whole / "store"), whole / "run", settings, torch.device("cpu"), TrainOptions(quiet=True))
    return whole / "run"


def change(store: Path, name: str, values: list[object]) -> None:
    table = pq.read_table(store / "words.parquet")
    field = table.schema.field(name)
    column = pa.array(values).cast(field.type)
    pq.write_table(table.set_column(table.column_names.index(name), field, column), store / "words.parquet")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("row", range(0, 240, 48))  # one of each speaker's: the held-out one too
def test_frames_that_are_no_numbers_are_found(
    store: Path, tmp_path: Path, command: Command, value: float, row: int
) -> None:
    frames = np.lib.format.open_memmap(store / "frames.npy", mode="r+")
    frames[pq.read_table(store / "words.parquet")["first_frame"][row].as_py()] = value
    frames.flush()
    code, _, said = command(store, tmp_path / "run")
    assert code == 2 and len(said) == 1
    assert "holds NaN or infinite frames" in said[0] and f"(row {row}): rebuild it" in said[0]


def test_a_word_of_no_frames(store: Path, tmp_path: Path, command: Command) -> None:
    n = pq.read_table(store / "words.parquet")["n_frames"].to_pylist()
    change(store, "n_frames", [0 if row == 7 else value for row, value in enumerate(n)])
    code, _, said = command(store, tmp_path / "run")
    assert code == 2 and len(said) == 1 and "in row 7 has no frames" in said[0]


def test_a_vocabulary_of_one_word_is_trained_on(store: Path, tmp_path: Path, command: Command) -> None:
    change(store, "word", ["again"] * 240)
    code, out, said = command(store, tmp_path / "run")
    assert code == 0 and out.startswith("run ")
    assert len(said) == 1 and "all words to train on are 'again'" in said[0]


def test_what_is_only_watched_stops_no_training(store: Path, tmp_path: Path, command: Command) -> None:
    change(store, "word", ["again"] * 240)
    change(store, "end", [start + 1.0 for start in pq.read_table(store / "words.parquet")["start"].to_pylist()])
    code, out, _ = command(store, tmp_path / "run")  # two instances of one word: same-different has nothing to tell
    assert code == 0 and out.startswith("run ")


def test_the_seed_of_a_configuration_file_counts(store: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "config.toml").write_text("seed = 7\n")
    for more, seed in (((), 7), (("--seed", "3"), 3), (("--seed", "3", "--set", "seed=4"), 4)):
        code, *_ = command(store, tmp_path / f"run{seed}", "--config", str(tmp_path / "config.toml"), *more)
        assert code == 0 and f"seed = {seed}\n" in (tmp_path / f"run{seed}" / "config.toml").read_text()


def test_a_subsample_that_leaves_no_pair(store: Path, tmp_path: Path, command: Command) -> None:
    code, _, said = command(store, tmp_path / "run", "--set", "data.sample=1e-12")
    assert code == 2 and len(said) == 1
    assert "no pairs are left to train on in epoch 1: increase data.sample (now 1e-12)" in said[0]


@pytest.mark.parametrize("seed", ["4294967296", "99999999999999999999"])
def test_a_seed_that_is_too_large(store: Path, tmp_path: Path, command: Command, seed: str) -> None:
    for option in (["--seed", seed], ["--set", f"seed={seed}"]):
        code, _, said = command(store, tmp_path / "run", *option)
        assert code == 2 and len(said) == 1
        assert "4294967295" in said[0] or "too large a number" in said[0]


def test_utterances_of_one_word_have_no_part(store: Path, tmp_path: Path, command: Command) -> None:
    utterance = pq.read_table(store / "words.parquet")["utterance_id"].to_pylist()
    change(store, "utterance_id", [f"{name}-end" if row % 6 == 5 else name for row, name in enumerate(utterance)])
    assert Sampler.from_store(Store.open(store), np.arange(240), 1, 60, seed=0).n_singletons() == 40
    code, _, _ = command(store, tmp_path / "run")
    assert code == 0
    change(store, "utterance_id", [str(row) for row in range(240)])
    code, _, said = command(store, tmp_path / "none")
    assert code == 2 and len(said) == 1 and "no utterance has two words" in said[0]


def test_a_run_is_not_replaced_by_nothing(store: Path, trained: Path, tmp_path: Path, command: Command) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    (run / "vectors.txt").write_text("kept")
    change(store, "utterance_id", [str(row) for row in range(240)])
    code, _, said = command(store, run, "--force")
    assert code == 2 and len(said) == 1 and "no utterance has two words" in said[0]
    assert (run / "vectors.txt").exists() and checkpoint_file(run).exists()
    (run / "thesis.txt").write_text("kept")
    code, _, said = command(trained.parent / "store", run, "--force")
    assert code == 2 and len(said) == 1 and "contains thesis.txt, which this command did not write" in said[0]
    assert (run / "vectors.txt").exists() and checkpoint_file(run).exists()
    (run / "thesis.txt").unlink()
    code, _, _ = command(trained.parent / "store", run, "--force")
    assert code == 0 and not (run / "vectors.txt").exists()


def test_a_run_is_not_replaced_by_a_method_that_cannot_be_fitted(
    store: Path, trained: Path, tmp_path: Path, command: Command
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    change(store, "word", [f"w{row}" for row in range(240)])
    with pytest.raises(UserError, match="are said twice"):
        s2v.train(store, run, preset="contrastive", force=True, device="cpu", quiet=True)
    assert checkpoint_file(run).exists() and s2v.load(run, trained.parent / "store").settings.method == "published"


def test_a_run_is_not_replaced_where_no_held_out_pair_is_measured(
    store: Path, trained: Path, tmp_path: Path, command: Command
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    held_out = set(split(Store.open(store), 0.2, 1).held_out.tolist())
    names = [str(row) if row in held_out else f"u{row // 6}" for row in range(240)]
    change(store, "utterance_id", names)
    code, _, said = command(store, run, "--force")
    assert code == 2 and len(said) == 1 and "no held-out utterance has two words" in said[0]
    assert checkpoint_file(run).exists()


@pytest.mark.parametrize("option", ["checkpoint_every", "log_every"])
def test_steps_are_counted_from_one(option: str, store: Path, trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    with pytest.raises(UserError, match=f"{option} counts steps: it is 1 or more, not 0"):
        s2v.train(store, run, force=True, epochs=1, device="cpu", quiet=True, **{option: 0})
    assert checkpoint_file(run).exists()


def test_a_run_is_not_resumed_on_another_corpus(store: Path, trained: Path, tmp_path: Path, command: Command) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    words = Store.open(store).words()
    change(store, "word", words[::-1])
    code, _, said = command(store, run, "--resume")
    assert code == 2 and len(said) == 1 and "was started on another store" in said[0]


def test_a_run_that_records_no_words_is_resumed_unless_it_held_out_others(
    store: Path, trained: Path, tmp_path: Path, command: Command
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    origin = json.loads((run / "store.json").read_text())
    assert len(origin.pop("words")) == 12
    (run / "store.json").write_text(json.dumps(origin))
    assert command(store, run, "--resume")[0] == 0
    change(store, "speaker", ["a"] * 200 + ["b"] * 10 + ["c"] * 10 + ["d"] * 20)  # which may have been held out
    seed = next(s for s in range(9) if len(split(Store.open(store), 0.2, s, limited=False).held_out) > 100)
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("seed = 1", f"seed = {seed}"))
    code, _, said = command(store, run, "--resume", "--seed", str(seed))
    assert code == 2 and len(said) == 1 and "start a new run" in said[0]
    parts = Run.load(run, store).split
    assert parts is not None and len(parts.held_out) > 100


def test_a_run_that_is_being_trained_by_another_process(whole: Path, trained: Path, command: Command) -> None:
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    with only_writer(trained):
        for option in ("--force", "--resume"):
            code, _, said = command(whole / "store", trained, option)
            assert code == 2 and len(said) == 1 and "is being written by process" in said[0]
    assert before == {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}


def test_a_checkpoint_of_another_size(whole: Path, trained: Path, tmp_path: Path, command: Command) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    code, _, said = command(whole / "store", run, "--resume", "--set", "model.vector_size=10")
    assert code == 2 and len(said) == 1 and "started with other settings" in said[0]
    assert "(model.vector_size 8, not 10)" in said[0]
    config = run / "config.toml"
    config.write_text(config.read_text().replace("vector_size = 8", "vector_size = 10"))
    code, _, said = command(whole / "store", run, "--resume", "--set", "model.vector_size=10")
    assert code == 2 and len(said) == 1 and "belongs to another model" in said[0]


def test_a_truncated_checkpoint(whole: Path, trained: Path, tmp_path: Path, command: Command) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    file = checkpoint_file(run)
    content = file.read_bytes()
    for length in (0, 7, 200, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:length])
        code, _, said = command(whole / "store", run, "--resume")
        assert code == 2 and len(said) == 1 and "is not a checkpoint, or is truncated" in said[0]


def test_a_checkpoint_of_something_else(whole: Path, trained: Path, tmp_path: Path, command: Command) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    file = checkpoint_file(run)
    with safe_open(file, "pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        progress = opened.metadata()["progress"]
    optimiser = next(name for name in tensors if name.startswith("optimiser."))
    cases = [
        ({"x": torch.zeros(3)}, None, "is not a checkpoint, or is truncated"),
        ({"x": torch.zeros(3)}, progress, "belongs to another model"),
        (tensors, json.dumps({"epochs": 3}), "does not hold a training state"),
        (tensors, json.dumps(3), "does not hold a training state"),
        ({**tensors, optimiser: torch.zeros(99)}, progress, "the state of another optimiser"),
        ({k: v for k, v in tensors.items() if not k.startswith("optimiser.3")}, progress, "the state of another"),
        ({k: v for k, v in tensors.items() if not k.endswith(".step")}, progress, "the state of another optimiser"),
    ]
    for content, metadata, expected in cases:
        save_file(content, file, metadata={"progress": metadata} if metadata else None)
        code, _, said = command(whole / "store", run, "--resume")
        assert code == 2 and len(said) == 1 and expected in said[0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(store: Path, tmp_path: Path, command: Command) -> None:
    code, _, said = command(store, tmp_path / "run", "--device", "cuda")
    assert code == 2 and len(said) == 1 and "there is no CUDA device" in said[0]
    assert not (tmp_path / "run").exists()
    code, _, said = command(store, tmp_path / "run", "--device", "tpu")
    assert code == 2 and len(said) == 1 and "'tpu' is not one of" in said[0]


def test_a_learning_rate_that_diverges_keeps_the_last_good_checkpoint(
    store: Path, tmp_path: Path, command: Command
) -> None:
    wild = ("name=sgd", "learning_rate=1e6", "gradient_clip=0", "reduction=sum", "epochs=3")
    options = [word for text in wild for word in ("--set", f"optimiser.{text}")]
    code, _, said = command(store, tmp_path / "run", *options, "--checkpoint-every", "1")
    file = checkpoint_file(tmp_path / "run")
    assert code == 2 and len(said) == 1
    assert "at step 3: training has diverged" in said[0] and said[0].endswith(f"the last good checkpoint is {file}")
    with safe_open(file, "pt") as opened:
        assert json.loads(opened.metadata()["progress"])["step"] == 2
        assert all(bool(opened.get_tensor(name).isfinite().all()) for name in opened.keys())  # noqa: SIM118
    # Without a checkpoint in each step none is written after the first step that is no number.
    code, _, _ = command(store, tmp_path / "other", *options)
    assert code == 2 and not checkpoint_file(tmp_path / "other").exists()


def test_a_batch_that_does_not_fit_into_the_memory_of_a_gpu_is_one_line(
    store: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = iter(range(100))
    make_step = trainer.train_step

    def step(*given: Any) -> torch.Tensor:
        if next(steps) == 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 7.00 GiB.")
        return make_step(*given)

    monkeypatch.setattr(trainer, "train_step", step)
    code, _, said = command(store, tmp_path / "run", "--checkpoint-every", "1")
    assert code == 2 and len(said) == 1
    assert "is out of memory: start a new run with optimiser.batch_size below 60" in said[0]
    assert f"the last good checkpoint is {checkpoint_file(tmp_path / 'run')}" in said[0]


def test_a_gpu_that_is_full_beforehand_is_one_line(
    store: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(trainer, "DeviceStore", full)
    code, _, said = command(store, tmp_path / "run")
    assert code == 2 and len(said) == 1
    assert "is out of memory" in said[0] and "no checkpoint has been written yet" in said[0]


@pytest.mark.parametrize("contents", ["[1]", "{}", '{"path": 1, "fingerprint": "", "n_words": 1}', "[" * 100_000])
def test_a_run_whose_origin_has_the_wrong_shape(
    store: Path, trained: Path, tmp_path: Path, command: Command, contents: str
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    (run / "store.json").write_text(contents)
    code, _, errors = command(store, run, "--resume")
    assert code == 2 and len(errors) == 1 and str(run / "store.json") in errors[0]
    assert len(errors[0]) < 300 + len(str(run))
    with pytest.raises(UserError, match=r"store\.json is not"):
        Run.load(run)


@pytest.mark.parametrize("progress", ["[]", "{}", "7", '{"epoch": "1"}', '{"epoch": [1]}', '{"new": 1}', "[" * 100_000])
def test_a_checkpoint_whose_progress_has_the_wrong_shape(
    store: Path, trained: Path, tmp_path: Path, command: Command, progress: str
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    with safe_open(checkpoint_file(run), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
    save_file(tensors, checkpoint_file(run), metadata={"progress": progress})
    code, _, errors = command(store, run, "--resume")
    assert code == 2 and len(errors) == 1 and "checkpoint" in errors[0]
    assert len(errors[0]) < 300 + len(str(run))


def test_a_network_that_a_file_cannot_fill_is_not_made(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vector_size of 4096 would claim 3 GB before the checkpoint is found to be another's."""
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    config = (run / "config.toml").read_text()
    changed = re.sub(r"vector_size = \d+", "vector_size = 4096", config)
    assert changed != config
    (run / "config.toml").write_text(changed)

    def made(n_mfcc: int, settings: object, seed: int) -> None:
        raise AssertionError("the network was made")

    monkeypatch.setattr(runs, "seeded_model", made)
    with pytest.raises(UserError, match="belongs to another model"):
        Run.load(run)


def test_a_training_killed_at_its_very_beginning_leaves_nothing_behind(
    store: Path, tmp_path: Path, command: Command
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / ".environment.json.71.tmp").write_text("{")  # before there was a config.toml
    code, _, said = command(store, run, "--resume")
    assert code == 0, said
    assert not [path for path in run.rglob("*") if path.name.endswith(".tmp")]
