"""An ALIGNED folder becomes the files of other programs: TextGrid, CTM, CSV, LibriSpeech's ``.alignment.txt``.

Files and lines are named by the utterance's id, so their times count from the utterance's start (as in Kaldi); for an
utterance that is a whole file, that is the file's. No file is longer than an import reads: ``words.ctm`` goes on in
``words.part002.ctm``, and so on.

Alignments of many utterances in files that an import reads: none is longer than its limits.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TextIO

from align.aligned import iterate_aligned
from align.formats import alignment_txt, csv_table, ctm, textgrid
from align.formats.tracks import FormatError, Interval, fits
from speech2vec.corpus import audio
from speech2vec.corpus.manifest import Utterance, Word, read_utterances
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path

_Write = Callable[[Utterance, Sequence[Interval]], object]


_LIBRISPEECH_ID = re.compile(r"(\d+)-(\d+)-\d+")


class ExportFormat(str, Enum):
    """What can be written."""

    textgrid = "textgrid"
    ctm = "ctm"
    csv = "csv"
    alignment_txt = "alignment.txt"


@dataclass
class Exported:
    """What an export did.

    Parameters
    ----------
    n_utterances, n_words, n_files : int
        Written.
    n_clipped : int
        Words whose start was moved to the end of the word before, as the format holds no overlap.
    left_out : list of str
        Words without length, where the format holds none: utterance and word.
    failed : list of (str, str)
        Utterances that the format cannot hold, and why.
    """

    n_utterances: int = 0
    n_words: int = 0
    n_files: int = 0
    n_clipped: int = 0
    left_out: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)


def export_aligned(aligned: Path, kind: ExportFormat, folder: Path, done: Exported) -> Iterator[str]:
    """Write the words of an ALIGNED folder below `folder`, counting in `done`.

    Yields
    ------
    str
        The id of each utterance, once it is written or has failed.

    Raises
    ------
    UserError
        If `aligned` is no ALIGNED folder.
    """
    utterances = {utterance.utterance_id: utterance for utterance in read_utterances(aligned)}
    folder.mkdir(parents=True, exist_ok=True)
    with _writer(kind, folder, done) as write:
        for outcome in iterate_aligned(aligned):
            utterance = utterances.get(outcome.utterance_id)
            if utterance is None:
                raise UserError(
                    f"{aligned}: words.parquet speaks of '{outcome.utterance_id}', utterances.jsonl does not"
                )
            words = _prepared(outcome.words, utterance, kind, done)
            try:
                write(utterance, words)
            except FormatError as error:
                done.failed.append((utterance.utterance_id, str(error)))
            else:
                done.n_utterances += 1
                done.n_words += len(words)
            yield utterance.utterance_id


def _prepared(words: Sequence[Word], utterance: Utterance, kind: ExportFormat, done: Exported) -> list[Interval]:
    """Times from the utterance's start; without overlaps where the format holds none."""
    offset = utterance.start or 0.0
    tiers = kind in (ExportFormat.textgrid, ExportFormat.alignment_txt)
    prepared: list[Interval] = []
    reached = 0.0
    for word in words:
        start, end = word.start, word.end
        if offset:
            start, end = round(start - offset, 6), round(end - offset, 6)
        if tiers and start < reached:
            start, end = reached, max(end, reached)
            done.n_clipped += 1
        if kind is ExportFormat.textgrid and end <= start:
            done.left_out.append(f"{utterance.utterance_id}: {word.word}")
            continue
        prepared.append(Interval(start, end, word.word, word.score))
        reached = end
    return prepared


def _duration(utterance: Utterance) -> float:
    """Seconds; 0 if the audio is not there to ask (then the last word's end has to do)."""
    if utterance.end is not None:
        return utterance.end - (utterance.start or 0.0)
    try:
        return audio.info(utterance.audio).duration - (utterance.start or 0.0)
    except audio.AudioError:
        return 0.0


@contextlib.contextmanager
def _writer(kind: ExportFormat, folder: Path, done: Exported) -> Iterator[_Write]:
    """A function that writes one utterance; files that hold several are whole when the block ends."""
    if kind is ExportFormat.textgrid:
        yield lambda utterance, words: _write_textgrid(folder, utterance, words, done)
    elif kind is ExportFormat.alignment_txt:
        chapters: dict[str, list[tuple[str, int]]] = defaultdict(list)

        def keep(utterance: Utterance, words: Sequence[Interval]) -> None:
            line = alignment_txt.write(utterance.utterance_id, words, _duration(utterance))
            chapters[_chapter(utterance.utterance_id)].append((line, len(words)))

        yield keep
        for name, lines in chapters.items():
            with Parts(folder / name, ".alignment.txt") as parts:
                for line, n_words in lines:
                    parts.add(line, n_words)
            done.n_files += parts.n_files
    else:
        head = csv_table.write_header() if kind is ExportFormat.csv else ""
        with Parts(folder / "words", f".{kind.value}", head) as parts:
            yield lambda utterance, words: parts.add(_lines(kind, utterance, words), len(words))
        done.n_files += parts.n_files


def _lines(kind: ExportFormat, utterance: Utterance, words: Sequence[Interval]) -> str:
    if kind is ExportFormat.csv:
        return csv_table.write(utterance.utterance_id, words)
    return ctm.write(utterance.utterance_id, words, utterance.channel)


def _write_textgrid(folder: Path, utterance: Utterance, words: Sequence[Interval], done: Exported) -> None:
    name = PurePosixPath(utterance.utterance_id)
    if not name.parts or name.is_absolute() or ".." in name.parts or "\0" in str(name):
        raise FormatError("its id is no path below the output folder")
    text = textgrid.write(words, _duration(utterance))
    path = folder / name.with_name(f"{name.name}.TextGrid")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not one by one atomically: the command puts the whole folder into place, and 28,539 syncs take minutes.
        path.write_text(text, encoding="utf-8")
    except OSError as error:  # a name too long, say
        raise FormatError(str(error)) from error
    done.n_files += 1


def _chapter(utterance_id: str) -> str:
    """LibriSpeech's file for an utterance: SPEAKER/CHAPTER/SPEAKER-CHAPTER; one file for all others."""
    match = _LIBRISPEECH_ID.fullmatch(utterance_id)
    return f"{match[1]}/{match[2]}/{match[1]}-{match[2]}" if match else "words"


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
