"""What --device asks for is a device that is there, or one line."""

from __future__ import annotations

import pytest
import torch

from speech2vec.runtime.devices import choose_device
from speech2vec.runtime.errors import UserError


def test_the_device_is_one_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == choose_device(torch.device("cpu")) == torch.device("cpu")
    for name in ("cuda", "cuda:1", torch.device("cuda")):
        with pytest.raises(UserError, match="there is no CUDA device that torch can use: --device cpu"):
            choose_device(name)
    with pytest.raises(UserError, match="unknown device 'tpu2': use auto, cpu or cuda"):
        choose_device("tpu2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda")
