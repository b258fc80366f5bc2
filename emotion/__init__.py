"""Speech emotion recognition from acoustic features and word embeddings (the dual encoder and its rivals).

Examples
--------
>>> import emotion
>>> emotion.load("runs/ravdess").predict("recording.wav")  # doctest: +SKIP
audio          start  end   channel  label  neu     hap     sad     ang
recording.wav  0.00   3.20           ang    0.0312  0.2210  0.0147  0.7331
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emotion.api import Classifier, evaluate, load, prepare, report, tables, train

__all__ = ["Classifier", "evaluate", "load", "prepare", "report", "tables", "train"]


def __getattr__(name: str) -> Any:
    """Load the API, which imports torch, on first use."""
    if name in __all__:
        return getattr(import_module("emotion.api"), name)
    raise AttributeError(f"module 'emotion' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
