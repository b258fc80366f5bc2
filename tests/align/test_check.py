"""Checking one alignment, comparing two, leaving out what is wrong."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from click.testing import CliRunner

from align.aligned import read_report, write_aligned
from align.base import Aligned, AlignmentResult, Failure, Reason
from align.checker import Checker, IssueKind
from align.cli.app import app
from align.comparison import compare, pair_words
from speech2vec.corpus.manifest import Utterance, Word, read_words, write_words
from speech2vec.runtime.errors import UserError


def words(name: str, *entries: tuple) -> Aligned:
    return Aligned(name, tuple(Word(name, *entry) for entry in entries))


@pytest.fixture
def folder(tmp_path) -> Path:
    sf.write(tmp_path / "a.wav", np.zeros(4 * 16000), 16000)
    texts = {
        "good": "speech is",
        "differs": "speech was",
        "bad": "hippopotamus is is is is",
        "lost": "a",
        "failed": "b",
    }
    asked = [Utterance(name, tmp_path / "a.wav", text, "s", start=0.5) for name, text in texts.items()]
    outcomes: list[AlignmentResult] = [
        words("good", ("speech", 0.5, 1.0, -1.0), ("is", 1.0, 1.3, -1.1)),
        words("differs", ("speech", 0.5, 1.0, -1.0), ("is", 1.0, 1.3, -1.0)),
        words(
            "bad",
            ("hippopotamus", 0.1, 0.2, -1.0),
            ("is", 0.15, 0.4, -1.0),
            ("is", 0.6, 0.6, -1.0),
            ("is", 0.7, 2.9, -1.0),
            ("is", 3.0, 4.5, -50.0),
        ),
        words("lost", ("a", 1.0, 1.2, -1.0)),
        Failure("failed", Reason.NO_ALIGNMENT, "no path"),
    ]
    path = tmp_path / "aligned"
    write_aligned(path, asked, outcomes, problems=[Failure("x", Reason.NO_AUDIO, "")], settings={"aligner": "test"})
    # One utterance's words are lost without a word in the report, as happens outside of this program.
    table = read_words(path)
    write_words(path / "words.parquet", table.filter(np.array(table["utterance_id"]) != "lost"))
    return path


def test_every_kind_is_found_where_it_is(folder):
    checker = Checker(folder)
    checker.lowest_score = -10.0  # so few words have no usual score
    found = [(f.kind, f.utterance_id, f.position) for f in checker.issues()]
    assert sorted(found, key=str) == sorted(
        [
            (IssueKind.WORDS_DIFFER, "differs", None),
            (IssueKind.OUTSIDE, "bad", 0),
            (IssueKind.DURATION, "bad", 0),
            (IssueKind.OUTSIDE, "bad", 1),
            (IssueKind.OVERLAP, "bad", 1),
            (IssueKind.ZERO_LENGTH, "bad", 2),
            (IssueKind.DURATION, "bad", 3),
            (IssueKind.OUTSIDE, "bad", 4),
            (IssueKind.DURATION, "bad", 4),
            (IssueKind.LOW_SCORE, "bad", 4),
            (IssueKind.MISSING, "lost", None),
            (IssueKind.MISSING, "failed", None),
            (IssueKind.MISSING, "x", None),
        ],
        key=str,
    )


def test_low_scores_lie_far_below_the_usual(folder, tmp_path):
    rng = np.random.default_rng(0)
    entries = [("is", i * 1.0, i + 0.5, float(score)) for i, score in enumerate(rng.normal(-1, 0.2, 200))]
    entries[77] = ("is", 77.0, 77.5, -4.0)
    write_aligned(tmp_path / "b", [Utterance("u", Path("none.wav"), "is " * 200, "s")], [words("u", *entries)])
    found = list(Checker(tmp_path / "b").issues())
    assert [(f.position, f.kind) for f in found if f.kind is IssueKind.LOW_SCORE] == [(77, IssueKind.LOW_SCORE)]
    assert [f.kind for f in found if f.position is None] == [IssueKind.UNREADABLE_AUDIO]


def found_in(folder: Path, *entries: tuple) -> list[tuple[IssueKind, int | None]]:
    """What is found in one utterance of these words."""
    text = " ".join(entry[0] for entry in entries)
    write_aligned(folder, [Utterance("u", Path("none.wav"), text, "s", end=100.0)], [words("u", *entries)])
    return [(finding.kind, finding.position) for finding in Checker(folder).issues()]


def test_each_word_under_a_long_one_overlaps_it(tmp_path):
    entries = [("is", 1.0, 2.0), ("is", 1.1, 1.3), ("is", 1.4, 1.6), ("is", 2.0, 2.2)]
    assert found_in(tmp_path, *entries) == [(IssueKind.OVERLAP, 1), (IssueKind.OVERLAP, 2)]


def test_four_phones_are_enough_to_be_too_short(tmp_path):
    """Each at 30 ms a phone: "cat" has three, "hello" four, "speech" four as well."""
    entries = [("cat", 1.0, 1.09), ("hello", 2.0, 2.12), ("speech", 3.0, 3.12), ("hello", 4.0, 4.14)]
    assert found_in(tmp_path, *entries) == [(IssueKind.DURATION, 1), (IssueKind.DURATION, 2)]


@pytest.mark.parametrize("n_words", [19, 20])
def test_twenty_scores_are_enough_to_know_the_usual(tmp_path, n_words):
    entries = [("is", float(i), i + 0.5, -1.0 - i % 3 / 10) for i in range(n_words)]
    entries[7] = ("is", 7.0, 7.5, -50.0)
    assert found_in(tmp_path, *entries) == ([] if n_words == 19 else [(IssueKind.LOW_SCORE, 7)])


def test_dropping_keeps_the_sum_right(folder, tmp_path):
    arguments = ["check", str(folder), "-o", str(tmp_path / "new"), "--findings", str(tmp_path / "all.csv")]
    for kind in (IssueKind.OUTSIDE, IssueKind.ZERO_LENGTH, IssueKind.DURATION, IssueKind.WORDS_DIFFER):
        arguments += ["--drop", kind.value]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1, result.output
    report = read_report(tmp_path / "new")
    assert {f["utterance_id"]: f["reason"] for f in report["failed"]} == {
        "differs": "dropped by check",
        "bad": "dropped by check",
        "failed": "no alignment found",
        "lost": "no answer from the aligner",
        "x": "no audio",
    }
    assert (report["asked"], report["aligned"], report["words"]) == (6, 1, 2)
    with (tmp_path / "all.csv").open() as rows:
        assert {row["kind"] for row in csv.DictReader(rows)} >= {"words-differ", "overlap", "missing-utterance"}


def test_what_is_not_aligned_is_counted_and_named(tmp_path):
    """Found when the corpus was read, of an id that came twice, failed later: asked for less aligned is missing."""
    asked = [Utterance(name, Path("a.wav"), "a", "s", end=1.0) for name in ("good", "failed")]
    problems = [Failure("mute", Reason.NO_TRANSCRIPT), Failure("good", Reason.DUPLICATE_ID, "b.wav")]
    outcomes: list[AlignmentResult] = [
        words("good", ("a", 0.1, 0.4)),
        Failure("failed", Reason.NO_ALIGNMENT, "no path"),
    ]
    write_aligned(tmp_path / "a", asked, outcomes, problems=problems)
    found = [(f.utterance_id, f.detail) for f in Checker(tmp_path / "a").issues() if f.kind is IssueKind.MISSING]
    assert sorted(found) == [
        ("failed", "no alignment found: no path"),
        ("good", "duplicate id: b.wav"),
        ("mute", "no transcript"),
    ]
    result = CliRunner().invoke(app, ["check", str(tmp_path / "a"), "--findings", str(tmp_path / "all.csv")])
    assert "1 of 4 utterances aligned" in result.output and "missing-utterance           3" in result.output
    assert (tmp_path / "all.csv").read_text().count("missing-utterance") == 3


def test_what_was_dropped_is_no_fault_afterwards(folder, tmp_path):
    def check(before: str, after: str, *kinds: IssueKind):
        dropped = [option for kind in kinds for option in ("--drop", kind.value)]
        CliRunner().invoke(app, ["check", str(tmp_path / before), *dropped, "-o", str(tmp_path / after)])
        found = Checker(tmp_path / after).issues()
        return {
            (f.kind, f.utterance_id, f.detail) for f in found if f.kind in (IssueKind.LEFT_OUT, IssueKind.WORDS_DIFFER)
        }

    differs = (IssueKind.WORDS_DIFFER, "differs", "word 2 is 'is', the transcript has 'was'")
    assert check("aligned", "once", IssueKind.OUTSIDE) == {
        differs,
        (IssueKind.LEFT_OUT, "bad", "3 of 5 words, by an earlier check"),
    }
    assert check("once", "twice", IssueKind.ZERO_LENGTH, IssueKind.WORDS_DIFFER) == {
        (IssueKind.LEFT_OUT, "differs", "dropped by check: words-differ"),
        (IssueKind.LEFT_OUT, "bad", "4 of 5 words, by an earlier check"),
    }
    write_words(tmp_path / "twice" / "words.parquet", read_words(tmp_path / "twice").slice(1))
    assert IssueKind.WORDS_DIFFER in {finding.kind for finding in Checker(tmp_path / "twice").issues()}


def test_known_differences_are_measured(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    asked = [Utterance(name, Path("a.wav"), "a b c", "s") for name in ("u", "v", "w")]
    reference = [("x", 0.5, 1.0), ("a", 1.0, 2.0), ("b", 2.0, 3.0), ("<unk>", 3.0, 4.0)]
    moved = [("a", 1.005, 2.02), ("b", 2.02, 3.0), ("c", 3.0, 4.2)]
    write_aligned(first, asked[:2], [words("u", *moved), words("v", *moved)])
    write_aligned(second, asked[::2], [words("u", *reference), words("w", *reference)])
    result = compare(first, second)
    assert (result.n_utterances, result.n_words, result.only_first, result.only_second) == (1, 3, 1, 1)
    assert result.unmatched == 1
    assert np.allclose(sorted(result.differences), [0, 0, 0.005, 0.02, 0.02, 0.2])
    assert [result.share_within(limit) for limit in (0.01, 0.02, 0.1)] == [3 / 6, 5 / 6, 5 / 6]
    assert (result.worst[0].word, result.worst[0].side) == ("c", "end")
    run = CliRunner().invoke(
        app, ["check", str(first), "--against", str(second), "--histogram", str(tmp_path / "h.png")]
    )
    assert "median 12.5 ms, mean 40.8 ms, bias +40.8 ms" in run.output
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")


def test_differences_of_either_sign_count_by_their_size(tmp_path):
    """All boundaries 20 ms off, half of them early; and one early by half a second."""
    entries = [("is", float(i), i + 0.5) for i in range(10)]
    moved = [(word, start + 0.02 * (-1) ** i, end + 0.02 * (-1) ** i) for i, (word, start, end) in enumerate(entries)]
    asked = [Utterance("u", Path("a.wav"), "is " * 10, "s")]
    for name, rows in (("first", moved), ("second", entries), ("third", [*moved[:9], ("is", 9.0, 9.0)])):
        write_aligned(tmp_path / name, asked, [words("u", *rows)])
    result = compare(tmp_path / "first", tmp_path / "second")
    assert (result.median, result.mean) == (pytest.approx(0.02), pytest.approx(0.02))
    assert result.bias == pytest.approx(0) and result.share_within(0.02) == 1 and result.share_within(0.01) == 0
    result = compare(tmp_path / "third", tmp_path / "second")
    assert len(result.worst) == 10 and result.worst[0].difference == -0.5
    assert [abs(boundary.difference) for boundary in result.worst[1:]] == pytest.approx([0.02] * 9)


def test_files_that_are_there_are_not_overwritten(folder, tmp_path):
    def check(*arguments):
        return CliRunner().invoke(app, ["check", str(folder), "--against", str(folder), *arguments])

    for option in ("--findings", "--histogram"):
        file = tmp_path / "precious"
        file.write_text("kept")
        refused = check(option, str(file))
        assert isinstance(refused.exception, UserError) and file.read_text() == "kept"
        assert f"{file} already exists; --force replaces it, another {option} keeps it" in str(refused.exception)
        assert check(option, str(file), "--force").exit_code == 1
        assert file.read_bytes() != b"kept"
        inside = check(option, str(folder), "--force")
        assert isinstance(inside.exception, UserError) and f"{option} {folder} is or contains" in str(inside.exception)


def test_what_is_there_stays_where_the_input_is_none(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "kept").touch()
    command = ["check", str(tmp_path / "nothing"), "--drop", "overlap", "-o", str(tmp_path / "new"), "--force"]
    assert isinstance(CliRunner().invoke(app, command).exception, UserError)
    assert (tmp_path / "new" / "kept").exists()


def test_words_are_paired_in_order_and_never_by_place_alone():
    first = [Word("u", word, i, i + 1) for i, word in enumerate(["the", "cat", "sat"])]
    second = [Word("u", word, i, i + 1) for i, word in enumerate(["the", "big", "cat", "ran"])]
    assert [(a.word, b.word) for a, b in pair_words(first, second)] == [("the", "the"), ("cat", "cat")]


def test_strangers_are_not_compared(folder, tmp_path):
    write_aligned(tmp_path / "other", [Utterance("o", Path("a"), "a", "s")], [words("o", ("a", 0.0, 1.0))])
    with pytest.raises(UserError, match="no utterance in common"):
        compare(folder, tmp_path / "other")
    with pytest.raises(UserError, match="not a finished alignment"):
        read_report(tmp_path / "nothing")


def test_issues_are_printed_in_words(folder):
    shown = str(Checker(folder).check())
    assert "      bad 'hippopotamus' 0.10-0.20 s: the utterance lasts from 0.50 s to 4.00 s" in shown.splitlines()
    assert "      failed: no alignment found: no path" in shown.splitlines()
    assert "Issue(" not in shown
