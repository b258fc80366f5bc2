"""The adapter of the Montreal Forced Aligner, against a stand-in that behaves, and fails, as the real program does."""

from __future__ import annotations

import json
import stat
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from align.base import Aligned, AlignmentError, Failure, Outcome, Reason, account, load_aligner
from align.formats import textgrid
from align.mfa import MfaAligner, MfaSettings
from align.mfa_program import INSTALL, _cause
from speech2vec.config import load_settings
from speech2vec.corpora import read_corpus
from speech2vec.manifest import Utterance

# What the stand-in does was read off the real program, version 3.4.3; it takes its whole behaviour from the files it
# is given: a word that the dictionary lacks needs a beam of 100, audio at another rate loses its speaker's files, ...
STAND_IN = '''\
import csv, json, os, sys, zipfile
from pathlib import Path
import soundfile as sf

HERE = Path(__file__).parent
VERSION = (HERE / "version").read_text()
args = sys.argv[1:]

def end(code, text):
    print(text)
    sys.exit(code)

if args[:1] == ["version"]:
    end(0, VERSION)
with (HERE / "calls.jsonl").open("a") as log:
    log.write(json.dumps({"args": args, "root": os.environ.get("MFA_ROOT_DIR", "")}) + "\\n")
if not any((Path(folder) / "fstcompile").exists() for folder in os.environ["PATH"].split(os.pathsep)):
    end(1, "ThirdpartyError: Could not find 'fstcompile'.  Please ensure that you have installed the tools.")
flags = {"beam": "10", "output_directory": ""}
positional = []
rest = args[1:]
while rest:
    arg = rest.pop(0)
    if arg == "--clean":
        flags["clean"] = "yes"
    elif arg == "-j":
        flags["jobs"] = rest.pop(0)
    elif arg.startswith("--"):
        flags[arg[2:]] = rest.pop(0)
    else:
        positional.append(arg)
legacy = "align" if VERSION[0] == "3" else "align_legacy"
if args[0] == "train":
    corpus, dictionary, model_out = map(Path, positional)
    model, out = None, Path(flags["output_directory"])
elif args[0] == legacy and len(positional) == 4:
    corpus, dictionary, model, out = map(Path, positional)
else:
    end(2, "Usage: mfa align [OPTIONS] CORPUS_DIRECTORY\\n\\u2502 Got unexpected extra argument \\u2502")
root = Path(os.environ["MFA_ROOT_DIR"])
lock = root / "pg_mfa"
if lock.exists():
    end(1, "sqlite3.OperationalError: database is locked")
lock.mkdir(parents=True)

def model_path(path, kind, what):
    named = root / "pretrained_models" / kind / path.name
    for candidate in (path, named.with_suffix(".zip"), named.with_suffix(".dict")):
        if candidate.is_file():
            return candidate
    end(2, f"""
 Usage: mfa align [OPTIONS] CORPUS_DIRECTORY DICTIONARY_PATH ACOUSTIC_MODEL_PATH

\\u256d\\u2500 Error \\u2500\\u2500\\u2500\\u2500\\u2500\\u2500\\u256e
\\u2502 Invalid value for '{what}': FileArgumentNotFoundError:          \\u2502
\\u2502                                                                  \\u2502
\\u2502 Could not find "{path}".                                         \\u2502
\\u2570\\u2500\\u2500\\u2500\\u2500\\u2500\\u2500\\u256f
""")

if model is not None and not zipfile.is_zipfile(model_path(model, "acoustic", "ACOUSTIC_MODEL_PATH")):
    end(1, "  raise ReadError\\nshutil.ReadError: " + str(model) + " is not a zip file")
known = set()
for line in model_path(dictionary, "dictionary", "DICTIONARY_PATH").read_text().splitlines():
    if len(line.split()) < 2:
        end(1, "Traceback (most recent call last):\\nValueError")
    known.add(line.split()[0])
files = sorted(p for p in corpus.rglob("*") if p.suffix in (".wav", ".flac"))
if not files:
    end(1, "CorpusError: There were no sound files found of the appropriate format.")
info = {}
for path in files:
    try:
        info[path] = sf.info(path)
    except sf.LibsndfileError as error:
        end(1, f"soundfile.LibsndfileError: Error opening {path}: Format not recognised.")
lost = {path.parent.name for path in files if info[path].samplerate != 16000}
rows, unknown = [], set()
crash_after = int((HERE / "crash_after").read_text()) if (HERE / "crash_after").exists() else None
for number, path in enumerate(files):
    if crash_after is not None and number >= crash_after:
        os.kill(os.getpid(), 9)
    lab = path.with_suffix(".lab")
    row = {"file": path.stem, "begin": 0.0, "end": info[path].duration, "speaker": path.parent.name,
           "overall_log_likelihood": "", "snr": ""}
    try:
        words = lab.read_bytes().decode("utf-8").lower().split() if lab.exists() else []
    except UnicodeDecodeError:
        continue
    rows.append(row)
    oov = [word for word in words if word not in known]
    unknown.update(oov)
    seconds = info[path].duration
    if (path.parent.name in lost or not words or seconds < 0.1 or len(words) > 10 * seconds
            or "impossible" in words or (oov and int(flags["beam"]) < 100)):
        continue
    row["overall_log_likelihood"] = -50.5
    step = seconds / (len(words) + 1)
    def tier(number, name, labels):
        text = f'    item [{number}]:\\n        class = "IntervalTier" \\n        name = "{name}" \\n'
        text += f"        xmin = 0 \\n        xmax = {seconds:.6f} \\n        intervals: size = {len(labels)} \\n"
        for k, label in enumerate(labels):
            text += f"        intervals [{k + 1}]:\\n            xmin = {k * step:.6f} \\n"
            text += f'            xmax = {(k + 1) * step:.6f} \\n            text = "{label}" \\n'
        return text
    phones = ["sil", *("spn" if word in oov else "AH0" for word in words)]
    text = 'File type = "ooTextFile"\\nObject class = "TextGrid"\\n\\n'
    text += f"xmin = 0 \\nxmax = {seconds:.6f} \\ntiers? <exists> \\nsize = 2 \\nitem []: \\n"
    text += tier(1, "words", ["", *words]) + tier(2, "phones", phones)
    target = out / path.parent.name / f"{path.stem}.TextGrid"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
out.mkdir(parents=True, exist_ok=True)
with (out / "alignment_analysis.csv").open("w", newline="") as file:
    writer = csv.DictWriter(file, ["file", "begin", "end", "speaker", "overall_log_likelihood", "snr"])
    writer.writeheader()
    writer.writerows(rows)
(out / "oovs_found_english.txt").write_text("\\n".join(sorted(unknown)))
if args[0] == "train":
    with zipfile.ZipFile(model_out, "w") as archive:
        archive.writestr("meta.json", "{}")
print(" INFO     Done! Everything took 15.666 seconds")
'''

DICTIONARY = "the DH AH0\nquick K W IH1 K\nbrown B R AW1 N\nfox F AA1 K S\n"


class Mfa:
    """The stand-in, its models, and a corpus to align."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "env" / "bin"
        self.bin.mkdir(parents=True)
        self.program = self.bin / "mfa"
        self.program.write_text(f"#!{sys.executable}\n{STAND_IN}", encoding="utf-8")
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)
        (self.bin / "fstcompile").touch()
        (self.bin / "version").write_text("3.4.3\n")
        self.dictionary = folder / "english.dict"
        self.dictionary.write_text(DICTIONARY)
        self.model = folder / "english.zip"
        # An empty zip archive.
        self.model.write_bytes(b"PK\x05\x06" + bytes(18))
        self.utterances: list[Utterance] = []

    def say(self, name: str, text: str = "The quick brown fox", seconds: float = 2.0, **more: object) -> Utterance:
        path = self.folder / "audio" / f"{name.replace('/', '_')}.wav"
        path.parent.mkdir(exist_ok=True)
        rate = int(more.pop("rate", 16000))  # type: ignore[call-overload]
        noise = np.random.default_rng(len(self.utterances)).normal(0, 0.1, round(seconds * rate))
        sf.write(path, noise, rate)
        utterance = Utterance(name, path, text, str(more.pop("speaker", "a speaker")), **more)  # type: ignore[arg-type]
        self.utterances.append(utterance)
        return utterance

    def aligner(self, **settings: object) -> MfaAligner:
        given = {"program": str(self.program), "dictionary": str(self.dictionary), "acoustic_model": str(self.model)}
        return MfaAligner(MfaSettings(**{**given, **settings}), jobs=2)  # type: ignore[arg-type]

    def align(self, **settings: object) -> dict[str, Outcome]:
        outcomes = list(self.aligner(**settings).align(self.utterances))
        assert sorted(o.utterance_id for o in outcomes) == sorted(u.utterance_id for u in self.utterances)
        return {outcome.utterance_id: outcome for outcome in outcomes}

    def calls(self) -> list[dict]:
        path = self.bin / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def mfa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mfa:
    monkeypatch.setenv("MFA_ROOT_DIR", str(tmp_path / "users_root"))
    return Mfa(tmp_path)


def spoken(outcome: Outcome) -> list[str]:
    assert isinstance(outcome, Aligned), outcome
    return [word.word for word in outcome.words]


def failed(outcome: Outcome) -> Failure:
    assert isinstance(outcome, Failure), outcome
    return outcome


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
    assert failed(outcomes["silent"]).detail == "words without pronunciation: impossible"


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
    train, align = mfa.calls()
    assert train["args"][0] == "train"
    assert "nowhere" not in train["args"]
    # What the first pass left out is aligned with the model that was learned.
    assert align["args"][3] == str(mfa.folder / "models" / "mine.zip")
    assert (mfa.folder / "models" / "mine.zip").exists()


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
    mfa.dictionary.write_text("word\n")


def lose_tools(mfa: Mfa) -> None:
    (mfa.bin / "fstcompile").unlink()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda mfa: mfa.model.unlink(), 'Could not find "'),
        (lambda mfa: mfa.dictionary.unlink(), "does not take the dictionary or the model"),
        (break_model, "ReadError"),
        (break_dictionary, "ValueError"),
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


def run_written(mfa: Mfa, utterances: Sequence[Utterance], written: Path, folder: str) -> dict[str, Outcome]:
    """Align with a stand-in that leaves what the real program wrote for these files."""
    # The adapter gives its own names, so a file is known by its length and its first words.
    script = f"""\
        import shutil, sys
        from pathlib import Path
        if sys.argv[1] == "version":
            print("3.4.3"); sys.exit(0)
        import soundfile as sf
        corpus, out = Path(sys.argv[2]), Path(sys.argv[5])
        out.mkdir(parents=True)
        for path in corpus.rglob("*.wav"):
            lab = path.with_suffix(".lab").read_text().split()
            for real in Path({str(written)!r}).rglob("*.TextGrid"):
                text = real.read_text()
                if f"\\nxmax = {{round(sf.info(path).duration, 6)}} \\n" in text and f'"{{lab[0]}}"' in text:
                    (out / path.parent.name).mkdir(exist_ok=True)
                    shutil.copy(real, out / path.parent.name / f"{{path.stem}}.TextGrid")
        """
    mfa.program.write_text(f"#!{sys.executable}\n" + textwrap.dedent(script), encoding="utf-8")
    outcomes = list(account(utterances, mfa.aligner().align(utterances)))
    return {outcome.utterance_id.removeprefix(folder): outcome for outcome in outcomes}


@pytest.mark.corpus
def test_what_the_real_program_wrote_for_a_corpus_with_faults(mfa: Mfa, test_data: Path) -> None:
    samples = test_data / "mfa_samples"
    corpus = read_corpus(samples / "corpus_with_faults")
    problems = {problem.utterance_id.split("/")[1] for problem in corpus.problems}
    assert problems == {"notrans", "nowav", "empty", "latin1"}
    outcomes = run_written(mfa, corpus.utterances, samples / "out_for_corpus_with_faults", "")
    aligned = {name for name, outcome in outcomes.items() if isinstance(outcome, Aligned)}
    assert aligned == {"spk_a/spk_a_000", "spk_a/spk_a_003", "spk_a/spk_a_006", "spk_b/spk_b_001", "spk_b/spk_b_004"}
    reasons = {name: o.reason for name, o in outcomes.items() if isinstance(o, Failure)}
    assert reasons == {
        "spk_a/alloov": Reason.NO_ALIGNMENT,
        "spk_a/oov": Reason.NO_ALIGNMENT,
        "spk_b/punct": Reason.NO_ALIGNMENT,
        "spk_b/mismatch": Reason.AUDIO_TOO_SHORT,
        "spk_b/short": Reason.AUDIO_TOO_SHORT,
        "spk_b/tooshort": Reason.AUDIO_TOO_SHORT,
    }


@pytest.mark.corpus
def test_words_that_the_real_program_changed(mfa: Mfa, test_data: Path) -> None:
    samples = test_data / "mfa_samples" / "words_changed"
    corpus = read_corpus(samples / "corpus")
    outcomes = run_written(mfa, corpus.utterances, samples / "out", "s/")
    first = outcomes["spk_a_000"]
    words = "the quick brown fox jumps over the lazy dog's 3 house dog"
    assert spoken(first) == words.split()
    assert " ".join(spoken(outcomes["spk_a_003"])) == "a journey of a thousand miles begins with a single step"
    assert isinstance(first, Aligned)
    # The phones of "3" and of "(house)" are spn: the dictionary has neither.
    assert first.guessed == {"3": "spn", "house": "spn"}
    text = (samples / "out" / "s" / "spk_a_000.TextGrid").read_text()
    (track,) = textgrid.read(text)
    assert [(w.start, w.end) for w in first.words] == [(w.start, w.end) for w in track.words]


@pytest.mark.corpus
def test_the_line_that_says_why_from_the_real_screen(test_data: Path) -> None:
    screen = (test_data / "mfa_samples" / "screen_missing_model.txt").read_text(encoding="utf-8")
    assert (
        _cause(screen)
        == "Invalid value for 'ACOUSTIC_MODEL_PATH': FileArgumentNotFoundError: Could not find \"nope.zip\"."
    )
