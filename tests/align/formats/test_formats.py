"""Every format as its programs write it, and what we write read back by others."""

from __future__ import annotations

import contextlib
import csv
import io
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from praatio import textgrid as praat

from align.formats import alignment_txt, csv_table, ctm, mfa, textgrid, wdseg, whisper
from align.formats.recognise import READERS, read_tracks, recognise
from align.formats.tracks import SILENCES, FormatError, Interval, Track, decode, shortest

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 1.5
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.25
            text = ""
        intervals [2]:
            xmin = 0.25
            xmax = 0.5
            text = "say"
        intervals [3]:
            xmin = 0.5
            xmax = 1.5
            text = "a ""quoted"" word"
    item [2]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1.5
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 1.5
            text = "S"
"""
LONG_WORDS = [Interval(0.25, 0.5, "say"), Interval(0.5, 1.5, 'a "quoted" word')]
SHORT = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n1.5\n<exists>\n1\n"IntervalTier"\n"words"\n0\n1.5\n3\n'
    '0\n0.25\n"<eps>"\n0.25\n0.5\n"say"\n0.5\n1.5\n"a ""quoted"" word"\n'
)
SPEAKERS = SHORT.replace('"words"', '"Alice - words"')


def words_of(text: str, format_name: str | None = None) -> list[Interval]:
    found = read_tracks(text, format_name)
    assert found is not None
    (track,) = found[1]
    assert not track.fault
    return track.words


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        SHORT,
        LONG.replace("    ", "\t").replace("xmin = 0\n", "xmin = 0.0 \n"),
        LONG.replace("\n", " "),
        LONG.replace("\n", "\r\n").rstrip(),
        LONG.replace("item []:", '! a comment with 12 numbers and a " quote\nitem []:'),
        "\n\n" + LONG,
    ],
)
def test_textgrid_long_short_tabs_one_line_no_final_newline(text: str) -> None:
    assert recognise(text) == "textgrid"
    assert words_of(text) == LONG_WORDS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_textgrid_in_any_encoding(encoding: str) -> None:
    text = LONG.replace("say", "façade")
    assert words_of(decode(text.encode(encoding)))[0].label == "façade"


def test_windows_1252_is_read_where_utf_8_fails() -> None:
    assert decode("café’s".encode("cp1252")) == "café’s"


def test_textgrid_several_speakers() -> None:
    (track,) = textgrid.read(SPEAKERS)
    assert (track.speaker, track.words) == ("Alice", LONG_WORDS)


def test_textgrid_a_label_may_hold_what_looks_like_structure_and_newlines() -> None:
    text = LONG.replace('"say"', '"item [2]:\n  class = 3 xmin = 7"')
    assert words_of(text)[0].label == "item [2]: class = 3 xmin = 7"


def test_textgrid_another_tier_by_name() -> None:
    assert [word.label for word in textgrid.read(LONG, tier="phones")[0].words] == ["S"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LONG.replace("intervals: size = 3", "intervals: size = 99999999999999"), "declares 99999999999999 intervals"),
        (LONG.replace("size = 2\n", "size = 7\n"), "declares 7 tiers, but has 2"),
        (LONG[: LONG.index('text = "a')], "a string in quotes was expected"),
        (LONG[:-3], "not closed"),
        (LONG.replace('"words"', '"mots"'), "no tier of words; its tiers: mots, phones"),
        ('File type = "ooTextFile"\nObject class = "PitchTier"\n', "is a 'PitchTier'"),
        ('File type = "ooTextFile"\nObject class = "TextGrid"\n', "the file's end: a number was expected"),
    ],
)
def test_textgrid_that_is_wrong_says_what(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        textgrid.read(text)


def test_binary_textgrid_says_what_to_do() -> None:
    with pytest.raises(FormatError, match="save it as text"):
        recognise("ooBinaryFile\x08TextGrid\x00\x00")


labels = st.text(st.characters(exclude_categories=("Cs", "Cc", "Z"), max_codepoint=0x2FFF), min_size=1, max_size=8)


@st.composite
def spoken(draw: st.DrawFn, grid: int = 100) -> list[Interval]:
    """Words in time order, without overlaps, on a grid of so many steps a second; some touch, some do not."""
    steps = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 90), labels), min_size=1, max_size=12))
    words, reached = [], 0
    for gap, length, label in steps:
        start, end = reached + gap, reached + gap + length
        words.append(Interval(start / grid, end / grid, label))
        reached = end
    words = [word for word in words if word.label.lower() not in SILENCES and not set(word.label) & set('",')]
    assume(words)
    return words


@given(spoken(), st.sampled_from([0.0, 1000.0]))
def test_textgrid_written_is_what_praatio_and_we_read(words: list[Interval], duration: float) -> None:
    text = textgrid.write(words, duration)
    assert words_of(text) == words
    if not any(bad in word.label for word in words for bad in ("item", "=")):  # praatio stumbles over these
        (tier,) = praat.textgrid_io.parseTextgridStr(text, includeEmptyIntervals=False)["tiers"]
        entries = [(float(start), float(end), label) for start, end, label in tier["entries"]]
        assert entries == [(word.start, word.end, word.label) for word in words]


@given(spoken(grid=1000))
def test_ctm_round_trip(words: list[Interval]) -> None:
    (track,) = ctm.read(ctm.write("u-1", words, channel=1))
    assert (track.name, track.channel) == ("u-1", 1)
    same(track.words, words, 1e-6)


@given(spoken(grid=1000), st.floats(-1e4, 0))
def test_csv_round_trip_with_scores(words: list[Interval], score: float) -> None:
    scored = [Interval(word.start, word.end, word.label, score) for word in words]
    text = csv_table.write_header() + csv_table.write("u, 1", scored)
    assert recognise(text) == "csv"
    (track,) = csv_table.read(text)
    assert (track.name, track.words) == ("u, 1", scored)
    assert len(list(csv.DictReader(io.StringIO(text)))) == len(words)


@given(spoken(grid=1000))
def test_alignment_txt_round_trip(words: list[Interval]) -> None:
    text = alignment_txt.write("84-121123-0000", words, 999.0)
    assert recognise(text) == "alignment.txt"
    (track,) = alignment_txt.read(text)
    same(track.words, words, 1e-6, lower=True)


def same(found: list[Interval], wanted: list[Interval], grid: float, lower: bool = False) -> None:
    assert [w.label.lower() if lower else w.label for w in found] == [
        w.label.lower() if lower else w.label for w in wanted
    ]
    for ours, theirs in zip(found, wanted, strict=True):
        assert math.isclose(ours.start, theirs.start, abs_tol=grid)
        assert math.isclose(ours.end, theirs.end, abs_tol=grid)


@pytest.mark.parametrize(
    "write",
    [
        lambda words: textgrid.write(words, 2.0),
        lambda words: alignment_txt.write("id", words, 2.0),
    ],
)
def test_overlapping_words_are_refused_where_the_format_holds_none(write) -> None:
    with pytest.raises(FormatError, match="overlaps"):
        write([Interval(0.0, 1.0, "one"), Interval(0.5, 1.5, "two")])


def test_a_word_that_would_break_a_line_is_refused() -> None:
    with pytest.raises(FormatError, match="white space"):
        ctm.write("u", [Interval(0, 1, "two words")])
    with pytest.raises(FormatError, match="white space"):
        ctm.write("u 1", [Interval(0, 1, "word")])
    with pytest.raises(FormatError, match="comma"):
        alignment_txt.write("u", [Interval(0, 1, "1,000")], 1.0)


def test_alignment_txt_both_dialects() -> None:
    with_silences = '84-1-0000 ",GO,,DO,YOU," "0.490,0.890,1.270,1.380,1.490,2.09"\n'
    published = '84-1-0001 "GO,DO,YOU" "0.890,0.890,1.490" \r\n'
    first, second = alignment_txt.read(with_silences + published)
    assert first.words == [Interval(0.49, 0.89, "GO"), Interval(1.27, 1.38, "DO"), Interval(1.38, 1.49, "YOU")]
    assert second.words == [Interval(0.0, 0.89, "GO"), Interval(0.89, 0.89, "DO"), Interval(0.89, 1.49, "YOU")]


def test_alignment_txt_a_bad_line_leaves_the_others_whole() -> None:
    text = 'a "ONE" "1.0"\nb "ONE,TWO" "1.0"\nc ONE 1.0\nd "ONE" "x"\ne "TWO" "2.0"'
    tracks = alignment_txt.read(text)
    assert [(track.name, bool(track.fault)) for track in tracks] == [
        ("a", False),
        ("b", True),
        ("c", True),
        ("d", True),
        ("e", False),
    ]
    assert "2 words and 1 end times" in tracks[1].fault
    assert tracks[3].fault.startswith("line 4")


def test_ctm_comments_scores_channels_and_silences() -> None:
    text = ";; made by hand\nsw1 A 0.1 0.2 yes 0.9\nsw1 A 0.3 0.1 <eps> 1.0\nsw1 B 0.2 0.3 no\nsw2 1 0.0 0.5 hm NA\n"
    assert recognise(text) == "ctm"
    a, b, other = ctm.read(text)
    assert (a.name, a.channel, a.words) == ("sw1", 0, [Interval(0.1, 0.3, "yes", 0.9)])
    assert (b.channel, b.words) == (1, [Interval(0.2, 0.5, "no")])
    assert (other.name, other.words) == ("sw2", [Interval(0.0, 0.5, "hm")])


WDSEG = """\t SFrm  EFrm    SegAScr Word
\t    0    24     -21000 <s>
\t   25    49    -250000 EXCUSE
\t   50    59     -90000 ME(2)
\t   60    70     -80000 ++LAUGHTER++
\t   71    99     -29000 <sil>
\t  100   120     -10000 </s>
 Total score:     -480000
"""


def test_wdseg_frames_markers_variants() -> None:
    assert recognise(WDSEG) == "wdseg"
    (track,) = wdseg.read(WDSEG)
    assert track.words == [Interval(0.25, 0.5, "EXCUSE", -10000.0), Interval(0.5, 0.6, "ME", -9000.0)]


@given(spoken())
def test_wdseg_times_lie_on_the_frames(words: list[Interval]) -> None:
    rows = [f"{round(w.start * 100)} {round(w.end * 100) - 1} -100 w" for w in words]
    (track,) = wdseg.read("SFrm EFrm SegAScr Word\n" + "\n".join(rows))
    assert [(word.start, word.end) for word in track.words] == [(word.start, word.end) for word in words]


def test_mfa_json_and_csv_lose_their_float_noise() -> None:
    json_text = """{"start": 0, "end": 3.849625, "tiers": {
        "words": {"type": "interval", "entries": [[0.23999999463558197, 0.3400000035762787, "the"]]},
        "phones": {"type": "interval", "entries": [[0.23999999463558197, 0.25999999046325684, "DH"]]}}}"""
    csv_text = (
        "Begin,End,Label,Type,Speaker\r\n0.23999999463558197,0.3400000035762787,the,words,spk\r\n"
        "0.23999999463558197,0.25999999046325684,DH,phones,spk\r\n"
    )
    assert recognise(json_text) == "mfa-json"
    assert recognise(csv_text) == "csv"
    assert words_of(json_text) == words_of(csv_text) == [Interval(0.24, 0.34, "the")]


@given(st.integers(0, 10**7))
def test_any_hundredth_survives_float32(hundredths: int) -> None:
    assert abs(shortest(float(np.float32(hundredths / 100))) - hundredths / 100) <= 0.005
    if hundredths < 10**6:  # below 10,000 s the float32 is nearer than half a hundredth to one decimal only
        assert shortest(float(np.float32(hundredths / 100))) == hundredths / 100


def test_csv_of_others() -> None:
    assert words_of("word\tstart\tend\nyes\t0.5\t1\n") == [Interval(0.5, 1.0, "yes")]
    assert words_of("start;end;text\n0.5;1;yes\n") == [Interval(0.5, 1.0, "yes")]


def test_alignment_analysis() -> None:
    text = (
        "file,begin,end,speaker,overall_log_likelihood,speech_log_likelihood\r\na,0.0,3.8,s,-98.17,-104.3\r\n"
        "b,0.0,2.7,s,,\r\n"
    )
    assert recognise(text) is None
    first, second = mfa.read_analysis(text)
    assert (first.file, first.speaker, first.log_likelihood) == ("a", "s", -98.17)
    assert second.log_likelihood is None


@pytest.mark.parametrize(
    "text",
    [
        '{"text": "Hi there", "segments": [{"start": 0, "words": [{"word": " Hi", "start": 0.1, "end": 0.4, '
        '"probability": 0.5}, {"word": " 12"}]}]}',
        '{"segments": [], "word_segments": [{"word": "Hi", "start": 0.1, "end": 0.4, "score": 0.5}]}',
        '{"words": [{"word": "Hi", "start": 0.1, "end": 0.4, "score": 0.5}]}',
        '[{"word": "Hi", "start": 0.1, "end": 0.4, "score": 0.5}]',
    ],
)
def test_whisper_and_its_kin(text: str) -> None:
    assert recognise(text) == "whisper"
    assert words_of(text) == [Interval(0.1, 0.4, "Hi", 0.5)]


def test_whisper_without_word_times_says_how_to_get_them() -> None:
    with pytest.raises(FormatError, match="word_timestamps"):
        whisper.read('{"segments": [{"start": 0, "end": 2, "text": "Hi there"}]}')


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n \n",
        "the quick brown fox",
        "84-121123-0000 GO DO YOU HEAR",
        "a,b,c\n1,2,3\n",
        "{}",
        "[]",
        "MZ\x90\x00\x03",
    ],
)
def test_what_is_no_alignment_is_recognised_as_none(text: str) -> None:
    assert recognise(text) is None


def test_every_reader_is_given_a_track_or_an_error_on_nothing() -> None:
    for reader in READERS.values():
        with contextlib.suppress(FormatError):
            assert all(isinstance(track, Track) and not track.words for track in reader(""))
