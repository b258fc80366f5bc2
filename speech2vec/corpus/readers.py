"""Reading corpora: the layout of LibriSpeech, audio files next to .txt or .lab files, or an utterances.jsonl."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from speech2vec.corpus.manifest import UTTERANCES_FILE, Utterance, read_utterances
from speech2vec.runtime.errors import UserError, clear_line
from speech2vec.runtime.files import is_utf8, require_file
from speech2vec.runtime.guarded import open_utf8

AUDIO_SUFFIXES = frozenset(
    (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64")
)


TRANSCRIPT_SUFFIXES = (".lab", ".txt")

# Marks, at its root, a corpus of synthesised speech: all results from it must be labelled synthetic.
SYNTHETIC_FILE = "synthetic.json"

NO_AUDIO = "no audio"

NO_TRANSCRIPT = "no transcript"

EMPTY_TRANSCRIPT = "empty transcript"

BAD_TRANSCRIPT = "unreadable transcript"

BAD_FILE_NAME = "file name is not UTF-8"

DUPLICATE = "duplicate id"


@dataclass(frozen=True)
class Problem:
    """A file or an entry of a corpus that cannot be used, with the reason."""

    utterance_id: str
    reason: str
    detail: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", clear_line(self.detail))


@dataclass
class Corpus:
    """The utterances of a corpus, and its unusable files and entries."""

    utterances: list[Utterance] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_corpus(path: Path) -> Corpus:
    """Read a corpus, whose layout is recognised by its files.

    Parameters
    ----------
    path : Path
        A folder in the layout of LibriSpeech (the corpus, or some subsets: any folder with ``*.trans.txt`` files
        below it), a tree of audio files each with a ``.lab`` or ``.txt`` next to it, an ``utterances.jsonl``, or a
        folder that contains one.

    Returns
    -------
    Corpus
        Utterances sorted by id. Its problems list every audio file without a transcript, transcript without audio
        and empty transcript.

    Raises
    ------
    UserError
        If the folder does not exist or is not a corpus.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such corpus folder or file")
    if path.is_file():
        if path.suffix != ".jsonl":
            raise UserError(f"{path} is not a corpus: give a folder or an utterances.jsonl")
        return _split_unusable(read_utterances(path), [])
    if (path / UTTERANCES_FILE).exists():
        return _split_unusable(read_utterances(path), [])
    transcripts = sorted(
        p for folder in folders_below(path) for p in folder.glob("*.trans.txt") if not p.name.startswith(".")
    )
    is_librispeech = any(not transcript.is_dir() for transcript in transcripts)
    corpus = _read_librispeech(transcripts) if is_librispeech else _read_side_by_side(path)
    if not corpus.utterances and not corpus.problems:
        raise UserError(
            f"{path} is not a corpus: it contains neither *.trans.txt files of LibriSpeech, nor audio files with .txt "
            f"or .lab files next to them, nor an {UTTERANCES_FILE}"
        )
    return corpus


def is_synthetic(path: Path) -> bool:
    """Whether a path is, or lies in, a corpus of synthesised speech (marked by a file synthetic.json)."""
    places = {place for given in (Path(path).absolute(), Path(path).resolve()) for place in (given, *given.parents)}
    return any((place / SYNTHETIC_FILE).exists() for place in places)


def _split_unusable(utterances: list[Utterance], problems: list[Problem]) -> Corpus:
    kept = []
    for utterance in sorted(utterances, key=lambda u: u.utterance_id):
        if not is_utf8(f"{utterance.utterance_id}{utterance.audio}"):
            problems.append(Problem(utterance.utterance_id, BAD_FILE_NAME, f"{utterance.audio}: rename it"))
        elif utterance.text.strip():
            kept.append(utterance)
        else:
            problems.append(Problem(utterance.utterance_id, EMPTY_TRANSCRIPT, str(utterance.audio)))
    return Corpus(kept, [writable(problem) for problem in problems])


def writable(problem: Problem) -> Problem:
    """A problem with escapes in place of what is not UTF-8."""
    texts = (problem.utterance_id, problem.reason, problem.detail)
    return Problem(*(text.encode("utf-8", "backslashreplace").decode() for text in texts))


def folders_below(root: Path) -> list[Path]:
    """A folder and all folders below it, sorted; follows links (each folder once) and skips hidden folders."""
    found, seen = [], set()
    for name, children, _ in os.walk(root, followlinks=True):
        folder = Path(name)
        real = folder.resolve()
        children[:] = [] if real in seen else [child for child in children if not child.startswith(".")]
        if real not in seen:
            found.append(folder)
        seen.add(real)
    return sorted(found)


def audio_files(folder: Path) -> Iterator[Path]:
    """The audio files of one folder by suffix, sorted by name, without hidden files (``._a.wav``)."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".") and path.is_file():
            yield path


def text_beside(audio: Path) -> str | None:
    """The transcript that lies beside an audio file as ``.lab`` or ``.txt``; None if neither does."""
    for suffix in TRANSCRIPT_SUFFIXES:
        if audio.with_suffix(suffix).exists():
            return require_file(audio.with_suffix(suffix)).read_text(encoding="utf-8-sig", errors="replace").strip()
    return None


def _read_text(path: Path) -> str:
    with open_utf8(path) as file:
        return file.read().strip()


def _read_librispeech(transcripts: list[Path]) -> Corpus:
    utterances: dict[str, Utterance] = {}
    problems: list[Problem] = []
    for folder, files in groupby(transcripts, key=lambda path: path.parent):
        audio: dict[str, Path] = {}
        for path in audio_files(folder):
            if audio.setdefault(path.stem, path) != path:
                problems.append(Problem(path.stem, DUPLICATE, f"{path} has the same stem as {audio[path.stem].name}"))
        named: set[str] = set()
        for transcript in files:
            try:
                lines = _read_text(transcript).split("\n")
            except UserError as error:
                problems.append(Problem(transcript.name, BAD_TRANSCRIPT, str(error)))
                continue
            for line in filter(str.strip, lines):
                name, *text = line.split(maxsplit=1)
                named.add(name)
                if name in utterances:
                    problems.append(Problem(name, DUPLICATE, f"again in {transcript}"))
                elif name not in audio:
                    problems.append(Problem(name, NO_AUDIO, f"named in {transcript}"))
                else:
                    speaker = name.split("-")[0]
                    utterances[name] = Utterance(name, audio[name].absolute(), " ".join(text).strip(), speaker)
        problems += [Problem(name, NO_TRANSCRIPT, str(path)) for name, path in audio.items() if name not in named]
    return _split_unusable(list(utterances.values()), problems)


def _read_side_by_side(root: Path) -> Corpus:
    """The first folder level below `root` names the speaker (as with other aligners); a flat folder is one speaker."""
    utterances: list[Utterance] = []
    problems: list[Problem] = []
    for folder in folders_below(root):
        relative = folder.relative_to(root)
        speaker = relative.parts[0] if relative.parts else root.resolve().name
        audio: dict[str, Path] = {}
        for path in audio_files(folder):
            name = "/".join((*relative.parts, path.stem))
            if path.stem in audio:
                problems.append(Problem(name, DUPLICATE, f"{path} has the same stem as {audio[path.stem].name}"))
            else:
                audio[path.stem] = path
        texts: dict[str, Path] = {}
        for suffix in TRANSCRIPT_SUFFIXES:
            for path in sorted(folder.glob(f"*{suffix}")):
                if not path.name.startswith("."):
                    texts.setdefault(path.stem, path)
        for stem in sorted(audio.keys() | texts.keys()):
            name = "/".join((*relative.parts, stem))
            if stem not in texts:
                problems.append(Problem(name, NO_TRANSCRIPT, str(audio[stem])))
            elif stem not in audio:
                # In a folder without audio, a .txt is not a transcript but a README, a licence, ...
                if audio:
                    problems.append(Problem(name, NO_AUDIO, str(texts[stem])))
            else:
                try:
                    text = " ".join(_read_text(texts[stem]).split())
                except UserError as error:
                    problems.append(Problem(name, BAD_TRANSCRIPT, str(error)))
                    continue
                utterances.append(Utterance(name, audio[stem].absolute(), text, speaker))
    return _split_unusable(utterances, problems)
