"""IEMOCAP's ``.wdseg`` (Sphinx): ``SFrm EFrm SegAScr Word`` in frames of 10 ms, both ends inside the word."""

from __future__ import annotations

import re

from align.formats.tracks import FormatError, Track, limit, lines, number, shorten
from speech2vec.corpus.pronunciations import without_variant

FRAMES_PER_SECOND = 100
_NOISE = re.compile(r"\+\+.*\+\+")


def read(text: str) -> list[Track]:
    """One track; noises (``++NOISE++``) are left out, the number of a pronunciation (``(2)``) is cut off.

    The score of a word is its acoustic score per frame, so that long words do not look worse than short ones.

    Raises
    ------
    FormatError
        If the header or one of a line's four fields is missing, or something else stands for a number.
    """
    track = Track()
    header = False
    for number_of_line, line in lines(text):
        fields = line.split()
        if not header:
            if [name.lower() for name in fields] != ["sfrm", "efrm", "segascr", "word"]:
                raise FormatError("does not start with SFrm EFrm SegAScr Word")
            header = True
            continue
        if fields[0] == "Total":
            break
        if len(fields) != 4:
            raise FormatError(f"line {number_of_line} has not four fields: {shorten(line)}")
        first, last, score = (number(field) for field in fields[:3])
        label = without_variant(fields[3])
        if not _NOISE.fullmatch(label):
            n_frames = max(last - first + 1, 1)
            track.add(first / FRAMES_PER_SECOND, (last + 1) / FRAMES_PER_SECOND, label, score / n_frames)
            limit(len(track.words))
    if not header:
        raise FormatError("is empty")
    return [track]
