"""Hostile files: a track or one clear error, never a traceback of another kind, a hang, or a gigabyte."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from align.formats.recognise import READERS, read_tracks
from align.formats.tracks import MAX_BYTES, FormatError, Interval, Track, decode, limits_for, read_text

TEXTGRID = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 1\ntiers? <exists>\nsize = 1\nitem []:\n'
    '    item [1]:\n        class = "IntervalTier"\n        name = "words"\n        xmin = 0\n        xmax = 1\n'
    "        intervals: size = 1\n        intervals [1]:\n            xmin = 0\n            xmax = 1\n"
    '            text = "word"\n'
)
SAMPLES = [
    TEXTGRID,
    'id-1 ",ONE,TWO," "0.1,0.5,0.9,1.0"\n',
    "name 1 0.10 0.20 word 0.9\n",
    "SFrm EFrm SegAScr Word\n 1 20 -300 WORD(2)\nTotal -300\n",
    '{"tiers": {"words": {"type": "interval", "entries": [[0.1, 0.2, "word"]]}}}',
    '{"segments": [{"words": [{"word": "word", "start": 0.1, "end": 0.2, "probability": 0.9}]}]}',
    "Begin,End,Label,Type,Speaker\n0.1,0.2,word,words,me\n",
]
HOSTILE = [
    "99999999999999999999",
    "nan",
    "-inf",
    "1e999",
    "-5",
    '"',
    '""',
    '"""',
    "\n",
    "\t",
    "\0",
    "\ufeff",
    "\u2028",
    "{" * 5000,
    "[" * 5000,
    "null",
    "true",
    "--undefined--",
    "Alice - words",
    ",",
    "1_000",
    "٣",
    "1" * 6000,
]


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A good file with parts cut out, doubled, or replaced by something nasty."""
    text = draw(st.sampled_from(SAMPLES))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 20)))
        nasty = draw(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=5), st.just(text[start:end] * 2)))
        text = text[:start] + nasty + text[end:]
    return text


def check(text: str, format_name: str | None) -> None:
    try:
        found = read_tracks(text, format_name)
    except FormatError as error:
        assert "\n" not in str(error)[:100]
        return
    for track in found[1] if found else ():
        assert isinstance(track, Track)
        for word in track.words:
            assert isinstance(word, Interval)
            assert isinstance(word.start, float)
            assert isinstance(word.end, float)
            assert word.label.strip()


@settings(max_examples=300, deadline=None)
@given(damaged())
@example(TEXTGRID.replace("xmax = 1\n            text", "xmax = nan\n            text"))
def test_damaged_files(text: str) -> None:
    check(text, None)
    for name in READERS:
        check(text, name)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["", "utf-16", "utf-16-le"]), st.sampled_from([None, *READERS]))
def test_any_bytes(data: bytes, encoding: str, format_name: str | None) -> None:
    text = decode(data)
    check(text, format_name)
    if encoding:
        check(decode(text.encode(encoding, errors="replace")), format_name)


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encoding_and_a_missing_final_newline_change_nothing(sample: str, encoding: str) -> None:
    assert read_tracks(decode(sample.rstrip().encode(encoding))) == read_tracks(sample)


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing", Path("/dev/zero")):
        with pytest.raises(FormatError, match="not a file"):
            read_text(path)


def test_a_file_beyond_the_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.TextGrid"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(FormatError, match="split it"):
        read_text(path)


def test_the_limits_grow_with_the_memory() -> None:
    librispeech = (400_000_000, 9_400_000, 281_241)  # bytes, words and utterances of a CTM of all 960 hours
    assert all(limit >= size for limit, size in zip(limits_for(round(15.5 * 2**30)), librispeech, strict=True))
    assert limits_for(10**9) == limits_for(2 * 2**30) < limits_for(4 * 2**30)


# Each fills a file to the limit with what costs most in some reader: the shape, repeated, after a head.
BOMBS = {
    "one label": (TEXTGRID[:-7], "x"),
    "one label of emoji": (TEXTGRID[:-7], "\U0001f600"),
    "doubled quotes": (TEXTGRID[:-7], '""'),
    "one number": (TEXTGRID[: TEXTGRID.index("1\ntiers")], "1"),
    "intervals": (TEXTGRID, '0 1 "a" '),
    "strings": (TEXTGRID, '"" '),
    "ctm names": ("a 1 0 1 b\n", "%x 1 0 1 b\n"),
    "ctm one line": ("a 1 0 1 b ", "1 "),
    "ctm digits": ("a 1 ", "1"),
    "alignment words": ('a ",A" "1,2"\nb "', "A,"),
    "alignment bad lines": ('a ",A" "1,2"\n', "a\n"),
    "wdseg": ("SFrm EFrm SegAScr Word\n", "1 2 3 A\n"),
    "csv rows": ("start,end,word\n", "1,2,a\n"),
    "csv names": ("start,end,word,file\n", "1,2,a,%x\n"),
    "csv quote": ('start,end,word\n"', "a"),
    "csv header": ("start,end,word,", "a,"),
    "json empty lists": ('{"tiers": [', "[],"),
    "json empty dicts": ('{"words": [', '{"":{}},'),
    "json numbers": ('{"words": [', "1.5,"),
    "json words": ('{"words": [', '{"word":"a","start":1,"end":2},'),
    "json one number": ('{"words": [', "1"),
    "json nested": ('{"words": ', "["),
    "json dicts within the limit": ('{"words": [', '{"":{}},' + " " * 130),
    "json lists within the limit": ('{"tiers": {"words": {"entries": [', "[1,2,[3]]," + " " * 130),
    "white space": ("", " \n"),
    "nothing": ("", "\0"),
}

CHILD = """
import re, sys
from pathlib import Path
from align.formats.recognise import READERS, read_tracks
from align.formats import tracks
from align.formats.tracks import FormatError, read_text
tracks.MAX_BYTES, tracks.MAX_WORDS, tracks.MAX_TRACKS = tracks.limits_for(2 * 2**30)
try:
    text = read_text(Path(sys.argv[1]))
    found = read_tracks(text) or read_tracks(text, sys.argv[2])
    print("read", sum(len(track.words) for track in found[1]))
except FormatError as error:
    print("refused:", str(error)[:80])
# Not ru_maxrss: a child inherits its parent's, and that of a whole test run is large.
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_the_longest_file_stays_below_half_of_the_memory(name: str, tmp_path: Path) -> None:
    head, shape = BOMBS[name]
    path = tmp_path / "bomb"
    with path.open("wb") as out:
        size, number = out.write(head.encode()), 0
        while size < limits_for(2 * 2**30)[0] - 2**20:
            if "%x" in shape:
                block = "".join(shape % k for k in range(number, number + 50_000)).encode()
                number += 50_000
            else:
                block = shape.encode() * (2**20 // len(shape.encode()))
            size += out.write(block)
    format_name = {"ctm": "ctm", "ali": "alignment.txt", "csv": "csv", "jso": "whisper", "wds": "wdseg"}.get(
        name[:3], "textgrid"
    )
    started = time.monotonic()
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), format_name], capture_output=True, text=True, timeout=300, check=False
    )
    assert child.returncode == 0, child.stderr[-2000:]
    megabytes = int(child.stdout.split()[-1])
    print(name, child.stdout, f"{time.monotonic() - started:.1f} s")
    assert megabytes < 1000, child.stdout
