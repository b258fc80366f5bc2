"""Methods whose training takes long are trained shortly."""

from __future__ import annotations

import pytest

from speech2vec.training.presets import PRESETS

SHORT = {"contrastive": {"steps": 4, "channels": 8, "batch_size": 8}}


@pytest.fixture(autouse=True)
def short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, settings in SHORT.items():
        monkeypatch.setitem(PRESETS, name, {**PRESETS[name], name: settings})
