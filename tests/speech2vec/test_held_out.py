"""What the held-out loss is compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fakes import made_up_store

from speech2vec.encoding import segments_of
from speech2vec.held_out import mean_frame


def test_mean_frame_is_that_of_the_rows_or_of_stretches_of_them(tmp_path: Path) -> None:
    store = made_up_store(tmp_path / "store")
    rows = np.arange(1, store.n_words, 2)

    def mean(rows: np.ndarray) -> np.ndarray:
        return segments_of(store, rows).frames.numpy().astype(np.float64).mean(0)

    np.testing.assert_allclose(mean_frame(store, rows), mean(rows), rtol=1e-6, atol=1e-7)
    half, quarter = len(rows) // 2, len(rows) // 4
    two_stretches = np.concatenate([rows[:quarter], rows[half : half + quarter]])
    given = mean_frame(store, rows, most=2 * quarter, n_stretches=2)
    np.testing.assert_allclose(given, mean(two_stretches), rtol=1e-6, atol=1e-7)
    assert not np.allclose(given, mean(rows), rtol=1e-3)
