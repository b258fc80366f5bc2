"""A smaller store has whole speakers, their frames and words, and lies within the next larger one."""

from pathlib import Path

import numpy as np
import pytest
from spoken import spoken_store

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
