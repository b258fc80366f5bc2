"""What a report draws of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fakes import made_up_store, untrained_run

from speech2vec.model.settings import ModelSettings
from speech2vec.reporting.word_map import decoded_examples
from speech2vec.training.presets import DataSettings, TrainSettings
from speech2vec.training.sampler import split


def test_decoded_pairs_are_neighbours_of_the_held_out_part(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store")
    settings = TrainSettings(model=ModelSettings(vector_size=8), data=DataSettings(held_out=0.2))
    row_of = {store.segment(row).tobytes(): row for row in range(store.n_words)}
    held_out = split(store, 0.2, settings.seed).held_out
    shown = decoded_examples(untrained_run(store, settings), n_examples=5)
    assert len(shown) == 5
    for pair in shown:
        row = row_of[pair.true.tobytes()]
        assert row in held_out and store.types[store.word_id[row]] == pair.context
        beside = [r for r in (row - 1, row + 1) if store.utterance[r] == store.utterance[row]]
        assert pair.centre in {store.types[store.word_id[r]] for r in beside}
        assert pair.decoded.shape == pair.true.shape and np.isfinite(pair.decoded).all()
