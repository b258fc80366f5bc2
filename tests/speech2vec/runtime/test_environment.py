"""What a run depends on is told."""

from __future__ import annotations

import json
import os

import numpy as np

from speech2vec.runtime.environment import environment, machine_name


def test_environment_tells_versions_and_machine() -> None:
    told = environment()
    assert told["packages"]["numpy"] == np.__version__
    assert told["machine"] == machine_name() != ""
    assert 1 <= told["cores"] <= (os.cpu_count() or 1)
    json.dumps(told, allow_nan=False)
