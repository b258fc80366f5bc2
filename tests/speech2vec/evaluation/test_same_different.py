"""What is measured on a run: on which words of its store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import made_up_store, untrained_run

from speech2vec.evaluation.same_different import DTW, InstanceFilter, same_different
from speech2vec.model.settings import ModelSettings
from speech2vec.runtime.errors import UserError
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


EVERY_WORD = InstanceFilter(min_characters=1, min_seconds=0.0)


def test_a_verdict_rests_on_words_that_training_did_not_know_by_name(tmp_path: Path) -> None:
    run = untrained_run(made_up_store(tmp_path / "store"), TrainSettings(model=ModelSettings(vector_size=8)))
    unlabelled = same_different(run, selection=EVERY_WORD, dtw_instances=0, quiet=True)
    assert unlabelled.basis is unlabelled.parts[0] and unlabelled.verdict == unlabelled.parts[0].worth()
    named = same_different(
        replace(run, labels="words of 4 of 5 speakers"), selection=EVERY_WORD, dtw_instances=0, quiet=True
    )
    assert named.basis is named.parts[1] and named.basis.held_out
    assert named.verdict == f"On held-out speakers: {named.parts[1].worth()}" and named.verdict in str(named)
    assert named.parts[0].worth() not in str(named) and named.to_dict()["labels"] == "words of 4 of 5 speakers"
    elsewhere = replace(named, parts=named.parts[:1])
    assert elsewhere.basis is None and "cannot be told: it knew words by name" in str(elsewhere)


def test_words_of_another_corpus_are_not_called_held_out(tmp_path: Path) -> None:
    run = untrained_run(made_up_store(tmp_path / "store"), TrainSettings(model=ModelSettings(vector_size=8)))
    other = replace(run, own_words=False)
    result = same_different(other, selection=EVERY_WORD, dtw_instances=0, quiet=True)
    assert [part.name for part in result.parts] == ["all speakers"]


@pytest.mark.parametrize("n", [-1, 1, 3])
def test_too_few_instances_to_warp_are_refused_at_the_start(n: int, tmp_path: Path) -> None:
    run = untrained_run(made_up_store(tmp_path / "store"), TrainSettings(model=ModelSettings(vector_size=8)))
    with pytest.raises(UserError, match=f"compares 4 instances or more, not {n}; 0 leaves it out"):
        same_different(run, selection=EVERY_WORD, dtw_instances=n, quiet=True)
    assert len(same_different(run, selection=EVERY_WORD, dtw_instances=4, quiet=True).parts) == 3
