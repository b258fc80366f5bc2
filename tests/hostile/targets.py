"""Readers of files: a whole instance of what each reads, and the call that reads it.

Here are those of corpora, audio, alignments, archives and settings; the others are in `vector_targets` and
`emotion_targets`.
"""

from __future__ import annotations

import itertools
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile as sf
from aligned_folders import make_aligned, speechlike

import align
from align.aligned import iterate_aligned, merge_aligned
from align.aligners.pocketsphinx import PocketSphinxSettings
from align.base import Aligned, Failure, Reason
from align.checker import Checker
from align.exporting import ExportFormat
from align.importing import ImportSettings, Tally, read_alignments
from align.journal import Journal
from align.pronunciation import dictionary
from align.pronunciation.dictionary import Pronunciations
from speech2vec.corpus import audio
from speech2vec.corpus.download import unpack
from speech2vec.corpus.manifest import Utterance, Word, read_report, write_utterances
from speech2vec.corpus.readers import read_corpus
from speech2vec.corpus.transcripts import tags, tokenize
from speech2vec.features.extraction import extract
from speech2vec.features.mfcc import MfccSettings
from speech2vec.features.store import Store
from speech2vec.runtime.config import load_settings
from speech2vec.runtime.files import read_json, require_file
from speech2vec.training.presets import TrainSettings
from speech2vec.vectors.baselines import read_sentences


@dataclass(frozen=True)
class Target:
    """A reader.

    Parameters
    ----------
    name : str
    make : callable
        Writes a whole instance into an empty folder.
    read : callable
        Reads the folder; of a damaged one it may only raise a `UserError`.
    damaged : str
        Glob pattern of the files that are damaged, one at a time.
    weight : float
        How many of the inputs it gets, relative to others.
    """

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    damaged: str = "*"
    weight: float = 1.0


def _sound(folder: Path, name: str, **options: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sf.write(folder / name, speechlike(0.4, 1), options.pop("rate", 16000), **options)


def write_texts(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


# Corpora and transcripts


def _make_librispeech(folder: Path) -> None:
    for name in ("1-2-0001.flac", "1-2-0002.flac"):
        _sound(folder / "1" / "2", name)
    write_texts(folder, **{"1__2__1-2_DOT_trans_DOT_txt": "1-2-0001 HELLO [LAUGHTER] WORLD\n1-2-0002 DON'T (( GO\n"})


def _make_side_by_side(folder: Path) -> None:
    for name in ("a", "b"):
        _sound(folder, f"{name}.wav")
    write_texts(folder, a_DOT_txt="Hello, <noise> wörld!", b_DOT_lab="It's 1999.")


def _make_manifest(folder: Path) -> None:
    utterances = [Utterance(f"u{i}", Path(f"u{i}.wav"), "hello world", "s", 0.0, 0.3, 0, {"x": [1]}) for i in range(3)]
    write_utterances(folder / "utterances.jsonl", utterances)
    _sound(folder, "u0.wav")


def _read_corpus(folder: Path) -> None:
    for utterance in read_corpus(folder).utterances:
        tokenize(utterance.text)
        tags(utterance.text)


def _make_text(folder: Path) -> None:
    write_texts(folder, sentences_DOT_txt="u1 hello world\nu2 it's a [noise] day\n")


# Audio


def _make_audio(folder: Path) -> None:
    for name, options in {
        "a.wav": {},
        "b.flac": {},
        "c.ogg": {},
        "d.mp3": {},
        "e.aiff": {},
        "f.wav": {"subtype": "FLOAT", "rate": 44100},
        "g.au": {},
        "h.w64": {},
        "i.caf": {},
    }.items():
        _sound(folder, name, **options)


def _read_audio(folder: Path) -> None:
    (path,) = folder.glob("?.*")
    audio.info(path)
    audio.load(path, 0.1, 0.3)
    audio.load(path, channel=0)


# Alignments

WORDS = ("hello", "world")
_TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 2
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = ""
        intervals [2]:
            xmin = 0.5
            xmax = 1.0
            text = "hello"
        intervals [3]:
            xmin = 1.0
            xmax = 2
            text = "world"
"""
ALIGNMENTS = {
    "a.TextGrid": _TEXTGRID,
    "a.ctm": "a 1 0.50 0.50 hello 0.9\na 1 1.00 1.00 world\n",
    "a.csv": "Begin,End,Label,Type,Speaker\n0.5,1.0,hello,words,s\n1.0,2.0,world,words,s\n",
    "a.alignment.txt": 'a ",HELLO,WORLD" "0.5,1.0,2.0"\n',
    "a.wdseg": "SFrm EFrm SegAScr Word\n0 49 -100 <s>\n50 99 -500 HELLO\n100 199 -500 WORLD(2)\nTotal score: -1\n",
    "a.whisper.json": '{"segments": [{"words": [{"word": " Hello", "start": 0.5, "end": 1.0, "probability": 0.9}, '
    '{"word": " world", "start": 1.0, "end": 2.0}]}]}',
    "a.mfa.json": '{"start": 0, "end": 2.0, "tiers": {"words": {"type": "interval", "entries": '
    '[[0.5, 1.0, "hello"], [1.0, 2.0, "world"]]}}}',
}


def _make_alignments(folder: Path) -> None:
    for name, text in ALIGNMENTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    header = "file,begin,end,speaker,overall_log_likelihood,snr\n"
    (folder / "alignment_analysis.csv").write_text(f"{header}a,0.0,2.0,s,-50.5,3\n")


def _read_alignments(folder: Path) -> None:
    """Of one format at a time, which the damage may have made unrecognisable."""
    utterances = [Utterance("a", folder / "a.wav", "Hello world", "s")]
    for path in sorted(folder.glob("a.*")):
        for settings in (ImportSettings(), ImportSettings(format=_FORMATS.get(path.name))):
            tally = Tally()
            results = list(read_alignments(utterances, path, settings, tally))
            assert [result.utterance_id for result in results] == ["a"]
            tally.to_json()


_FORMATS = {
    "a.TextGrid": "textgrid",
    "a.ctm": "ctm",
    "a.csv": "csv",
    "a.alignment.txt": "alignment.txt",
    "a.wdseg": "wdseg",
    "a.whisper.json": "whisper",
    "a.mfa.json": "mfa-json",
}


def _read_analysis(folder: Path) -> None:
    utterances = [Utterance("a", folder / "a.wav", "Hello world", "s")]
    list(read_alignments(utterances, folder, ImportSettings(), Tally()))


def _make_finished(folder: Path) -> None:
    made = make_aligned(folder, 3, 0.7, ".wav")
    results = list(iterate_aligned(made))
    utterances = read_corpus(made).utterances
    failed = Failure("lost", Reason.NO_ALIGNMENT, "no path")
    from align.aligned import write_aligned

    settings = {"aligner": "x"}
    write_aligned(made, utterances, results, problems=[failed], settings=settings, extra={"shard": "1/1"})


def _read_aligned(folder: Path) -> None:
    list(iterate_aligned(folder))
    read_report(folder)
    str(Checker(folder).check())
    with tempfile.TemporaryDirectory() as out:
        merge_aligned([folder], Path(out) / "merged")
        align.export(folder, Path(out) / "export", ExportFormat.textgrid, quiet=True)
        align.export(folder, Path(out) / "csv", ExportFormat.csv, quiet=True)


def _read_for_features(folder: Path) -> None:
    read_sentences(folder)
    with tempfile.TemporaryDirectory() as out:
        extract(folder, Path(out) / "store", MfccSettings(), quiet=True)
        Store.open(Path(out) / "store")


_IDENTITY = {"settings": {"aligner": "x"}, "corpus": "abc", "shard": None}


def _make_journal(folder: Path) -> None:
    with Journal(folder / "journal.jsonl", _IDENTITY) as journal:
        journal.add(Aligned("a", (Word("a", "hello", 0.5, 1.0, -1.0),), {"hello": "HH"}))
        journal.add(Failure("b", Reason.NO_ALIGNMENT, "no path"))


def _read_journal(folder: Path) -> None:
    known = [Utterance(name, Path("a.wav"), "hello", "s") for name in "ab"]
    with Journal(folder / "journal.jsonl", _IDENTITY) as journal:
        list(journal.results([utterance for utterance in known if utterance.utterance_id in journal]))


def _make_dictionary(folder: Path) -> None:
    more = "".join(f"{'abcdefgh'[i]}{'aeio'[i % 4]}t {'PTKBDGFS'[i]} AH0 T\n" for i in range(8))
    write_texts(folder, words_DOT_dict=f";;; x\nhello HH AH0 L OW1\nhello(2) HH EH L OW\nworld W ER1 L D # x\n{more}")


def _read_dictionary(folder: Path) -> None:
    dictionary._read.cache_clear()  # of another file at the same path
    dictionary._learn.cache_clear()
    pronunciations = Pronunciations(folder / "words.dict")
    for word in ("hello", "world's", "1999", "xyz"):
        pronunciations.pronounce(word)


def _make_archives(folder: Path) -> None:
    inner = folder.parent / "to-be-packed"
    inner.mkdir(exist_ok=True)
    (inner / "MEN.txt").write_text("hello world 3\n" * 50)
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(inner / "MEN.txt", "x/MEN.txt")
    for name, mode in (("b.tar.gz", "w:gz"), ("c.tar", "w"), ("d.tar.xz", "w:xz"), ("e.tar.bz2", "w:bz2")):
        with tarfile.open(folder / name, mode) as tar:  # type: ignore[call-overload]
            tar.add(inner / "MEN.txt", "x/MEN.txt")


def _read_archive(folder: Path) -> None:
    (path,) = folder.glob("?.*")
    with tempfile.TemporaryDirectory() as out:
        unpack(path, Path(out) / "inside", quiet=True)
        assert [p.name for p in Path(out).iterdir()] in ([], ["inside"])


# Settings


def _make_settings(folder: Path) -> None:
    write_texts(
        folder,
        config_DOT_toml="seed = 1\n\n[model]\nvector_size = 8\ncell = 'gru'\n\n[optimiser]\nepochs = 1\n",
        overrides="model.vector_size=8\noptimiser.epochs=2\ndata.held_out=0.2\n",
        aligner="beams=[1e-48, 1e-100]\ngaussians=2\n",
        mfcc="n_mels=20\nfmin=50.0\n",
    )


def _read_settings(folder: Path) -> None:
    def given(name: str) -> list[str]:
        text = require_file(folder / name).read_bytes().decode("utf-8", "surrogateescape")
        return [line for line in text.split("\n") if line]

    path = folder / "config.toml"
    load_settings(TrainSettings, path if path.exists() else None, given("overrides"))
    load_settings(PocketSphinxSettings, None, given("aligner"))
    load_settings(MfccSettings, None, given("mfcc"))


def _make_json(folder: Path) -> None:
    write_texts(folder, a_DOT_json='{"a": [1, 2.5, {"b": "é"}], "c": null}')


TARGETS = [
    Target("LibriSpeech", _make_librispeech, _read_corpus, "*/*/*.txt"),
    Target("side by side", _make_side_by_side, _read_corpus, "*.[tl]??"),
    Target("manifest", _make_manifest, _read_corpus, "*.jsonl"),
    Target("sentences", _make_text, lambda f: read_sentences(f / "sentences.txt")),
    *(
        Target(f"audio {suffix}", _make_audio, _read_audio, f"?.{suffix}")
        for suffix in ("wav", "flac", "ogg", "mp3", "aiff", "au", "w64", "caf")
    ),
    *(Target(f"alignment {name[2:]}", _make_alignments, _read_alignments, name) for name in ALIGNMENTS),
    Target("MFA's analysis", _make_alignments, _read_analysis, "*.csv"),
    Target("ALIGNED", _make_finished, _read_aligned, "*.[jp][sa]*", 2),
    Target("ALIGNED for features", _make_finished, _read_for_features, "*.[jp][sa]*"),
    Target("journal", _make_journal, _read_journal),
    Target("dictionary", _make_dictionary, _read_dictionary),
    Target("archives", _make_archives, _read_archive, "?.*"),
    Target("settings", _make_settings, _read_settings, "*", 2),
    Target("JSON", _make_json, lambda f: read_json(f / "a.json")),
]

# Of these, the reader takes the only file there is.
ALONE = {"vectors", "archives", "encoder", *(t.name for t in TARGETS if t.name.startswith(("audio", "alignment ")))}


def files_of(target: Target, folder: Path) -> list[Path]:
    """The files of an instance that are damaged."""
    found = sorted(path for path in folder.glob(target.damaged) if path.is_file() and not path.name.startswith("."))
    return list(itertools.filterfalse(lambda path: path.name.endswith(".lock"), found))
