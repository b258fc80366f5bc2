"""A smaller store has whole speakers, their frames and words, and lies within the next larger one; runs on it are
scored on voices that they have not heard.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from spoken import spoken_store

import speech2vec as s2v
from scripts import score_unheard
from scripts.subset_store import subset_store
from speech2vec.features.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return spoken_store(tmp_path_factory.mktemp("stores") / "store")


def test_speakers_are_whole_and_their_frames_are_theirs(store: Store, tmp_path: Path) -> None:
    hours = (store.end - store.start).sum() / 3600
    small, larger = (subset_store(store, tmp_path / name, hours * part) for name, part in (("s", 0.2), ("l", 0.6)))
    chosen = [{one.speakers[i] for i in np.unique(one.speaker)} for one in (small, larger)]
    assert chosen[0] < chosen[1] < set(store.speakers)
    for made, speakers in zip((small, larger), chosen, strict=True):
        rows = np.flatnonzero([store.speakers[i] in speakers for i in store.speaker])
        assert made.n_words == len(rows) and made.synthetic == store.synthetic
        assert [made.types[i] for i in made.word_id] == [store.types[i] for i in store.word_id[rows]]
        np.testing.assert_array_equal(made.gather(np.arange(made.n_words)), store.gather(rows))
        assert (made.end - made.start).sum() / 3600 >= hours * (0.2 if made is small else 0.6)


def test_more_hours_than_there_are_take_all(store: Store, tmp_path: Path) -> None:
    assert subset_store(store, tmp_path / "all", 1000).n_words == store.n_words
    asked = [str(store.path), "-o", str(tmp_path / "more"), "--hours", "1000"]
    done = subprocess.run([sys.executable, "-m", "scripts.subset_store", *asked], capture_output=True, text=True)
    assert "h, less than --hours 1000" in done.stdout and not done.returncode
    again = subprocess.run([sys.executable, "-m", "scripts.subset_store", *asked], capture_output=True, text=True)
    assert again.returncode == 2 and again.stderr.count("\n") == 1 and "already exists" in again.stderr


def test_runs_are_scored_on_voices_that_none_has_heard(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = subset_store(store, tmp_path / "small", 1000, trained_with=1)
    runs = [
        s2v.train(one.path, tmp_path / name, preset="acoustic", seed=seed, device="cpu", quiet=True).path
        for one, name, seed in ((store, "whole", 1), (small, "part", 1), (store, "other", 2))
    ]
    held_out = set(store.speakers) - {small.speakers[i] for i in np.unique(small.speaker)}
    assert held_out

    def score(*chosen: Path) -> list[str]:
        monkeypatch.setattr("sys.argv", ["score_unheard", *map(str, [store.path, *chosen]), "--min-count", "1"])
        score_unheard.main()
        return capsys.readouterr().out.splitlines()

    lines = score(*runs[:2])
    assert f" of {len(held_out)} voices" in lines[0] and len(lines) == 5
    assert all(f"{run}: all pairs 0." in line for run, line in zip(runs, lines[1:3], strict=False))
    with pytest.raises(SystemExit):
        score(runs[2])
    assert "was trained on some of these voices" in capsys.readouterr().err
