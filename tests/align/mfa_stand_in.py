"""A stand-in for the program `mfa` that behaves, and fails, as the real one does; and a corpus for it to align."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import soundfile as sf
from sounds import babble

from align.aligners.mfa import MfaAligner, MfaSettings
from align.base import Aligned, AlignmentResult, Failure
from speech2vec.corpus.manifest import Utterance

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
if (HERE / "hang").exists():
    import subprocess, time
    child = subprocess.Popen(["sleep", "300"])
    (HERE / "hanging").write_text(f"{os.getpid()} {child.pid} {root}")
    time.sleep(300)
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
rows = []
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
if args[0] != "train" or flags.get("output_analysis") == "true" and VERSION >= "3.4":
    with (out / "alignment_analysis.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "begin", "end", "speaker", "overall_log_likelihood", "snr"])
        writer.writeheader()
        writer.writerows(rows)
if args[0] == "train":
    if model_out.suffix != ".zip":
        end(2, "TypeError: expected str, bytes or os.PathLike object, not NoneType")
    with zipfile.ZipFile(model_out, "w") as archive:
        archive.writestr("meta.json", "{}")
    (model_out.parent / f"{dictionary.stem}.dict").write_text("the 0.99 0.1 1.0 1.0 DH AH0\\n")
if (HERE / "kill_parent_after").exists() and len((HERE / "calls.jsonl").read_text().splitlines()) == int(
    (HERE / "kill_parent_after").read_text()
):
    os.kill(int((HERE / "parent").read_text()), 9)
    import time
    time.sleep(300)
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
        sound = more.pop("sound", None)
        sf.write(path, babble(seconds * rate / 16000, len(self.utterances)) if sound is None else sound, rate)
        utterance = Utterance(name, path, text, str(more.pop("speaker", "a speaker")), **more)  # type: ignore[arg-type]
        self.utterances.append(utterance)
        return utterance

    def aligner(self, **settings: object) -> MfaAligner:
        given = {"program": str(self.program), "dictionary": str(self.dictionary), "acoustic_model": str(self.model)}
        return MfaAligner(MfaSettings(**{**given, **settings}), jobs=2)  # type: ignore[arg-type]

    def align(self, **settings: object) -> dict[str, AlignmentResult]:
        outcomes = list(self.aligner(**settings).align(self.utterances))
        assert sorted(o.utterance_id for o in outcomes) == sorted(u.utterance_id for u in self.utterances)
        return {outcome.utterance_id: outcome for outcome in outcomes}

    def calls(self) -> list[dict]:
        path = self.bin / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def spoken(outcome: AlignmentResult) -> list[str]:
    assert isinstance(outcome, Aligned), outcome
    return [word.word for word in outcome.words]


def failed(outcome: AlignmentResult) -> Failure:
    assert isinstance(outcome, Failure), outcome
    return outcome
