"""Import: each utterance ends in one place, on alignments of all kinds; and the commands of import and export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from alignments import reason, run, times, utterance, write_textgrid

from align.base import Aligned, Reason, check_results
from align.cli.export import export
from align.cli.import_ import import_
from align.formats import textgrid, tracks
from align.importing import ImportSettings, Tally, read_alignments
from speech2vec.corpus.manifest import Utterance, read_words, write_utterances
from speech2vec.runtime.errors import UserError


def test_files_by_path_and_stem(tmp_path: Path) -> None:
    write_textgrid(tmp_path / "84" / "121123" / "84-121123-0000.TextGrid", "one", "two")
    write_textgrid(tmp_path / "a" / "001.TextGrid", "one", "two", step=0.5)
    corpus = [utterance("84-121123-0000"), utterance("a/001"), utterance("b/001"), utterance("c/002")]
    outcomes = run(corpus, tmp_path)
    assert times(outcomes["84-121123-0000"]) == [("one", 0.0, 1.0), ("two", 1.0, 2.0)]
    assert times(outcomes["a/001"]) == [("one", 0.0, 0.5), ("two", 0.5, 1.0)]
    # The stem 001 alone does not make a file of a's one of b's.
    assert reason(outcomes["b/001"]) is reason(outcomes["c/002"]) is Reason.NO_ALIGNMENT_FILE


def test_a_folder_above_and_a_flat_folder(tmp_path: Path) -> None:
    corpus = [utterance("a/x"), utterance("b/y")]
    write_textgrid(tmp_path / "deep" / "out" / "a" / "x.TextGrid", "one", "two")
    write_textgrid(tmp_path / "flat" / "y.TextGrid", "one", "two")
    outcomes = run(corpus, tmp_path)
    assert all(isinstance(outcome, Aligned) for outcome in outcomes.values()) is False
    assert isinstance(outcomes["a/x"], Aligned)
    assert isinstance(run(corpus, tmp_path / "flat")["b/y"], Aligned)


def test_a_flat_file_that_fits_two_utterances_goes_to_neither(tmp_path: Path) -> None:
    write_textgrid(tmp_path / "001.TextGrid", "one", "two")
    outcomes = run([utterance("a/001"), utterance("b/001")], tmp_path)
    for outcome in outcomes.values():
        assert reason(outcome) is Reason.NO_ALIGNMENT_FILE
        assert "001.TextGrid fits a/001, b/001" in outcome.detail  # type: ignore[union-attr]


def test_two_files_that_fit_equally_well_are_not_chosen_between(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        write_textgrid(tmp_path / version / "x.TextGrid", "one", "two")
    outcome = run([utterance("x")], tmp_path)["x"]
    assert reason(outcome) is Reason.NO_ALIGNMENT_FILE
    assert "fit equally well" in outcome.detail  # type: ignore[union-attr]


def test_several_utterances_in_a_file_by_name(tmp_path: Path) -> None:
    (tmp_path / "84-1.alignment.txt").write_text(
        'u-0 "ONE,TWO" "1.0,2.0"\nu-1 "ONE" "x"\nu-2 "SIX" "1.0"\nu-9 "A" "1"\n'
    )
    tally = Tally()
    outcomes = run([utterance(f"u-{k}") for k in range(4)], tmp_path, tally)
    assert times(outcomes["u-0"]) == [("one", 0.0, 1.0), ("two", 1.0, 2.0)]
    assert reason(outcomes["u-1"]) is Reason.UNREADABLE_ALIGNMENT
    assert reason(outcomes["u-2"]) is Reason.WORDS_DIFFER
    assert reason(outcomes["u-3"]) is Reason.NO_ALIGNMENT_FILE
    assert tally.without_utterance == ["84-1.alignment.txt: u-9"]


def test_the_utterances_of_a_recording_by_speaker_and_time(tmp_path: Path) -> None:
    audio = Path("/corpus/conv.wav")
    corpus = [
        Utterance("conv-1", audio, "one two", "Alice", 0.0, 2.0),
        Utterance("conv-2", audio, "three", "Bob", 1.5, 3.0),
        Utterance("conv-3", audio, "four", "Alice", 3.0, 4.0),
    ]
    head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n0 5 <exists> 2\n'
    alice = '"IntervalTier" "Alice - words" 0 5 4 0 1 "one" 1 2 "two" 3 4 "four" 4 5 "five"\n'
    bob = '"IntervalTier" "Bob - words" 0 5 2 0 1.5 "" 1.5 2.5 "three"\n'
    (tmp_path / "conv.TextGrid").write_text(head + alice + bob)
    tally = Tally()
    outcomes = run(corpus, tmp_path, tally)
    assert times(outcomes["conv-1"]) == [("one", 0.0, 1.0), ("two", 1.0, 2.0)]
    assert times(outcomes["conv-2"]) == [("three", 1.5, 2.5)]
    assert times(outcomes["conv-3"]) == [("four", 3.0, 4.0)]
    assert tally.words_outside_utterances == 1
    assert tally.notes() == ["1 words lie in no utterance of their recording: left out"]


def test_the_channels_of_a_recording_are_told_apart(tmp_path: Path) -> None:
    audio = Path("/corpus/call.wav")
    corpus = [Utterance(f"call-{c}", audio, "one two", "s", 0.0, 4.0, channel=c) for c in (0, 1)]
    (tmp_path / "words.ctm").write_text(
        "call 1 0.0 0.5 one\ncall 2 0.25 0.5 one\ncall 1 1.0 0.5 two\ncall 2 1.25 0.5 two\n"
    )
    outcomes = run(corpus, tmp_path)
    assert times(outcomes["call-0"]) == [("one", 0.0, 0.5), ("two", 1.0, 1.5)]
    assert times(outcomes["call-1"]) == [("one", 0.25, 0.75), ("two", 1.25, 1.75)]


def test_words_that_only_one_side_has_are_counted(tmp_path: Path) -> None:
    (tmp_path / "words.ctm").write_text("x 1 0 1 one\nx 1 1 1 two\ny 1 0 1 one\ny 1 1 1 uh\ny 1 2 1 um\ny 1 3 1 two\n")
    tally = Tally()
    outcomes = run([utterance("x", "one two three four"), utterance("y", "one two")], tmp_path, tally)
    assert times(outcomes["x"]) == [("one", 0.0, 1.0), ("two", 1.0, 2.0)]
    assert times(outcomes["y"]) == [("one", 0.0, 1.0), ("two", 3.0, 4.0)]
    assert (tally.words_missing, tally.words_extra, tally.words_respelled) == (2, 2, 0)
    assert [row["utterance_id"] for row in tally.differing] == ["x", "y"]


def test_times_under_an_utterances_own_name_count_from_its_start(tmp_path: Path) -> None:
    audio = Path("/corpus/conv.wav")
    corpus = [Utterance("conv-1", audio, "one", "a", 10.0, 12.0), Utterance("conv-2", audio, "two", "a", 20.0, 22.0)]
    (tmp_path / "words.ctm").write_text("conv-1 1 0.5 0.5 one\nconv-2 1 0.25 0.5 two\n")
    outcomes = run(corpus, tmp_path)
    assert times(outcomes["conv-1"]) == [("one", 10.5, 11.0)]
    assert times(outcomes["conv-2"]) == [("two", 20.25, 20.75)]
    (tmp_path / "words.ctm").write_text("conv 1 10.5 0.5 one\nconv 1 20.25 0.5 two\n")
    assert run(corpus, tmp_path) == outcomes


def test_a_second_alignment_is_named_and_not_used(tmp_path: Path) -> None:
    (tmp_path / "a.ctm").write_text("x 1 0 1 one\nx 1 1 1 two\n")
    (tmp_path / "b.ctm").write_text("x 1 0 2 one\nx 1 2 2 two\n")
    tally = Tally()
    assert times(run([utterance("x")], tmp_path, tally)["x"]) == [("one", 0.0, 1.0), ("two", 1.0, 2.0)]
    assert tally.ignored == ["b.ctm: x is aligned already"]


@pytest.mark.parametrize(("start", "length"), [("nan", "1"), ("-1", "1"), ("1", "-0.5"), ("0", "inf")])
def test_impossible_times_fail_their_utterance_only(tmp_path: Path, start: str, length: str) -> None:
    (tmp_path / "a.ctm").write_text(f"x 1 {start} {length} one\nx 1 2 1 two\ny 1 0 1 one\ny 1 1 1 two\n")
    outcomes = run([utterance("x"), utterance("y")], tmp_path)
    assert reason(outcomes["x"]) is Reason.IMPOSSIBLE_TIMES
    assert isinstance(outcomes["y"], Aligned)


def test_a_score_that_is_no_number_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.ctm").write_text("x 1 0 1 one nan\nx 1 1 1 two 0.5\n")
    corpus = [utterance("x")]
    (outcome,) = check_results(corpus, read_alignments(corpus, tmp_path, ImportSettings(), Tally()))
    assert isinstance(outcome, Aligned)
    assert [word.score for word in outcome.words] == [None, 0.5]


def test_a_damaged_file_is_the_reason_of_its_utterance(tmp_path: Path) -> None:
    write_textgrid(tmp_path / "y.TextGrid", "one", "two")
    text = (tmp_path / "y.TextGrid").read_text()
    (tmp_path / "x.TextGrid").write_text(text[: len(text) // 2])
    (tmp_path / "z.TextGrid").write_bytes(b"\x89PNG\r\n\x00\x00")
    tally = Tally()
    outcomes = run([utterance("x"), utterance("y"), utterance("z")], tmp_path, tally)
    assert reason(outcomes["x"]) is reason(outcomes["z"]) is Reason.UNREADABLE_ALIGNMENT
    assert isinstance(outcomes["y"], Aligned)
    assert len(tally.unreadable) == len(tally.not_recognised) == 1


def test_log_likelihoods_beside_the_files_become_scores(tmp_path: Path) -> None:
    write_textgrid(tmp_path / "s" / "x.TextGrid", "one", "two")
    (tmp_path / "alignment_analysis.csv").write_text(
        "file,begin,end,speaker,overall_log_likelihood\nx,0.0,2.0,s,-98.5\nx,0.0,2.0,other,-1.0\n"
    )
    outcome = run([utterance("s/x")], tmp_path)["s/x"]
    assert isinstance(outcome, Aligned)
    assert [word.score for word in outcome.words] == [-98.5, -98.5]


def test_each_utterance_of_a_recording_gets_its_own_log_likelihood(tmp_path: Path) -> None:
    head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n0 8 <exists> 1\n'
    (tmp_path / "conv.TextGrid").write_text(head + '"IntervalTier" "words" 0 8 3 0 1 "one" 1 5 "" 5 6 "two"\n')
    (tmp_path / "alignment_analysis.csv").write_text(
        "file,begin,end,speaker,overall_log_likelihood\nconv,0.0,2.0,a,-98.5\nconv,5.01,7.0,a,-1.0\n"
    )
    audio = Path("/corpus/conv.wav")
    corpus = [Utterance("conv-1", audio, "one", "a", 0.0, 2.0), Utterance("conv-2", audio, "two", "a", 5.0, 7.0)]
    outcomes = run(corpus, tmp_path)
    scores = {name: [w.score for w in o.words] for name, o in outcomes.items() if isinstance(o, Aligned)}
    assert scores == {"conv-1": [-98.5], "conv-2": [-1.0]}


def test_scores_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    write_textgrid(tmp_path / "x.TextGrid", "one", "two")
    (tmp_path / "alignment_analysis.csv").write_text("file,begin,end\nx,0.0,2.0\n")
    tally = Tally()
    outcome = run([utterance("x")], tmp_path, tally)["x"]
    assert isinstance(outcome, Aligned)
    assert [word.score for word in outcome.words] == [None, None]
    fault = "has no column speaker, overall_log_likelihood: words get no score from it"
    assert tally.unreadable == [f"alignment_analysis.csv: {fault}"]


def test_nothing_to_import_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        run([utterance("x")], tmp_path / "nothing")
    with pytest.raises(UserError, match="contains no alignment"):
        run([utterance("x")], tmp_path)
    write_textgrid(tmp_path / "x.TextGrid", "one", "two")
    with pytest.raises(UserError, match="no format 'elan'"):
        run([utterance("x")], tmp_path, format_name="elan")


def test_a_file_that_is_too_large_is_the_reason_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracks, "MAX_BYTES", 2**20)
    (tmp_path / "words.ctm").write_text("x 1 0 1 one\nx 1 1 1 two\n" * 2**16)
    with pytest.raises(UserError, match=r"no alignment that can be read: words\.ctm: more than 1 MB, too long"):
        run([utterance("x")], tmp_path)
    with pytest.raises(UserError, match=r"words\.ctm: more than 1 MB, too long"):
        run([utterance("x")], tmp_path / "words.ctm")
    # Nobody knows whom it speaks of, so that it is named where an utterance is missed.
    (tmp_path / "y.ctm").write_text("y 1 0 1 one\ny 1 1 1 two\n")
    outcomes = run([utterance("x"), utterance("y")], tmp_path)
    assert isinstance(outcomes["y"], Aligned)
    assert reason(outcomes["x"]) is Reason.NO_ALIGNMENT_FILE
    assert "words.ctm: more than 1 MB, too long for the memory: split it into several files" in outcomes["x"].detail  # type: ignore[union-attr]


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = tmp_path / "corpus.jsonl"
    write_utterances(corpus, [utterance("x"), utterance("y"), utterance("z", "")])
    write_textgrid(tmp_path / "in" / "x.TextGrid", "one", "two")
    with pytest.raises(typer.Exit) as ended:
        import_(corpus, tmp_path / "in", tmp_path / "aligned", quiet=True)
    assert ended.value.exit_code == 1
    assert "1 of 3 utterances aligned, 2 words" in capsys.readouterr().out
    report = json.loads((tmp_path / "aligned" / "report.json").read_text())
    assert {row["utterance_id"]: row["reason"] for row in report["failed"]} == {
        "y": "no alignment file",
        "z": "empty transcript",
    }
    assert report["import"]["files"] == {"textgrid": 1}
    # A second import that fails leaves the first as it was, --force or not.
    for force in (False, True):
        with pytest.raises(UserError):
            import_(corpus, tmp_path / "nothing", tmp_path / "aligned", quiet=True, force=force)
    assert read_words(tmp_path / "aligned").num_rows == 2
    export(tmp_path / "aligned", tmp_path / "out", "ctm", quiet=True)
    assert (tmp_path / "out" / "words.ctm").read_text().startswith("x 1 0.000000 1.000000 one\n")
    with pytest.raises(UserError, match="already exists"):
        export(tmp_path / "aligned", tmp_path / "out", "ctm", quiet=True)
    with pytest.raises(UserError, match="not a finished alignment"):
        export(tmp_path / "in", tmp_path / "out2", quiet=True)


@pytest.mark.corpus
def test_librispeech_alignments_of_both_dialects(test_data: Path, librispeech: Path, tmp_path: Path) -> None:
    for name, n_aligned in (("alignments", 1313), ("alignments_published", 49)):
        try:
            import_(librispeech / "dev-clean", test_data / "librispeech" / name, tmp_path / name, quiet=True)
        except typer.Exit as ended:
            assert ended.exit_code == 1
        report = json.loads((tmp_path / name / "report.json").read_text())
        assert (report["asked"], report["aligned"]) == (1313, n_aligned)
        assert report["import"]["n_differing"] == report["import"]["n_unreadable"] == 0


@pytest.mark.corpus
def test_textgrids_of_the_montreal_forced_aligner(test_data: Path, librispeech: Path, tmp_path: Path) -> None:
    source = test_data / "librispeech" / "mfa_textgrids"
    import_(librispeech / "train-clean-100" / "8226", source, tmp_path / "a", quiet=True)
    report = json.loads((tmp_path / "a" / "report.json").read_text())
    assert (report["aligned"], report["words"], report["import"]["n_differing"]) == (60, 1808, 0)


@pytest.mark.corpus
def test_the_four_output_formats_of_mfa_agree(test_data: Path) -> None:
    folder = test_data / "mfa_samples"
    texts = {p.stem: p.read_text().strip() for p in (folder / "corpus_with_faults" / "spk_a").glob("spk_a_*.lab")}
    corpus = [Utterance(f"spk_a/{k}", Path(f"/c/spk_a/{k}.wav"), text, "spk_a") for k, text in texts.items()]
    found = {
        kind: run(corpus, folder / "formats" / kind) for kind in ("short_textgrid", "json", "csv", "long_textgrid")
    }
    for name in (u.utterance_id for u in corpus):
        # One run of the program wrote the first three, another (with another model) the last.
        assert times(found["json"][name]) == times(found["csv"][name]) == times(found["short_textgrid"][name])
        assert [t[0] for t in times(found["long_textgrid"][name])] == [t[0] for t in times(found["json"][name])]
        outcome = found["json"][name]
        assert isinstance(outcome, Aligned)
        assert all(word.score is not None and word.score < -90 for word in outcome.words)


@pytest.mark.corpus
def test_two_speakers_in_a_file_and_words_changed(test_data: Path) -> None:
    folder = test_data / "mfa_samples"
    source = (folder / "corpus_two_speakers_in_a_file" / "conv.TextGrid").read_text()
    corpus = []
    for name in ("Alice", "Bob", "Carol"):
        (tier,) = textgrid.read(source, tier=name)
        corpus += [
            Utterance(f"{name}-{k}", Path("/c/conv.wav"), said.label, name, said.start, said.end)
            for k, said in enumerate(tier.words)
        ]
    tally = Tally()
    for kind in ("conv.TextGrid", "conv.json"):
        outcomes = run(corpus, folder / "out_for_two_speakers" / kind, tally)
        assert all(isinstance(outcome, Aligned) for outcome in outcomes.values())
    assert not tally.differing
    assert tally.words_outside_utterances == 0
