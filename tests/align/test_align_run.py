"""A run over a corpus: several processes, crashes, resume after kill -9, shards and their merge."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from align.aligned import iterate_aligned, merge_aligned, read_report
from align.aligners.pocketsphinx import PocketSphinxSettings
from align.base import Aligned, AlignmentError, Failure, Reason
from align.cli.app import app
from align.journal import JOURNAL_FILE, Journal
from align.runner import UTTERANCES_PER_BATCH, align_corpus, shard_of
from speech2vec.corpus.manifest import Utterance, Word, read_words, write_utterances
from speech2vec.corpus.readers import Corpus, Problem
from speech2vec.runtime.config import Settings
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import only_writer
from speech2vec.runtime.processes import parse_shard
from speech2vec.runtime.progress import set_up_logging

OWN = '''
import os, time
from align.base import Aligned, Failure, Reason
from speech2vec.corpus.manifest import Word

class Mine:
    """What it does with an utterance is the utterance's text."""
    def __init__(self, settings, *, jobs=1, device="cpu"):
        if os.environ.get("OWN_BROKEN"):
            os._exit(3)
        with open("device.txt", "w") as told:
            told.write(device)
    def align(self, utterances):
        for u in utterances:
            if u.text == "crash":
                os._exit(9)
            if u.text == "raise":
                raise ValueError("cannot")
            if u.text == "silent":
                continue
            if u.text == "slow":
                time.sleep(0.05)
            with open("done.txt", "a") as done:
                done.write(u.utterance_id + "\\n")
            if u.text == "fail":
                yield Failure(u.utterance_id, Reason.NO_ALIGNMENT, "")
            else:
                yield Aligned(u.utterance_id, (Word(u.utterance_id, u.text, 0.1, 0.2, -1.0),), {"slow": "S L OW"})
'''


@pytest.fixture
def own(tmp_path, monkeypatch) -> str:
    (tmp_path / "own_aligner.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return "own_aligner:Mine"


def corpus(*texts: str) -> Corpus:
    return Corpus([Utterance(f"u{i:03}", Path("a.wav"), text, f"s{i % 3}") for i, text in enumerate(texts)])


def test_crashes_exceptions_and_silence_cost_one_utterance_each(own, tmp_path):
    texts = ["hello"] * 70
    texts[3], texts[40], texts[41], texts[50] = "crash", "silent", "fail", "crash"
    report = align_corpus(corpus(*texts), tmp_path / "out", own, Settings(), jobs=2)
    reasons = {failure["utterance_id"]: failure["reason"] for failure in report["failed"]}
    assert reasons == {
        "u003": Reason.ALIGNER_CRASHED.value,
        "u040": Reason.NO_ANSWER.value,
        "u041": Reason.NO_ALIGNMENT.value,
        "u050": Reason.ALIGNER_CRASHED.value,
    }
    assert report["aligned"] == 66
    assert [a.utterance_id for a in iterate_aligned(tmp_path / "out")] == sorted(
        f"u{i:03}" for i in range(70) if f"u{i:03}" not in reasons
    )


def test_an_exception_costs_its_utterance_alone(own, tmp_path, capfd):
    texts = ["hello"] * 40
    texts[1], texts[2], texts[35] = "raise", "raise", "raise"
    report = align_corpus(corpus(*texts), tmp_path / "out", own, Settings())
    failed = {f["utterance_id"]: (f["reason"], f["detail"]) for f in report["failed"]}
    expected = (Reason.ALIGNER_FAILED.value, "ValueError: cannot")
    assert failed == {"u001": expected, "u002": expected, "u035": expected}
    assert report["aligned"] == 37
    done = (tmp_path / "done.txt").read_text().split()
    assert len(done) == len(set(done)) == 37, "what has a result is not aligned again"
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("faulty", [0, 3, 7])
def test_a_damaged_recording_costs_its_utterance_alone(tmp_path, faulty):
    """A FLAC whose header (STREAMINFO) claims 2^36 samples."""
    utterances = []
    for i in range(8):
        sf.write(tmp_path / f"{i}.flac", 0.1 * np.random.default_rng(i).standard_normal(8000), 16000)
        utterances.append(Utterance(f"u{i}", tmp_path / f"{i}.flac", "a", "s"))
    content = bytearray((tmp_path / f"{faulty}.flac").read_bytes())
    content[21:26] = bytes([content[21] | 0x0F]) + b"\xff" * 4
    (tmp_path / f"{faulty}.flac").write_bytes(content)
    report = align_corpus(Corpus(utterances), tmp_path / "out", "pocketsphinx", PocketSphinxSettings())
    not_spoken = (Reason.NO_ALIGNMENT.value, Reason.NOT_SPEECH.value)
    failed = {f["utterance_id"]: f for f in report["failed"] if f["reason"] not in not_spoken}
    assert list(failed) == [f"u{faulty}"]
    assert failed[f"u{faulty}"]["reason"] == Reason.UNREADABLE_AUDIO.value
    assert "its header claims 1193 hours" in failed[f"u{faulty}"]["detail"]


@pytest.mark.parametrize("whole_corpus", [False, True])
def test_no_time_left_is_told_of_an_aligner_that_answers_at_its_end(own, tmp_path, monkeypatch, capfd, whole_corpus):
    name = f"answers_at_its_end_{whole_corpus}".lower()  # a module is imported once
    code = OWN.replace("    def align", f"    whole_corpus = {whole_corpus}\n    def align")
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.setattr("speech2vec.runtime.progress._SECONDS_BETWEEN_LINES", 0.0)
    set_up_logging(quiet=False)
    align_corpus(corpus("a", "b", "c"), tmp_path / "out", f"{name}:Mine", Settings(), quiet=False)
    told = capfd.readouterr().err
    assert "aligning: " in told and (" left" in told) is not whole_corpus


def test_an_aligner_that_does_not_start_ends_the_run(own, tmp_path, monkeypatch):
    monkeypatch.setenv("OWN_BROKEN", "1")
    with pytest.raises(AlignmentError, match="exit code 3 while it was starting"):
        align_corpus(corpus("a"), tmp_path / "out", own, Settings())


@pytest.mark.parametrize("options", [[], ["--force"], ["--resume"]])
def test_a_start_that_fails_changes_nothing(own, tmp_path, monkeypatch, options):
    write_utterances(tmp_path / "all.jsonl", corpus("a").utterances)
    command = ["run", "all.jsonl", "--aligner", own, "--jobs", "1", *options]
    if options == ["--force"]:
        assert CliRunner().invoke(app, [*command, "-o", "out"]).exit_code == 0
    before = {path: path.read_bytes() for path in tmp_path.glob("out/*")}
    monkeypatch.setenv("OWN_BROKEN", "1")
    failed = CliRunner().invoke(app, [*command, "-o", "out"])
    assert isinstance(failed.exception, AlignmentError)
    assert {path: path.read_bytes() for path in tmp_path.glob("out/*")} == before
    monkeypatch.delenv("OWN_BROKEN")
    assert CliRunner().invoke(app, [*command, "-o", "out"]).exit_code == 0


def test_an_empty_corpus_is_refused_before_anything_is_written(own, tmp_path):
    (tmp_path / "empty.jsonl").touch()
    for command in (["run", "--aligner", own], ["import", "--alignments", str(tmp_path)]):
        refused = CliRunner().invoke(app, [*command, "empty.jsonl", "-o", "out"])
        assert isinstance(refused.exception, UserError)
        assert str(refused.exception) == "empty.jsonl contains no utterances: there is nothing to align"
        assert not (tmp_path / "out").exists()


def test_killed_and_resumed_nothing_is_done_twice_or_lost(own, tmp_path):
    asked = corpus(*["slow"] * 120)
    write_utterances(tmp_path / "all.jsonl", asked.utterances)
    command = [sys.executable, "-m", "align", "run", "all.jsonl", "-o", "out", "--aligner", own, "--jobs", "2"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([*command, "--quiet"], env=environment)
    journal = tmp_path / "out" / JOURNAL_FILE
    deadline = time.monotonic() + 60
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 20):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.5)  # its own processes notice
    done_by_then = (tmp_path / "done.txt").read_text().split()
    time.sleep(0.5)
    assert (tmp_path / "done.txt").read_text().split() == done_by_then, "a process outlived its parent"
    journalled = [json.loads(line)["utterance_id"] for line in journal.read_text().splitlines()[1:] if line[-1] == "}"]
    with journal.open("a") as half:
        half.write('{"utterance_id": "u119", "wor')
    (tmp_path / "done.txt").write_text("")

    neither = CliRunner().invoke(app, command[3:])
    assert "out already exists; --resume continues it, --force replaces it" in str(neither.exception)
    again = subprocess.run([*command, "--resume"], env=environment, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stderr
    second = (tmp_path / "done.txt").read_text().split()
    assert sorted([*journalled, *second]) == [u.utterance_id for u in asked.utterances]
    report = read_report(tmp_path / "out")
    assert (report["asked"], report["aligned"], report["guessed_pronunciations"]) == (120, 120, 120)
    assert read_words(tmp_path / "out")["utterance_id"].to_pylist() == [u.utterance_id for u in asked.utterances]
    assert not journal.exists()
    finished = subprocess.run([*command, "--resume"], env=environment, capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0 and "120 of 120" in finished.stdout


@pytest.mark.parametrize("force", [False, True])
def test_two_runs_into_one_folder_are_refused(own, tmp_path, force):
    with only_writer(tmp_path / "out"), pytest.raises(UserError, match="out is being written by process"):
        align_corpus(corpus("a"), tmp_path / "out", own, Settings(), force=force)
    assert not (tmp_path / "out").exists() and not Path("done.txt").exists()
    assert align_corpus(corpus("a"), tmp_path / "out", own, Settings())["aligned"] == 1


def test_another_corpus_or_other_settings_are_not_mixed_in(own, tmp_path):
    align_corpus(corpus("a"), tmp_path / "out", own, Settings())
    with pytest.raises(UserError, match="another corpus: --force"):
        align_corpus(corpus("a", "b"), tmp_path / "out", own, Settings())
    with Journal(tmp_path / "started" / JOURNAL_FILE, {"settings": {"aligner": "mfa"}, "corpus": "x"}):
        pass
    with pytest.raises(UserError, match="started with another corpus and settings"):
        align_corpus(corpus("a"), tmp_path / "started", own, Settings())


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=8), st.integers(0, 400))
def test_a_journal_cut_anywhere_keeps_its_whole_lines(tmp_path_factory, kinds, cut):
    path = tmp_path_factory.mktemp("journal") / JOURNAL_FILE
    utterances = [Utterance(f"ü{i}", Path("a.wav"), "x", "s") for i in range(len(kinds))]
    outcomes = [
        Aligned(u.utterance_id, (Word(u.utterance_id, "x", 0.1, 1 / 3, -0.123456789),), {"x": "EH K S"})
        if kind
        else Failure(u.utterance_id, Reason.NO_ALIGNMENT, "näh")
        for u, kind in zip(utterances, kinds, strict=True)
    ]
    with Journal(path, {"corpus": "c"}) as journal:
        for outcome in outcomes:
            journal.add(outcome)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    lines = max(0, whole[:cut].count(b"\n") - 1)
    with Journal(path, {"corpus": "c"}) as journal:
        assert len(journal) == lines
        for outcome in outcomes[lines:]:
            journal.add(outcome)
        assert list(journal.results(utterances)) == outcomes


@given(st.integers(0, 30), st.integers(0, 7), st.integers(1, 6))
def test_shards_are_the_corpus(n_utterances, n_problems, n):
    asked = corpus(*["a"] * n_utterances)
    asked.problems = [Problem(f"p{i}", "no audio") for i in range(n_problems)]
    shards = [shard_of(asked, k, n) for k in range(1, n + 1)]
    assert sorted(u.utterance_id for s in shards for u in s.utterances) == [u.utterance_id for u in asked.utterances]
    assert sorted(p.utterance_id for s in shards for p in s.problems) == [p.utterance_id for p in asked.problems]


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/", "-1/2", "1/" + "9" * 5000])
def test_bad_shards(text):
    with pytest.raises(UserError, match="--shard takes K/N"):
        parse_shard(text)


def test_merged_shards_are_the_run_in_one_piece(own, tmp_path):
    asked = corpus("a", "fail", "slow", "b", "c", "silent", "d")
    asked.problems = [Problem("u000", "duplicate id", "again"), Problem("x", "no audio")]
    whole = align_corpus(asked, tmp_path / "whole", own, Settings())
    folders = [tmp_path / f"shard{k}" for k in (1, 2, 3)]
    for k, folder in enumerate(folders, start=1):
        align_corpus(shard_of(asked, k, 3), folder, own, Settings(), shard=f"{k}/3")
    merged = merge_aligned(folders, tmp_path / "merged")
    same = ("asked", "aligned", "words", "guessed_pronunciations", "failed", "fingerprint")
    assert {key: merged[key] for key in same} == {key: whole[key] for key in same}
    assert sorted(read_words(tmp_path / "merged").to_pylist(), key=str) == sorted(
        read_words(tmp_path / "whole").to_pylist(), key=str
    )
    with pytest.raises(UserError, match=r"2/3 are missing"):
        merge_aligned([folders[0], folders[2]], tmp_path / "half")
    report = json.loads((folders[0] / "report.json").read_text())
    (folders[0] / "report.json").write_text(json.dumps({**report, "shard": "1/999999999"}))
    with pytest.raises(UserError, match=r"3/999999999, .* and 999,999,988 more are missing"):
        merge_aligned(folders[:1], tmp_path / "huge")
    with pytest.raises(UserError, match="is in "):
        merge_aligned([tmp_path / "whole", tmp_path / "merged"], tmp_path / "twice")


def test_the_command_says_what_failed_and_ends_with_its_code(own, tmp_path):
    write_utterances(tmp_path / "some.jsonl", corpus("a", "fail").utterances)
    write_utterances(tmp_path / "none.jsonl", corpus("fail", "fail").utterances)
    run = CliRunner().invoke(app, ["run", "some.jsonl", "-o", "out", "--aligner", own, "--jobs", "1"])
    assert run.exit_code == 1
    assert "1 of 2 utterances aligned" in run.output and "not aligned: u001: no alignment found" in run.output
    again = CliRunner().invoke(app, ["run", "some.jsonl", "-o", "out", "--aligner", own, "--jobs", "1"])
    assert isinstance(again.exception, UserError) and "already exists" in str(again.exception)
    nothing = CliRunner().invoke(app, ["run", "none.jsonl", "-o", "out2", "--aligner", own, "--jobs", "1"])
    assert isinstance(nothing.exception, UserError) and "no utterance was aligned" in str(nothing.exception)
    assert read_report(tmp_path / "out2")["asked"] == 2


@pytest.mark.parametrize("there", [False, True])
def test_an_aligner_is_told_a_device_that_is_there(own, tmp_path, monkeypatch, there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    write_utterances(tmp_path / "all.jsonl", corpus("a").utterances)
    command = ["run", "all.jsonl", "--aligner", own, "--jobs", "1"]
    assert CliRunner().invoke(app, [*command, "-o", "auto"]).exit_code == 0
    assert Path("device.txt").read_text() == ("cuda" if there else "cpu")
    asked = CliRunner().invoke(app, [*command, "-o", "asked", "--device", "cuda"])
    if there:
        assert asked.exit_code == 0 and Path("device.txt").read_text() == "cuda"
    else:
        assert isinstance(asked.exception, UserError) and "there is no CUDA device" in str(asked.exception)
        assert not (tmp_path / "asked").exists()


def test_a_device_that_an_aligner_cannot_use_is_said(own, tmp_path, monkeypatch):
    (tmp_path / "cpu_aligner.py").write_text(OWN + "\n    takes_device = False\n")
    write_utterances(tmp_path / "all.jsonl", corpus("a").utterances)
    done = CliRunner().invoke(
        app, ["run", "all.jsonl", "-o", "out", "--aligner", "cpu_aligner:Mine", "--device", "cuda"]
    )
    assert done.exit_code == 0 and Path("device.txt").read_text() == "cpu"
    assert "device cuda is ignored: the aligner cpu_aligner:Mine computes on the CPU" in done.stderr


def test_texts_of_other_recordings_are_refused_before_anything_is_written(own, tmp_path):
    """The utterances.jsonl of a COMPOSITE emotion set: audio of one corpus beside texts of another."""
    said, paired = corpus("yes", "no").utterances
    write_utterances(tmp_path / "both.jsonl", [said, replace(paired, extras={"composite": True})])
    command = ["run", str(tmp_path / "both.jsonl"), "-o", str(tmp_path / "out"), "--aligner", own]
    refused = CliRunner().invoke(app, command)
    assert isinstance(refused.exception, UserError)
    assert f"1 of 2 utterances are COMPOSITE (first: {paired.utterance_id})" in str(refused.exception)
    assert not (tmp_path / "out").exists()


def test_the_documented_aligner_of_ones_own_runs(checkout, tmp_path, monkeypatch):
    """Of a whole file, and of a part."""
    page = (checkout / "docs" / "alignment.md").read_text(encoding="utf-8")
    (code,) = [block.partition("```")[0] for block in page.split("```python\n")[1:] if "class Uniform" in block]
    (tmp_path / "documented.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    sf.write(tmp_path / "a.wav", np.zeros(4 * 16000), 16000)
    whole = Utterance("whole", tmp_path / "a.wav", "One, two -- three four.", "s")
    asked = Corpus([whole, replace(whole, utterance_id="part", text="one", start=1.0, end=3.0)])
    align_corpus(asked, tmp_path / "out", "documented:Uniform", Settings())
    times = [(row["word"], row["start"], row["end"]) for row in read_words(tmp_path / "out").to_pylist()]
    assert times == [("one", 0, 1), ("two", 1, 2), ("three", 2, 3), ("four", 3, 4), ("one", 1, 3)]


def test_memory_does_not_grow_with_the_corpus(own, tmp_path):
    """The parent keeps a place in the journal for each utterance, not its words."""
    assert UTTERANCES_PER_BATCH < 100
    with Journal(tmp_path / JOURNAL_FILE, {}) as journal:
        journal.add(Aligned("u", tuple(Word("u", "w", float(i), float(i + 1)) for i in range(1000))))
        assert [value for value in vars(journal).values() if isinstance(value, dict)] == [{"u": 3}]
