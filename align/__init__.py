"""Forced alignment: audio and transcripts in, words with times out; every utterance is aligned or reported.

The functions are those of the command ``speech2vec-align``:

- `run` aligns a corpus, `import_alignments` reads alignments made by other programs, `merge` joins shards;
- `check` finds errors in an alignment, `drop` removes them, `compare` measures how two alignments differ;
- `export` writes TextGrid, CTM, CSV or ``.alignment.txt``.

An aligner of your own is a class like `Aligner` that yields `Aligned` or `Failure`. Importing the package loads nothing
else: each name is loaded on first use.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from align.api import check as check
    from align.api import drop as drop
    from align.api import export as export
    from align.api import import_alignments as import_alignments
    from align.api import merge as merge
    from align.api import run as run
    from align.base import Aligned as Aligned
    from align.base import Aligner as Aligner
    from align.base import AlignmentError as AlignmentError
    from align.base import Failure as Failure
    from align.base import Reason as Reason
    from align.base import load_aligner as load_aligner
    from align.checker import CheckReport as CheckReport
    from align.checker import CheckSettings as CheckSettings
    from align.checker import Issue as Issue
    from align.checker import IssueKind as IssueKind
    from align.comparison import Comparison as Comparison
    from align.comparison import compare as compare
    from align.exporting import ExportFormat as ExportFormat
    from align.exporting import ExportReport as ExportReport
    from align.importing import ImportSettings as ImportSettings
    from align.results import AlignmentReport as AlignmentReport

_NAMES = {
    "align.api": ("check", "drop", "export", "import_alignments", "merge", "run"),
    "align.base": ("Aligned", "Aligner", "AlignmentError", "Failure", "Reason", "load_aligner"),
    "align.checker": ("CheckReport", "CheckSettings", "Issue", "IssueKind"),
    "align.comparison": ("Comparison", "compare"),
    "align.exporting": ("ExportFormat", "ExportReport"),
    "align.importing": ("ImportSettings",),
    "align.results": ("AlignmentReport",),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
