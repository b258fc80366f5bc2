"""Export: what goes out comes back, and nothing goes where it should not."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from alignments import run, times, utterance
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from align.aligned import write_aligned
from align.base import Aligned
from align.exporting import ExportFormat, ExportReport, export_aligned
from align.importing import ImportSettings, Tally, read_alignments
from speech2vec.corpus.manifest import Utterance, Word
from speech2vec.runtime.files import atomic_folder

WORDS = ["the", "quick", "brown", "fox", "don't", "stop", "now", "ümläut", "a", "3"]


@st.composite
def aligned_corpora(draw: st.DrawFn) -> list[tuple[Utterance, list[Word]]]:
    corpus = []
    for name in draw(st.lists(st.sampled_from(["84-1-0000", "84-1-0001", "a/x", "b/x", "y"]), min_size=1, unique=True)):
        offset = draw(st.sampled_from([None, 0.0, 2.5]))
        reached, words = round((offset or 0.0) * 100), []
        for gap, length, word in draw(
            st.lists(st.tuples(st.integers(0, 2), st.integers(1, 50), st.sampled_from(WORDS)), min_size=1, max_size=6)
        ):
            score = draw(st.one_of(st.none(), st.just(-7.5)))
            words.append(Word(name, word, (reached + gap) / 100, (reached + gap + length) / 100, score))
            reached += gap + length
        text = " ".join(word.word for word in words).upper()
        end = None if offset is None else reached / 100 + 1
        corpus.append((Utterance(name, Path(f"/nowhere/{name}.wav"), text, "s", offset, end), words))
    return corpus


@pytest.mark.parametrize("kind", list(ExportFormat))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(corpus=aligned_corpora())
def test_what_is_exported_comes_back(
    kind: ExportFormat, corpus: list[tuple[Utterance, list[Word]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assume(all("ß" not in word.word for _, words in corpus for word in words))
    folder = tmp_path_factory.mktemp("round")
    utterances = [u for u, _ in corpus]
    write_aligned(folder / "aligned", utterances, [Aligned(u.utterance_id, tuple(words)) for u, words in corpus])
    done = ExportReport(folder / "out")
    assert len(list(export_aligned(folder / "aligned", kind, folder / "out", done))) == len(corpus)
    assert not done.failed
    assert done.n_words == sum(len(words) for _, words in corpus)
    outcomes = run(utterances, folder / "out")
    for u, words in corpus:
        back = outcomes[u.utterance_id]
        assert isinstance(back, Aligned), back
        assert [word.word for word in back.words] == [word.word for word in words]
        np.testing.assert_allclose(
            [(word.start, word.end) for word in back.words], [(word.start, word.end) for word in words], atol=1e-6
        )
        if kind in (ExportFormat.ctm, ExportFormat.csv):
            assert [word.score for word in back.words] == [word.score for word in words]


@pytest.mark.parametrize("kind", [ExportFormat.ctm, ExportFormat.csv, ExportFormat.alignment_txt])
def test_many_utterances_are_one_file_and_keep_their_order(kind: ExportFormat, tmp_path: Path) -> None:
    corpus = [utterance(f"ümläut/{k}", "one two three four") for k in range(100)]
    aligned = [
        Aligned(u.utterance_id, tuple(Word(u.utterance_id, w, i, i + 1.0) for i, w in enumerate(u.text.split())))
        for u in corpus
    ]
    write_aligned(tmp_path / "aligned", corpus, aligned)
    done = ExportReport(tmp_path / "out")
    list(export_aligned(tmp_path / "aligned", kind, tmp_path / "out", done))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"words.{kind.value}"]
    assert (done.n_files, done.n_words, done.failed) == (1, 400, [])
    tally = Tally()
    assert list(read_alignments(corpus, tmp_path / "out", ImportSettings(), tally)) == aligned
    assert not (tally.unreadable or tally.ignored or tally.differing)


def test_two_ids_of_the_same_path_do_not_share_a_file(tmp_path: Path) -> None:
    corpus = [utterance("a/b", "one"), utterance("a/./b", "one")]
    aligned = [Aligned(u.utterance_id, (Word(u.utterance_id, "one", 0.0, 1.0),)) for u in corpus]
    write_aligned(tmp_path / "aligned", corpus, aligned)
    done = ExportReport(tmp_path / "out")
    list(export_aligned(tmp_path / "aligned", ExportFormat.textgrid, tmp_path / "out", done))
    assert (done.n_files, done.failed) == (1, [("a/./b", "a/b.TextGrid is the file of another utterance")])


@given(frames=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40)), min_size=1, max_size=5))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_wdseg_comes_back_within_a_frame(
    frames: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("wdseg")
    rows, reached = ["SFrm EFrm SegAScr Word"], 0
    for gap, length in frames:
        rows.append(f"{reached + gap} {reached + gap + length - 1} -500 WORD(2)")
        reached += gap + length
    (folder / "x.wdseg").write_text("\n".join([*rows, "Total -1000"]))
    corpus = [utterance("x", "word " * len(frames))]
    first = run(corpus, folder)["x"]
    write_aligned(folder / "aligned", corpus, [first])
    for kind in ExportFormat:
        for _ in export_aligned(folder / "aligned", kind, folder / kind.value, ExportReport(folder)):
            pass
        np.testing.assert_allclose(
            [t[1:] for t in times(run(corpus, folder / kind.value)["x"])], [t[1:] for t in times(first)], atol=0.01
        )


def test_overlaps_are_clipped_and_words_without_length_named(tmp_path: Path) -> None:
    words = (Word("x", "one", 0.0, 1.0), Word("x", "two", 0.5, 1.5), Word("x", "three", 1.5, 1.5))
    corpus = [utterance("x", "one two three")]
    write_aligned(tmp_path / "aligned", corpus, [Aligned("x", words)])
    done = ExportReport(tmp_path)
    list(export_aligned(tmp_path / "aligned", ExportFormat.textgrid, tmp_path / "out", done))
    assert (done.n_words, done.n_clipped, done.left_out) == (2, 1, ["x: three"])
    assert times(run(corpus, tmp_path / "out")["x"]) == [("one", 0.0, 1.0), ("two", 1.0, 1.5)]
    for kind in (ExportFormat.ctm, ExportFormat.csv):
        list(export_aligned(tmp_path / "aligned", kind, tmp_path / kind.value, ExportReport(tmp_path)))
        assert times(run(corpus, tmp_path / kind.value)["x"]) == [(w.word, w.start, w.end) for w in words]


def test_a_tier_ends_with_the_part_of_the_recording_that_was_asked_for(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", np.zeros(5 * 8000), 8000)
    corpus = [Utterance("x", tmp_path / "a.wav", "one", "s", start=2.0)]
    write_aligned(tmp_path / "aligned", corpus, [Aligned("x", (Word("x", "one", 2.5, 3.0),))])
    list(export_aligned(tmp_path / "aligned", ExportFormat.textgrid, tmp_path / "out", ExportReport(tmp_path)))
    text = (tmp_path / "out" / "x.TextGrid").read_text()
    assert {float(time) for time in re.findall(r"xmax = (\S+)", text)} == {0.5, 1.0, 3.0}
    assert times(run(corpus, tmp_path / "out")["x"]) == [("one", 2.5, 3.0)]


def test_an_id_never_leads_out_of_the_output_folder(tmp_path: Path) -> None:
    corpus = [utterance("../../evil", "one"), utterance("/abs", "one"), utterance("good", "one")]
    aligned = [Aligned(u.utterance_id, (Word(u.utterance_id, "one", 0.0, 1.0),)) for u in corpus]
    write_aligned(tmp_path / "aligned", corpus, aligned)
    done = ExportReport(tmp_path)
    list(export_aligned(tmp_path / "aligned", ExportFormat.textgrid, tmp_path / "deep" / "out", done))
    assert [name for name, _ in done.failed] == ["../../evil", "/abs"]
    assert [path.name for path in tmp_path.rglob("*.TextGrid")] == ["good.TextGrid"]


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "out") as folder:
        (folder / "half").write_text("")
        raise RuntimeError
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", list(ExportFormat))
def test_a_full_disk_leaves_nothing_and_is_one_line(kind: ExportFormat, tmp_path: Path) -> None:
    words = tuple(Word("84-1-0000", f"word{i}", i / 10, i / 10 + 0.1) for i in range(200))
    write_aligned(tmp_path / "aligned", [utterance("84-1-0000")], [Aligned("84-1-0000", words)])
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "align",
            "export",
            str(tmp_path / "aligned"),
            "-o",
            str(tmp_path / "out"),
            "--quiet",
            "--format",
            kind.value,
        ],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 2, answer.stderr
    assert len(answer.stderr.splitlines()) == 1 and str(tmp_path) in answer.stderr, answer.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["aligned"]
