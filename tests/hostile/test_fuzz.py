"""Hundreds of damaged inputs over every reader (`fuzz`): each ends in a result or in one clear line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import fuzz
import numpy as np
import pytest
from faulty_targets import EMOTION_TARGETS

from speech2vec.runtime.errors import UserError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the memory in use from /proc")

INPUTS = int(os.environ.get("FUZZ_INPUTS", "600"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))


def test_every_reader_ends_in_a_result_or_in_one_clear_line() -> None:
    counts, faults = fuzz.run(SEED, INPUTS)
    assert not faults, "\n".join(map(str, faults[:20]))
    assert counts.total() == INPUTS
    # Neither all whole nor all broken at once: otherwise the mutations reach nothing behind the first check.
    assert min(counts["read"], counts["refused"]) > INPUTS / 5, counts


def test_an_input_is_the_same_in_every_run(tmp_path: Path) -> None:
    written = []
    for run in ("a", "b"):
        bench = fuzz.Bench(tmp_path / run, seed=3)
        (target,) = fuzz.chosen_targets("manifest")
        bench.read(target, 17)
        written.append((tmp_path / run / "damaged" / "utterances.jsonl").read_bytes())
    assert written[0] == written[1]


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (lambda: None, "read"),
        (lambda: _raise(UserError("file is not JSON: copy it again")), "refused"),
        (lambda: _raise(KeyError("name")), "traceback"),
        (lambda: _raise(OSError("a full disk that names no file")), "traceback"),
        (lambda: _raise(SystemExit(1)), "traceback"),
        (lambda: np.ones(2**50), "too large an allocation"),
    ],
)
def test_the_fuzzer_tells_faults_from_refusals(read, kind) -> None:  # type: ignore[no-untyped-def]
    assert fuzz.outcome(read)[0] == kind


def test_the_fuzzer_finds_what_hangs_crashes_and_allocates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen failing: readers that do each of these, in the process that the fuzzer starts."""
    (tmp_path / "emotion_targets.py").write_text(Path(__file__).with_name("faulty_targets.py").read_text())
    monkeypatch.setenv("FUZZ_TARGETS", str(tmp_path))
    monkeypatch.setenv("FUZZ_SECONDS", "1")
    monkeypatch.setattr(fuzz, "all_targets", lambda: EMOTION_TARGETS)
    for name, kind in {"loops": "hang", "crashes": "crash", "allocates": "too large an allocation"}.items():
        counts, faults = fuzz.run(SEED, 1, target=name)
        assert [fault.kind for fault in faults] == [kind] and counts == {kind: 1}
