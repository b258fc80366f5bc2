"""Export an ALIGNED folder to the files of other programs: TextGrid, CTM, CSV, LibriSpeech's ``.alignment.txt``.

Files and lines are named by utterance ids, so their times count from the start of the utterance (as in Kaldi).
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any

from align.aligned import iterate_aligned
from align.formats import alignment_txt, csv_table, ctm, textgrid
from align.formats.tracks import FormatError, Interval
from speech2vec.corpus import audio
from speech2vec.corpus.manifest import Utterance, Word, read_utterances
from speech2vec.runtime.display import Displayed, Table
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.output import FolderContents

_SHOWN = 20
# What the system answers to a name that it cannot have; all other errors (a full disk) end the export.
_BAD_NAME = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
_LIBRISPEECH_ID = re.compile(r"(\d+)-(\d+)-\d+")


class ExportFormat(str, Enum):
    """The formats that can be written."""

    textgrid = "textgrid"
    ctm = "ctm"
    csv = "csv"
    alignment_txt = "alignment.txt"


EXPORT_CONTENTS = FolderContents(marks=("**/*.TextGrid", "**/*.alignment.txt", "words.ctm", "words.csv"))


@dataclass
class ExportReport(Displayed):
    """What an export wrote, and what it could not write.

    Parameters
    ----------
    folder : Path
        Where the files are.
    n_utterances, n_words, n_files : int
        Written.
    n_clipped : int
        Words whose start was moved to the end of the previous word, as the format does not allow overlaps.
    left_out : list of str
        Words of zero length, where the format does not allow them: utterance and word.
    failed : list of (str, str)
        Utterances that the format cannot hold, and why.
    """

    folder: Path
    n_utterances: int = 0
    n_words: int = 0
    n_files: int = 0
    n_clipped: int = 0
    left_out: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures and lists under their names."""
        failed = [{"utterance_id": name, "reason": reason} for name, reason in self.failed]
        return {**vars(self), "folder": str(self.folder), "failed": failed}

    def display_parts(self) -> list[str | Table]:
        """What the command prints."""
        files = "1 file" if self.n_files == 1 else f"{self.n_files:,} files"
        lines = [f"{self.n_utterances:,} utterances, {self.n_words:,} words in {files} -> {self.folder}"]
        if self.n_clipped:
            lines.append(f"  {self.n_clipped:,} words start later, as they overlapped the previous word")
        for what, items in (
            ("words of zero length were left out", self.left_out),
            ("utterances cannot be written in this format", [f"{name}: {reason}" for name, reason in self.failed]),
        ):
            if items:
                lines += [f"  {len(items):,} {what}:", *(f"    {item}" for item in items[:_SHOWN])]
            if len(items) > _SHOWN:
                lines.append(f"    and {len(items) - _SHOWN:,} more")
        return ["\n".join(lines)]


def export_aligned(aligned: Path, kind: ExportFormat, folder: Path, report: ExportReport) -> Iterator[str]:
    """Write the words of an ALIGNED folder, and count them in `report`.

    Parameters
    ----------
    aligned : Path
    kind : ExportFormat
    folder : Path
        An empty folder.
    report : ExportReport

    Yields
    ------
    str
        The id of each utterance, once it is written or has failed.

    Raises
    ------
    UserError
        If `aligned` is not an ALIGNED folder.
    """
    utterances = {utterance.utterance_id: utterance for utterance in read_utterances(aligned)}
    for result in iterate_aligned(aligned):
        utterance = utterances.get(result.utterance_id)
        if utterance is None:
            raise UserError(f"{aligned}: '{result.utterance_id}' is in words.parquet, but not in utterances.jsonl")
        words = _relative_to_utterance(result.words, utterance, kind, report)
        try:
            report.n_files += _write(kind, folder, utterance, words)
        except FormatError as error:
            report.failed.append((utterance.utterance_id, str(error)))
        else:
            report.n_utterances += 1
            report.n_words += len(words)
        yield utterance.utterance_id


def _relative_to_utterance(
    words: Sequence[Word], utterance: Utterance, kind: ExportFormat, report: ExportReport
) -> list[Interval]:
    """Return words with times from the start of the utterance; without overlaps where the format allows none."""
    offset = utterance.start or 0.0
    no_overlaps = kind in (ExportFormat.textgrid, ExportFormat.alignment_txt)
    intervals: list[Interval] = []
    reached = 0.0
    for word in words:
        start, end = word.start, word.end
        if offset:
            start, end = round(start - offset, 6), round(end - offset, 6)
        if no_overlaps and start < reached:
            start, end = reached, max(end, reached)
            report.n_clipped += 1
        if kind is ExportFormat.textgrid and end <= start:
            report.left_out.append(f"{utterance.utterance_id}: {word.word}")
            continue
        intervals.append(Interval(start, end, word.word, word.score))
        reached = end
    return intervals


def _write(kind: ExportFormat, folder: Path, utterance: Utterance, words: Sequence[Interval]) -> int:
    """Append an utterance to its file; return 1 if the file is new, else 0."""
    name, header = utterance.utterance_id, ""
    if kind is ExportFormat.textgrid:
        path, text = str(_textgrid_path(name)), textgrid.write(words, _duration(utterance))
    elif kind is ExportFormat.alignment_txt:
        path, text = f"{_chapter(name)}.alignment.txt", alignment_txt.write(name, words, _duration(utterance))
    elif kind is ExportFormat.ctm:
        path, text = "words.ctm", ctm.write(name, words, utterance.channel)
    else:
        path, text, header = "words.csv", csv_table.write(name, words), csv_table.write_header()
    file = folder / path
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        is_new = not file.exists()
        if kind is ExportFormat.textgrid and not is_new:
            raise FormatError(f"{path} is the file of another utterance")
        # Not atomic one by one: the caller puts the whole folder into place, and 28,539 syncs take minutes.
        with file.open("a", encoding="utf-8") as out:
            out.write(text if not is_new else header + text)
    except OSError as error:
        if kind is ExportFormat.textgrid and error.errno in _BAD_NAME:
            raise FormatError(f"its id cannot name a file: {error.strerror}") from error
        error.filename = error.filename or str(file)  # "No space left on device" names no file
        raise
    return int(is_new)


def _textgrid_path(utterance_id: str) -> PurePosixPath:
    path = PurePosixPath(utterance_id)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in utterance_id:
        raise FormatError("its id is not a path below the output folder")
    return path.with_name(f"{path.name}.TextGrid")


def _chapter(utterance_id: str) -> str:
    """LibriSpeech's file of an utterance, SPEAKER/CHAPTER/SPEAKER-CHAPTER; one file for all other ids."""
    match = _LIBRISPEECH_ID.fullmatch(utterance_id)
    return f"{match[1]}/{match[2]}/{match[1]}-{match[2]}" if match else "words"


def _duration(utterance: Utterance) -> float:
    """Return seconds; 0 if the audio cannot be read (the end of the last word is then taken instead)."""
    if utterance.end is not None:
        return utterance.end - (utterance.start or 0.0)
    try:
        return audio.info(utterance.audio).duration - (utterance.start or 0.0)
    except audio.AudioError:
        return 0.0
