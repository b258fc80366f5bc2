"""Word embeddings learned from sound: `import speech2vec as s2v` (docs/python.md).

The names below are those of `speech2vec.api`, which is imported at the first use of one of them: importing this package
loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from speech2vec.runtime.environment import VERSION

if TYPE_CHECKING:
    from speech2vec.api import (
        InstanceFilter,
        MfccSettings,
        PretrainedSettings,
        Run,
        TrainSettings,
        UserError,
        compare,
        embed,
        evaluate,
        extract,
        homophones,
        load,
        merge,
        report,
        same_different,
        train,
    )

__version__ = VERSION
__all__ = [
    "InstanceFilter",
    "MfccSettings",
    "PretrainedSettings",
    "Run",
    "TrainSettings",
    "UserError",
    "__version__",
    "compare",
    "embed",
    "evaluate",
    "extract",
    "homophones",
    "load",
    "merge",
    "report",
    "same_different",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("speech2vec.api"), name)
    raise AttributeError(f"module 'speech2vec' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
