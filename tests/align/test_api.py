"""The public functions: loaded on first use, the same as the commands, with results that print and show themselves."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from alignments import utterance, write_textgrid
from click.testing import CliRunner

import align
from align.cli.app import app
from align.results import AlignmentReport
from speech2vec.corpus.manifest import Utterance, read_words, write_utterances, write_words
from speech2vec.runtime.errors import UserError

HALVES = '''
import align
from speech2vec.corpus.manifest import Word
from speech2vec.corpus.transcripts import tokenize

class Halves(align.Aligner):
    """Half a second for each word; fails on the text "fail"."""
    takes_device = False

    def align(self, utterances):
        for u in utterances:
            if u.text == "fail":
                yield align.Failure(u.utterance_id, align.Reason.NO_ALIGNMENT, "<script>")
            else:
                words = (Word(u.utterance_id, w, k / 2, (k + 1) / 2) for k, w in enumerate(tokenize(u.text)))
                yield align.Aligned(u.utterance_id, tuple(words))
'''


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two utterances that are aligned and one that is not, by an aligner in a module of the working folder."""
    (tmp_path / "halves.py").write_text(HALVES)
    monkeypatch.chdir(tmp_path)
    texts = {"a": "One two.", "b": "Three", "<b>": "fail"}
    path = tmp_path / "corpus.jsonl"
    write_utterances(path, [Utterance(name, tmp_path / "a.wav", text, "s") for name, text in texts.items()])
    return path


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "numpy pyarrow torch soundfile pydantic typer matplotlib pocketsphinx"
    code = f"import sys, align, align.cli; print(sorted(set({heavy!r}.split()) & set(sys.modules)), len(dir(align)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.startswith("[] ")
    assert int(shown.split()[-1]) > len(align.__all__)


def test_public_names_are_there_and_no_module_shadows_them() -> None:
    assert not set(align.__all__) & {module.name for module in pkgutil.iter_modules(align.__path__)}
    for name in align.__all__:
        assert getattr(align, name).__name__ == name
    assert not hasattr(align, "no_such_name")


def test_a_run_is_that_of_the_command_and_says_what_failed(corpus: Path, tmp_path: Path) -> None:
    report = align.run(corpus, tmp_path / "api", "halves:Halves", jobs=1)
    assert (report.asked, report.aligned, report.words) == (3, 2, 3)
    assert [(failure.utterance_id, failure.detail) for failure in report.failed] == [("<b>", "<script>")]
    command = ["run", str(corpus), "-o", str(tmp_path / "cli"), "--aligner", "halves:Halves", "--jobs", "1"]
    ended = CliRunner().invoke(app, command)
    assert ended.exit_code == 1
    assert ended.stdout == str(report).replace(str(tmp_path / "api"), str(tmp_path / "cli")) + "\n"
    assert read_words(tmp_path / "cli").equals(read_words(tmp_path / "api"))
    assert json.loads(json.dumps(report.to_dict()))["failed"][0]["reason"] == "no alignment found"
    shown = report._repr_html_()
    assert "&lt;script&gt;" in shown and "<script>" not in shown
    with pytest.raises(UserError, match="unknown setting 'beam'"):
        align.run(corpus, tmp_path / "other", "halves:Halves", settings={"beam": 1})
    with pytest.raises(UserError, match="already exists"):
        align.run(corpus, tmp_path / "api", "halves:Halves")
    again = align.run(corpus, tmp_path / "api", "halves:Halves", resume=True)
    assert again == report


def test_shards_are_merged_to_the_whole(corpus: Path, tmp_path: Path) -> None:
    whole = align.run(corpus, tmp_path / "whole", "halves:Halves", jobs=1)
    shards = [tmp_path / f"shard{k}" for k in (1, 2)]
    for k, shard in enumerate(shards, start=1):
        align.run(corpus, shard, "halves:Halves", shard=f"{k}/2", jobs=1)
    merged = align.merge(shards, tmp_path / "merged")
    assert {**merged.to_dict(), "folder": ""} == {**whole.to_dict(), "folder": ""}


def test_results_of_import_check_compare_and_export(tmp_path: Path) -> None:
    write_utterances(tmp_path / "corpus.jsonl", [utterance("x", "one two", end=1.5), utterance("<y>", "one")])
    write_textgrid(tmp_path / "first" / "x.TextGrid", "one", "too")
    write_textgrid(tmp_path / "second" / "x.TextGrid", "one", "two", step=0.5)
    reports = [
        align.import_alignments(tmp_path / "corpus.jsonl", tmp_path / name, tmp_path / f"{name}-aligned")
        for name in ("first", "second")
    ]
    assert reports[0].notes == ["1 utterances have other words than their transcript (listed in report.json)"]
    checked = align.check(reports[0].folder, settings={"tolerance": 0.1})
    found = {kind.value: n for kind, n in checked.counts.items() if n}
    assert found == {"missing-utterance": 1, "outside-utterance": 1} and checked.has_faults
    compared = align.compare(reports[0].folder, reports[1].folder)
    assert compared.bias == pytest.approx(0.5)
    exported = align.export(reports[0].folder, tmp_path / "out", "ctm")
    assert (exported.n_utterances, exported.n_files) == (1, 1)
    dropped = align.drop(reports[0].folder, ["outside-utterance"], tmp_path / "dropped")
    assert (dropped.aligned, dropped.words) == (1, 1)
    for result in (*reports, checked, compared, exported, dropped):
        assert json.loads(json.dumps(result.to_dict()))
        assert result._repr_html_().startswith("<pre>") and "<y>" not in result._repr_html_()
        assert str(result).startswith(("1 utterances", str(tmp_path)))
    for bad in (lambda: align.export(dropped.folder, tmp_path / "o", "elan"),
                lambda: align.drop(dropped.folder, ["typo"], tmp_path / "o")):  # fmt: skip
        with pytest.raises(UserError, match="there is no"):
            bad()


@pytest.mark.parametrize("command", ["merge", "drop"])
def test_a_failure_halfway_leaves_what_was_there(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    align.run(corpus, tmp_path / "aligned", "halves:Halves", jobs=1)
    align.run(corpus, tmp_path / "kept", "halves:Halves", jobs=1)
    words = read_words(tmp_path / "aligned")
    write_words(tmp_path / "aligned" / "words.parquet", pa.concat_tables([words, words.slice(0, 1)]))
    with pytest.raises(UserError, match="are not contiguous"):
        if command == "merge":
            align.merge([tmp_path / "aligned"], tmp_path / "kept", force=True)
        else:
            align.drop(tmp_path / "aligned", ["overlap"], tmp_path / "kept", force=True)
    assert read_words(tmp_path / "kept").num_rows == 3
    assert not list(tmp_path.glob(".kept*"))


def test_a_table_is_told_apart_from_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("audio,speaker,label\na.wav,s,neu\n")
    with pytest.raises(UserError, match=r"mine\.csv is a table: 'speech2vec-emotion prepare table .*mine\.csv"):
        align.run(tmp_path / "mine.csv", tmp_path / "out")


def test_many_guessed_pronunciations_ask_about_the_language(tmp_path: Path) -> None:
    few = AlignmentReport(tmp_path, 1, 1, 10, 2, [])
    many = AlignmentReport(tmp_path, 1, 1, 10, 3, [])
    assert "another language" not in str(few)
    assert "many words (30%) are not in the English dictionary: is the corpus in another language?" in str(many)
