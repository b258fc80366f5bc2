"""Alignments of many utterances in files that an import reads: none is longer than its limits."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TextIO

from align.formats.tracks import fits
from speech2vec.files import atomic_path


@dataclass
class Parts:
    """A text file that goes on in another where it grows too long: ``words.ctm``, ``words.part002.ctm``, ...

    Each is in place once the next has begun or the block has ended; after an error the last is removed.

    Parameters
    ----------
    path : Path
        Of the first file, without its suffix.
    suffix : str
        Such as ``.alignment.txt``.
    head : str
        What each file begins with.
    n_files : int
        How many there are by now.
    """

    path: Path
    suffix: str
    head: str = ""
    n_files: int = 0
    _opened: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, repr=False)

    def __enter__(self) -> Parts:
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)

    def add(self, lines: str, n_words: int) -> None:
        """Write one utterance, whole in one file."""
        size = len(lines.encode())
        if self._n_utterances and not fits(self._n_bytes + size, self._n_words + n_words, self._n_utterances + 1):
            self._begin()
        self._n_bytes += size
        self._n_words += n_words
        self._n_utterances += 1
        self._out.write(lines)

    def _begin(self) -> None:
        self._opened.close()
        self.n_files += 1
        # In the order of their names, the first comes first.
        number = f".part{self.n_files:03d}" if self.n_files > 1 else ""
        path = self.path.with_name(f"{self.path.name}{number}{self.suffix}")
        temporary = self._opened.enter_context(atomic_path(path))
        self._out: TextIO = self._opened.enter_context(temporary.open("w", encoding="utf-8"))
        self._out.write(self.head)
        self._n_bytes, self._n_words, self._n_utterances = len(self.head.encode()), 0, 0
