"""What is measured on a run: on which words of its store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fakes import made_up_store, untrained_run

from speech2vec.evaluation.same_different import DTW, InstanceFilter, same_different
from speech2vec.model.settings import ModelSettings
from speech2vec.training.presets import DataSettings, TrainSettings
from speech2vec.training.sampler import split


def test_same_different_is_measured_on_all_speakers_and_on_those_held_out(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store")
    settings = TrainSettings(seed=3, model=ModelSettings(vector_size=8), data=DataSettings(held_out=0.4))
    every_word = InstanceFilter(min_characters=1, min_seconds=0.0)
    run = untrained_run(store, settings)
    result = same_different(run, selection=every_word, dtw_instances=20, quiet=True)
    *parts, sample = result.parts
    assert set(sample.results) == {"trained", "untrained", "resampled", "mean frame", DTW}
    assert "trained minus resampled" in str(result) and parts[0].worth() in str(result)
    assert all(part.name in str(result) and part.name in result._repr_html_() for part in result.parts)
    held_out = split(store, 0.4, seed=3).held_out
    assert [part.name for part in parts] == ["all speakers", "held-out speakers"]
    for part, rows in zip(parts, (np.arange(store.n_words), held_out), strict=True):
        assert part.n_speakers == len(np.unique(store.speaker[rows]))
        assert {result.n_instances for result in part.results.values()} == {len(rows)}
