"""IEMOCAP's ``.wdseg`` (Sphinx): ``SFrm EFrm SegAScr Word`` in frames of 10 ms, both inclusive."""

from __future__ import annotations

import re

from align.formats.tracks import FormatError, Track, limit, lines, number, shorten
from speech2vec.corpus.pronunciations import without_variant

FRAMES_PER_SECOND = 100
_NOISE = re.compile(r"\+\+.*\+\+")


def read(text: str) -> list[Track]:
    """Read one track, without noises (``++NOISE++``) and the numbers of pronunciation variants (``(2)``).

    The score of a word is its acoustic score per frame, which does not depend on its length.

    Raises
    ------
    FormatError
        If the header is missing, or a line does not consist of three numbers and a word.
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
            raise FormatError(f"line {number_of_line} does not have four fields: {shorten(line)}")
        first, last, score = (number(field) for field in fields[:3])
        label = without_variant(fields[3])
        if not _NOISE.fullmatch(label):
            n_frames = max(last - first + 1, 1)
            track.add(first / FRAMES_PER_SECOND, (last + 1) / FRAMES_PER_SECOND, label, score / n_frames)
            limit(len(track.words))
    if not header:
        raise FormatError("is empty")
    return [track]
