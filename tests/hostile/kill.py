"""Kill commands with SIGKILL at random moments, resume them, and compare what they end with: `make kill` for a hundred.

    python tests/hostile/kill.py --kills 100 [--seed 0]

Everything is imported once; each command runs in a fork of this process, in a session of its own, which is killed as a
whole. A run that was killed is resumed, and perhaps killed again, until it ends by itself.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small matrices gain nothing from threads
HERE = Path(__file__).resolve().parent
PATHS = [HERE.parents[1], HERE, HERE.parent / "speech2vec", HERE.parent / "align", HERE.parent / "emotion"]
sys.path[:0] = [str(path) for path in PATHS if str(path) not in sys.path]

import torch  # noqa: E402
from aligned_folders import make_aligned  # noqa: E402
from fakes import made_up_store  # noqa: E402

import align  # noqa: E402
import emotion  # noqa: E402
from speech2vec.features import parts  # noqa: E402
from speech2vec.features.extraction import extract  # noqa: E402
from speech2vec.features.mfcc import MfccSettings  # noqa: E402
from speech2vec.features.store import Store  # noqa: E402
from speech2vec.model.encoding import encode_instances  # noqa: E402
from speech2vec.runtime.config import load_settings  # noqa: E402
from speech2vec.training.checkpoint import load_checkpoint  # noqa: E402
from speech2vec.training.metrics import EpochState  # noqa: E402
from speech2vec.training.presets import TrainSettings  # noqa: E402
from speech2vec.training.run import checkpoint_file, read_metrics  # noqa: E402
from speech2vec.training.trainer import TrainOptions, train  # noqa: E402

_TIMES = ("seconds", "pairs_per_second")  # in a run's metrics
LONGEST = 120.0  # seconds of a run that is not killed


@dataclass(frozen=True)
class Command:
    """What is killed.

    Parameters
    ----------
    name : str
    run : callable
        Writes the folder that it is given, or goes on with it.
    result : callable
        What has to be the same at the end.
    """

    name: str
    run: Callable[[Path], object]
    result: Callable[[Path], object]


def _bytes_of(*patterns: str) -> Callable[[Path], object]:
    def read(out: Path) -> object:
        found = {str(path.relative_to(out)): path for pattern in patterns for path in sorted(out.glob(pattern))}
        return {name: path.read_bytes() if path.is_file() else "a folder" for name, path in found.items()}

    return read


def _trained(run: Path) -> object:
    """The last checkpoint and the metrics of every epoch, without how long they took."""
    last = load_checkpoint(checkpoint_file(run))
    tensors = {**last.weights, **{f"optimiser.{name}": tensor for name, tensor in last.optimiser.items()}}
    metrics = [{name: values[name] for name in sorted(values) if name not in _TIMES} for values in read_metrics(run)]
    weights = {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}
    return weights, {**last.progress, "seconds": 0}, metrics


def commands(home: Path) -> list[Command]:
    """The commands, on small made-up inputs below `home`."""
    from emotion_targets import SMALL, _make_prepared

    parts.UTTERANCES_PER_PART = 2
    aligned = make_aligned(home / "aligned", 12, 1.0)
    store = made_up_store(home / "store")
    settings = load_settings(
        TrainSettings, overrides=("model.vector_size=16", "optimiser.epochs=3", "optimiser.batch_size=30")
    )
    (home / "emotion").mkdir()
    _make_prepared(home / "emotion")

    def evaluate(end: EpochState) -> dict[str, float]:
        rows = end.split.held_out
        return {"mean": float(encode_instances(end.model, end.store, rows).mean())}

    def run_training(out: Path) -> object:
        options = TrainOptions(resume=True, checkpoint_every=3, quiet=True)
        return train(Store.open(store.path), out, settings, torch.device("cpu"), options, on_epoch_end=evaluate)

    def run_emotion(out: Path) -> object:
        options = {"folds": 3, "seeds": 2, "settings": {**SMALL, "training.epochs": 3}, "jobs": 1, "device": "cpu"}
        return emotion.train(home / "emotion" / "prepared", out, quiet=True, resume=True, **options)  # type: ignore[arg-type]

    def run_alignment(out: Path) -> object:
        return align.run(aligned / "utterances.jsonl", out, jobs=1, resume=True, quiet=True)

    return [
        Command(
            "features",
            lambda out: extract(aligned, out, MfccSettings(), jobs=1, resume=True, quiet=True),
            _bytes_of("*"),
        ),
        Command("train", run_training, _trained),
        Command("emotion train", run_emotion, _bytes_of("predictions.csv", "members/*/*/*.safetensors")),
        Command("align run", run_alignment, _bytes_of("words.parquet", "utterances.jsonl")),
    ]


def _forked(call: Callable[[], object], after: float) -> tuple[bool, float]:
    """Whether a call in a fork ended by itself, with success, before it was killed; and its seconds."""
    sys.stdout.flush()
    began = time.monotonic()
    child = os.fork()
    if not child:
        try:
            os.setsid()
            call()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    while time.monotonic() - began < after:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if status:
                raise AssertionError(f"ended with status {status} instead of going on")
            return True, time.monotonic() - began
        time.sleep(0.002)
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:  # it has not come to its `setsid`: there is nothing else to kill
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False, time.monotonic() - began


def run(kills: int, seed: int = 0) -> dict[str, int]:
    """Kill each command in turn, `kills` times in all; how often each was killed.

    Raises
    ------
    AssertionError
        If one does not go on, or ends with other results than one that nothing interrupted.
    """
    random = Random(seed)
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        listed = commands(home)
        wholes, lengths = {}, {}
        for command in listed:
            out = home / "whole" / command.name
            _, lengths[command.name] = _forked(lambda: command.run(out), LONGEST)  # noqa: B023
            wholes[command.name] = command.result(out)
            assert wholes[command.name], command.name
        while sum(counts.values()) < kills:
            for command in listed:
                out = home / "killed" / command.name
                shutil.rmtree(out, ignore_errors=True)
                killed = 0
                # A run gets further each time: where it is always killed before its first result, it would never end.
                while killed < 3 and sum(counts.values()) < kills:
                    done, _ = _forked(lambda: command.run(out), random.uniform(0.05, 1.0) * lengths[command.name])  # noqa: B023
                    if done:
                        break
                    killed += 1
                    counts[command.name] = counts.get(command.name, 0) + 1
                done, _ = _forked(lambda: command.run(out), LONGEST)  # noqa: B023
                assert done, f"{command.name}: not finished after {LONGEST} s"
                assert command.result(out) == wholes[command.name], (
                    f"{command.name}: other results after {killed} kills"
                )
                left = [f for f in out.rglob("*") if ".tmp" in f.name]
                assert not left, f"{command.name} left {left}"
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    start = time.monotonic()
    print(
        f"killed {run(arguments.kills, arguments.seed)}, {time.monotonic() - start:.0f} s: all ended with equal results"
    )
