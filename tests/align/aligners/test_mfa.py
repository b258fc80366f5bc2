"""The adapter of the Montreal Forced Aligner, against a stand-in that behaves, and fails, as the real program does."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from faulty_corpora import check_that_asked_is_aligned_or_reported, faulty_corpora, write_sounds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mfa_stand_in import Mfa, failed, spoken

from align.aligned import read_report
from align.aligners.mfa import MfaAligner, MfaSettings
from align.aligners.mfa_program import INSTALL
from align.base import Aligned, AlignmentError, Failure, Reason, load_aligner
from align.cli.app import app
from speech2vec.corpus.manifest import Utterance, write_utterances
from speech2vec.runtime.config import load_settings
from speech2vec.runtime.errors import UserError


@pytest.fixture
def mfa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mfa:
    monkeypatch.setenv("MFA_ROOT_DIR", str(tmp_path / "users_root"))
    return Mfa(tmp_path)


def test_words_times_scores_and_the_command_line(mfa: Mfa) -> None:
    mfa.say("a/1", 'The QUICK-brown, "fox"!')
    mfa.say("b/1", "the fox", speaker="another", start=0.5, end=1.5)
    outcomes = mfa.align()
    assert spoken(outcomes["a/1"]) == ["the", "quick", "brown", "fox"]
    first = outcomes["a/1"]
    assert isinstance(first, Aligned)
    assert (first.words[0].start, first.words[0].end, first.words[0].score) == (0.4, 0.8, -50.5)
    assert first.guessed == {}
    # Times count from the file's start, not from the part's.
    second = outcomes["b/1"]
    assert isinstance(second, Aligned)
    assert [round(w.start, 3) for w in second.words] == [0.833, 1.167]
    (call,) = mfa.calls()
    assert call["args"][0] == "align"
    assert "--clean" in call["args"]
    assert call["args"][call["args"].index("-j") + 1] == "2"
    assert call["root"] != str(mfa.folder / "users_root"), "the user's own folder is never worked in"
    assert not Path(call["root"]).exists(), "and the private one is gone afterwards"


def test_two_runs_never_share_a_root(mfa: Mfa) -> None:
    mfa.say("x")
    mfa.align()
    mfa.align()
    first, second = mfa.calls()
    assert first["root"] != second["root"]


@given(data=st.data())
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_asked_is_aligned_or_reported(mfa: Mfa, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("faulty")
    sounds = write_sounds(folder)
    asked = data.draw(faulty_corpora(sounds, max_size=6))
    check_that_asked_is_aligned_or_reported(mfa.aligner(), asked, folder / "aligned")


def test_every_fault_of_a_corpus_ends_in_its_reason(mfa: Mfa) -> None:
    mfa.say("good")
    mfa.say("empty", "[laughter] ...")
    mfa.say("short", seconds=0.05)
    mfa.say("dense", " ".join(["quick"] * 40))
    mfa.say("silent", "impossible fox")
    mfa.say("8 kHz", rate=8000)
    mfa.say("stereo and other names: ümläut/../x")
    broken = mfa.say("broken")
    broken.audio.write_bytes(b"RIFF....WAVEfmt nonsense")
    cut = mfa.say("cut")
    cut.audio.write_bytes(cut.audio.read_bytes()[:20000])
    mfa.utterances.append(Utterance("gone", mfa.folder / "gone.wav", "the fox", "s"))
    outcomes = mfa.align()
    reasons = {name: o.reason for name, o in outcomes.items() if isinstance(o, Failure)}
    assert reasons == {
        "empty": Reason.NO_WORDS,
        "short": Reason.AUDIO_TOO_SHORT,
        "dense": Reason.AUDIO_TOO_SHORT,
        "silent": Reason.NO_ALIGNMENT,
        "broken": Reason.UNREADABLE_AUDIO,
        "cut": Reason.UNREADABLE_AUDIO,
        "gone": Reason.UNREADABLE_AUDIO,
    }
    # Resampled before it was handed over, so it took none of its speaker's files along.
    assert spoken(outcomes["8 kHz"]) == spoken(outcomes["good"])
    assert failed(outcomes["silent"]).detail == "words without a pronunciation: impossible"


def test_only_words_without_a_pronunciation_are_named(mfa: Mfa) -> None:
    mfa.say("x", "The fox's impossible quick Zorgle")
    for line in ("'s Z", "Zorgle Z AO1 R G AH0 L"):
        mfa.dictionary.write_text(f"{mfa.dictionary.read_text()}{line}\n")
    assert failed(mfa.align()["x"]).detail == "words without a pronunciation: impossible"
    with mfa.dictionary.open("a") as lines:
        lines.write("impossible\t0.99\tIH2 M P AA1 S AH0 B AH0 L\n")
    assert failed(mfa.align()["x"]).detail == "mfa wrote no file for it"
    mfa.dictionary.write_text("the DH AH0\n")
    assert failed(mfa.align(g2p_model="english_us_arpa")["x"]).detail == "mfa wrote no file for it"
    downloaded = mfa.folder / "users_root" / "pretrained_models" / "dictionary" / "english_us_arpa.dict"
    downloaded.parent.mkdir(parents=True)
    mfa.dictionary.rename(downloaded)
    detail = failed(mfa.align(dictionary="english_us_arpa")["x"]).detail
    assert detail == "words without a pronunciation: fox's impossible quick zorgle"


def test_unknown_words_get_a_wider_beam_and_are_named(mfa: Mfa) -> None:
    mfa.say("known")
    mfa.say("unknown", "the zorgle fox")
    outcomes = mfa.align()
    assert spoken(outcomes["unknown"]) == ["the", "zorgle", "fox"]
    outcome = outcomes["unknown"]
    assert isinstance(outcome, Aligned)
    assert outcome.guessed == {"zorgle": "spn"}
    first, second = mfa.calls()
    assert "100" not in first["args"]
    assert second["args"][second["args"].index("--beam") + 1] == "100"
    assert second["args"][second["args"].index("--retry_beam") + 1] == "400"
    assert failed(mfa.align(wide_beam=0)["unknown"]).reason is Reason.NO_ALIGNMENT


def test_version_4_has_another_name_for_the_command(mfa: Mfa) -> None:
    mfa.say("x")
    (mfa.bin / "version").write_text("4.0.0\n")
    assert spoken(mfa.align()["x"]) == ["the", "quick", "brown", "fox"]
    assert mfa.calls()[0]["args"][0] == "align_legacy"
    (mfa.bin / "version").write_text("5.1.0\n")
    with pytest.raises(AlignmentError, match=r"version 5\.1, which no longer"):
        mfa.align()


def test_training_on_the_corpus(mfa: Mfa) -> None:
    mfa.say("x")
    mfa.say("y", "the zorgle")
    outcomes = mfa.align(train=True, acoustic_model="nowhere", keep_model=str(mfa.folder / "models" / "mine.zip"))
    assert spoken(outcomes["x"]) == ["the", "quick", "brown", "fox"]
    assert spoken(outcomes["y"]) == ["the", "zorgle"]
    x = outcomes["x"]
    assert isinstance(x, Aligned) and x.words[0].score == -50.5
    train, align = mfa.calls()
    assert train["args"][0] == "train"
    assert "nowhere" not in train["args"]
    # What the first pass left out is aligned with the model that was learned.
    assert align["args"][3] == train["args"][3]
    assert zipfile.is_zipfile(mfa.folder / "models" / "mine.zip")


def test_a_training_that_keeps_its_model_overwrites_no_other_file(mfa: Mfa, tmp_path: Path) -> None:
    mfa.say("x")
    write_utterances(tmp_path / "all.jsonl", mfa.utterances)
    dictionary = mfa.dictionary.read_bytes()
    mine = mfa.dictionary.with_name("mine.zip")

    def train(model: Path, *options: str) -> Result:
        names = (f"program={mfa.program}", f"dictionary={mfa.dictionary}", f"keep_model={model}")
        command = ["run", str(tmp_path / "all.jsonl"), "-o", str(tmp_path / "out"), "--aligner", "mfa", "--mfa-train"]
        return CliRunner().invoke(app, [*command, *(part for name in names for part in ("--set", name)), *options])

    assert train(mine).exit_code == 0
    assert zipfile.is_zipfile(mine) and mfa.dictionary.read_bytes() == dictionary
    assert sorted(path.name for path in tmp_path.glob("*.dict")) == [mfa.dictionary.name]
    assert train(mine, "--resume").exit_code == 0
    mine.write_text("precious")
    shutil.rmtree(tmp_path / "out")
    refused = train(mine)
    assert str(refused.exception) == f"{mine} already exists; --force replaces it, another keep_model keeps it"
    assert mine.read_text() == "precious" and not (tmp_path / "out").exists()
    assert train(mine, "--force").exit_code == 0 and zipfile.is_zipfile(mine)
    n_calls = len(mfa.calls())
    refused = train(mine.with_suffix(""), "--force")
    assert isinstance(refused.exception, UserError) and "'keep_model'" in str(refused.exception)
    assert "must end in .zip" in str(refused.exception) and "\n" not in str(refused.exception)
    assert len(mfa.calls()) == n_calls


def test_training_from_the_command_line(mfa: Mfa, tmp_path: Path) -> None:
    mfa.say("x")
    write_utterances(tmp_path / "all.jsonl", mfa.utterances)
    settings = ("--set", f"program={mfa.program}", "--set", f"dictionary={mfa.dictionary}")
    command = ["run", str(tmp_path / "all.jsonl"), "-o", str(tmp_path / "out"), "--mfa-train", *settings]
    refused = CliRunner().invoke(app, command)
    assert isinstance(refused.exception, UserError) and "--mfa-train needs --aligner mfa" in str(refused.exception)
    done = CliRunner().invoke(app, [*command, "--aligner", "mfa"])
    assert done.exit_code == 0, done.output
    assert [call["args"][0] for call in mfa.calls()] == ["train"]
    assert read_report(tmp_path / "out")["settings"]["train"] is True


@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_the_program_ends_with_the_process_that_started_it(mfa: Mfa, tmp_path: Path, number: signal.Signals) -> None:
    mfa.say("x")
    write_utterances(tmp_path / "all.jsonl", mfa.utterances)
    (mfa.bin / "hang").touch()
    names = [f"program={mfa.program}", f"dictionary={mfa.dictionary}", f"acoustic_model={mfa.model}"]
    command = [sys.executable, "-m", "align", "run", str(tmp_path / "all.jsonl"), "-o", str(tmp_path / "out")]
    command += ["--aligner", "mfa", *(part for name in names for part in ("--set", name))]
    # Under nohup, SIGHUP is ignored, and so it would be by what is started here.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    signal.signal(signal.SIGHUP, before)
    started = mfa.bin / "hanging"
    wait_until(lambda: started.exists() and len(started.read_text().split()) == 3)
    program, child, root = started.read_text().split()
    process.send_signal(number)
    process.wait(timeout=60)
    wait_until(lambda: not is_running(program) and not is_running(child) and not Path(root).exists())


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_running(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def test_a_training_that_is_killed_in_its_second_pass_goes_on_with_its_model(mfa: Mfa, tmp_path: Path) -> None:
    mfa.say("x")
    mfa.say("y", "the zorgle fox")  # the first pass leaves it out
    write_utterances(tmp_path / "all.jsonl", mfa.utterances)
    out = tmp_path / "out"
    names = [f"program={mfa.program}", f"dictionary={mfa.dictionary}"]
    command = ["run", str(tmp_path / "all.jsonl"), "-o", str(out), "--aligner", "mfa", "--mfa-train"]
    command += [part for name in names for part in ("--set", name)]
    (mfa.bin / "kill_parent_after").write_text("2")
    program = f"import os, pathlib; pathlib.Path({str(mfa.bin / 'parent')!r}).write_text(str(os.getpid())); "
    program += f"from align.cli.app import main; import sys; sys.argv[1:] = {command!r}; main()"
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (mfa.bin / "kill_parent_after").unlink()
    assert not (out / "report.json").exists() and zipfile.is_zipfile(tmp_path / ".out.aligner" / "trained.zip")
    done = CliRunner().invoke(app, [*command, "--resume"])
    assert done.exit_code == 0, done.output
    assert [call["args"][0] for call in mfa.calls()] == ["train", "align", "align", "align"]
    assert mfa.calls()[2]["args"][3] == str(tmp_path / ".out.aligner" / "trained.zip")
    assert read_report(out)["aligned"] == 2 and not (tmp_path / ".out.aligner").exists()


def test_a_relative_root_of_the_user(mfa: Mfa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mfa.say("x")
    target = mfa.folder / "users_root" / "pretrained_models" / "dictionary" / "mine.dict"
    target.parent.mkdir(parents=True)
    mfa.dictionary.rename(target)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MFA_ROOT_DIR", "users_root")
    assert spoken(mfa.align(dictionary="mine")["x"])[0] == "the"


def test_names_of_downloaded_models_are_found_from_the_private_root(mfa: Mfa) -> None:
    mfa.say("x")
    for kind, path in (("dictionary", mfa.dictionary), ("acoustic", mfa.model)):
        target = mfa.folder / "users_root" / "pretrained_models" / kind / f"english_us_arpa{path.suffix}"
        target.parent.mkdir(parents=True)
        path.rename(target)
    assert spoken(mfa.align(dictionary="english_us_arpa", acoustic_model="english_us_arpa")["x"])[0] == "the"


def break_model(mfa: Mfa) -> None:
    mfa.model.write_bytes(b"no zip")


def break_dictionary(mfa: Mfa) -> None:
    mfa.dictionary.write_text("the DH AH0\nword\n")


def garble_dictionary(mfa: Mfa) -> None:
    mfa.dictionary.write_bytes(b"caf\xe9 K\n")


def lose_tools(mfa: Mfa) -> None:
    (mfa.bin / "fstcompile").unlink()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda mfa: mfa.model.unlink(), 'Could not find "'),
        (lambda mfa: mfa.dictionary.unlink(), "rejected the dictionary or the model"),
        (break_model, "ReadError"),
        (break_dictionary, "english.dict, line 2: 'word' has no phones"),
        (garble_dictionary, "english.dict, line 1: not UTF-8"),
        (lose_tools, "Could not find 'fstcompile'"),
    ],
)
def test_what_stops_the_program_is_one_line(mfa: Mfa, harm: Callable[[Mfa], None], message: str) -> None:
    mfa.say("x")
    harm(mfa)
    with pytest.raises(AlignmentError) as error:
        mfa.align()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "─" not in str(error.value)


def test_a_crash_keeps_what_was_written(mfa: Mfa) -> None:
    for name in ("a", "b", "c"):
        mfa.say(name)
    (mfa.bin / "crash_after").write_text("2")
    outcomes = mfa.align()
    assert spoken(outcomes["a"]) == spoken(outcomes["b"])
    assert failed(outcomes["c"]).reason is Reason.ALIGNER_CRASHED
    assert "signal 9" in failed(outcomes["c"]).detail
    (mfa.bin / "crash_after").write_text("0")
    assert {failed(o).reason for o in mfa.align().values()} == {Reason.ALIGNER_CRASHED}


def test_nothing_that_can_be_aligned_starts_nothing(mfa: Mfa) -> None:
    mfa.say("x", "...")
    assert failed(mfa.align()["x"]).reason is Reason.NO_WORDS
    assert mfa.calls() == []


def test_without_the_program_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    kind = load_aligner("mfa")
    with pytest.raises(AlignmentError) as error:
        kind(load_settings(kind.settings_type))
    assert INSTALL in str(error.value)
    assert INSTALL.startswith("conda create -n mfa -c conda-forge montreal-forced-aligner")


def test_a_program_that_does_not_run(tmp_path: Path) -> None:
    program = tmp_path / "mfa"
    program.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named '_kalpy'\" >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(AlignmentError, match="No module named '_kalpy'"):
        MfaAligner(MfaSettings(program=str(program)))
