"""Synthetic corpora: text in chapters, a voice for each speaker, files in LibriSpeech's layout.

A chapter is the unit of work. It is spoken in a new process, so that it does not depend on other chapters. Its word
times are written last, and mark it as complete.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import re
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from gensim.test.utils import datapath

from scripts.emotional_text import OPENINGS
from scripts.emotional_text import sentence as emotional_sentence
from scripts.synthesis import Speech, UnmappedWordsError, Voice, in_fresh_processes, speak
from speech2vec.corpus.transcripts import tokenize
from speech2vec.runtime.config import fingerprint
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import append_json_line, atomic_path, write_json
from speech2vec.runtime.output import FolderContents
from speech2vec.runtime.processes import count_jobs
from speech2vec.runtime.progress import Tracker
from speech2vec.runtime.seeds import generator

SAMPLING_RATE = 16000
MARKER, SETTINGS, UNMAPPED = "SYNTHETIC.md", "synthetic.json", "unmapped.jsonl"
CONTENTS = FolderContents(
    marks=(MARKER, SETTINGS), others=(UNMAPPED, "SPEAKERS.TXT", "**/*.flac", "**/*.trans.txt", "**/*.alignment.txt")
)
log = logging.getLogger("speech2vec")

# Variants of espeak-ng that are easy to understand (no whisper, no robot) and reproducible (f2, f3 and f5 are not).
VARIANTS = {
    "F": ("f1", "f4", "Andrea", "Annie", "anika", "belinda", "linda", "steph", "steph2"),
    "M": ("m1", "m3", "m4", "m7", "Alex", "Andy", "Denis", "Gene", "Hugo", "Jacky", "Lee", "Marco", "Michael", "adam",
          "antonio", "benjamin", "david", "edward", "ian", "john", "paul", "quincy", "steph3", "travis", "victor"),
}  # fmt: skip
_STREAM_SPEAKER, _STREAM_CHAPTER, _STREAM_EMOTION = 1, 2, 5
_LINE_ID = re.compile(r"[^-\s]+-[^-\s]+-[^-\s]+")


@dataclass(frozen=True)
class Chapter:
    """Consecutive utterances of one speaker; an utterance is a list of clauses, a clause a list of words."""

    speaker: str
    name: str
    utterances: dict[str, list[list[str]]]

    @property
    def n_words(self) -> int:
        return sum(len(clause) for clauses in self.utterances.values() for clause in clauses)


@dataclass(frozen=True)
class Task:
    """A chapter to speak, and where to write it."""

    chapter: Chapter
    voice: Voice
    folder: Path
    alignments: Path
    seed: int


@dataclass
class Made:
    """Counts of what has been made, and the utterances that were left out."""

    utterances: int = 0
    words: int = 0
    seconds: float = 0.0
    unmapped: list[dict[str, object]] = field(default_factory=list)

    def add(self, other: Made) -> None:
        self.utterances += other.utterances
        self.words += other.words
        self.seconds += other.seconds
        self.unmapped += other.unmapped


def lee_chapters(n_speakers: int, max_words: int | None, max_utterance: int = 45) -> list[Chapter]:
    """The Lee corpus (news stories, from gensim): stories are chapters, sentences utterances; speakers take turns.

    Sentences with digits ("4:00pm") are left out, because transcripts spell out numbers.
    """
    chapters: list[Chapter] = []
    total = 0
    for number, story in enumerate(Path(datapath("lee_background.cor")).read_text(encoding="utf-8").splitlines()):
        speaker, name = str(number % n_speakers + 1), str(number + 1)
        utterances: dict[str, list[list[str]]] = {}
        for sentence in re.split(r"(?<=[.?!])[\"']?\s+", story):
            clauses = [words for clause in re.split(r"[,;:()\"]|--|\s-\s", sentence) if (words := tokenize(clause))]
            n_words = sum(map(len, clauses))
            if 3 <= n_words <= max_utterance and not re.search(r"\d", sentence):
                utterances[f"{speaker}-{name}-{len(utterances):04d}"] = clauses
        if utterances:
            chapters.append(Chapter(speaker, name, utterances))
            total += chapters[-1].n_words
        if max_words is not None and total >= max_words:
            break
    return chapters


def emotional_chapters(n_speakers: int, n_sentences: int, seed: int) -> list[Chapter]:
    """A chapter of emotional sentences (`scripts.emotional_text`) for each speaker of the Lee corpus."""
    chapters = []
    for number in range(1, n_speakers + 1):
        rng, speaker, name = generator(seed, _STREAM_EMOTION, number), str(number), str(9000 + number)
        labels = [list(OPENINGS)[i % len(OPENINGS)] for i in range(number - 1, n_sentences, n_speakers)]
        said = {f"{speaker}-{name}-{i:04d}": [emotional_sentence(label, rng)] for i, label in enumerate(labels)}
        chapters += [Chapter(speaker, name, said)] if said else []
    return chapters


def read_chapters(path: Path, max_words: int | None) -> list[Chapter]:
    """Read lines ``SPEAKER-CHAPTER-NUMBER WORDS...``: LibriSpeech's transcripts in one file."""
    chapters: dict[tuple[str, str], dict[str, list[list[str]]]] = {}
    total = 0
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        if max_words is not None and total >= max_words:
            break
        utterance_id, _, text = line.strip().partition(" ")
        if not utterance_id:
            continue
        if not _LINE_ID.fullmatch(utterance_id):
            raise UserError(f"{path}, line {number}: expected 'SPEAKER-CHAPTER-NUMBER WORDS', not '{line[:40]}'")
        words = tokenize(text)
        speaker, chapter, _ = utterance_id.split("-")
        utterances = chapters.setdefault((speaker, chapter), {})
        if utterance_id in utterances:
            raise UserError(f"{path}, line {number}: {utterance_id} is duplicated")
        utterances[utterance_id] = [words]
        total += len(words)
    return [Chapter(speaker, name, utterances) for (speaker, name), utterances in chapters.items()]


def draw_voices(speakers: Iterable[str], languages: Sequence[str], seed: int) -> dict[str, tuple[str, Voice]]:
    """Sex and voice of each speaker: all variants in turn, each time with another language, pitch and rate."""
    variants = itertools.cycle([name for pair in zip(*(VARIANTS[sex] for sex in "FM"), strict=False) for name in pair]
                               + list(VARIANTS["M"][len(VARIANTS["F"]) :]))  # fmt: skip
    voices = {}
    for index, (speaker, variant) in enumerate(zip(speakers, variants, strict=False)):
        rng = generator(seed, _STREAM_SPEAKER, index)
        voice = Voice(
            language=languages[index % len(languages)],
            variant=variant,
            pitch=int(rng.integers(35, 66)),
            rate=int(rng.integers(125, 166)),
            pitch_range=int(rng.integers(35, 66)),
        )
        voices[speaker] = ("F" if variant in VARIANTS["F"] else "M", voice)
    return voices


def as_recorded(speech: Speech, rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Samples at 16 kHz with silence at both ends and a noise floor (-60 dB), and their word times."""
    lead, tail = rng.uniform(0.2, 0.4, size=2)
    n_lead = round(lead * SAMPLING_RATE)
    sound = soxr.resample(speech.samples, speech.sampling_rate, SAMPLING_RATE)
    samples = np.concatenate([np.zeros(n_lead), sound, np.zeros(round(tail * SAMPLING_RATE))])
    samples = np.clip(samples + rng.normal(0.0, 1e-3, size=len(samples)), -1.0, 1.0)
    offset = n_lead / SAMPLING_RATE
    return samples.astype(np.float32), [(start + offset, end + offset) for start, end in speech.times]


def alignment_line(
    utterance_id: str, words: Sequence[str], times: Sequence[tuple[float, float]], duration: float
) -> str:
    """A line of an ``.alignment.txt``: words and END times, with empty words for silence."""
    labels, ends = [], []
    reached = 0.0
    for word, (start, end) in zip(words, times, strict=True):
        if start - reached > 5e-5:
            labels.append("")
            ends.append(start)
        labels.append(word.upper())
        ends.append(end)
        reached = end
    if duration - reached > 5e-5:
        labels.append("")
        ends.append(duration)
    return f'{utterance_id} "{",".join(labels)}" "{",".join(f"{end:.4f}" for end in ends)}"'


def make_chapter(task: Task) -> Made:
    """Speak one chapter and write its files; the word times come last, and mark the chapter as complete."""
    made = Made()
    chapter = task.chapter
    stem = f"{chapter.speaker}-{chapter.name}"
    task.folder.mkdir(parents=True, exist_ok=True)
    transcript, alignment = [], []
    rng = generator(task.seed, _STREAM_CHAPTER, zlib.crc32(stem.encode()))
    for utterance_id, clauses in chapter.utterances.items():
        words = [word for clause in clauses for word in clause]
        text = " ".join(words).upper()
        if not words or tokenize(text) != words:
            made.unmapped.append({"utterance_id": utterance_id, "reason": "its words do not survive upper case"})
            continue
        try:
            samples, times = as_recorded(speak(clauses, task.voice), rng)
        except UnmappedWordsError as error:
            made.unmapped.append({"utterance_id": utterance_id, "reason": f"no time reported for: {error}"})
            continue
        with atomic_path(task.folder / f"{utterance_id}.flac") as path:
            sf.write(path, samples, SAMPLING_RATE, format="FLAC", subtype="PCM_16")
        transcript.append(f"{utterance_id} {text}")
        alignment.append(alignment_line(utterance_id, words, times, len(samples) / SAMPLING_RATE))
        made.add(Made(1, len(words), len(samples) / SAMPLING_RATE))
    for folder, suffix, lines in ((task.folder, "trans", transcript), (task.alignments, "alignment", alignment)):
        with atomic_path(folder / f"{stem}.{suffix}.txt") as path:
            path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return made


def make_corpus(
    chapters: Sequence[Chapter],
    output: Path,
    subset: str,
    languages: Sequence[str] = ("en-us",),
    seed: int = 0,
    shard: tuple[int, int] = (0, 1),
    jobs: int = 0,
    quiet: bool = False,
) -> Made:
    """Speak `chapters` into `output`; existing chapters are kept.

    Raises
    ------
    UserError
        If the folder has a corpus made with other settings, or espeak-ng lacks a voice.
    """
    voices = draw_voices(dict.fromkeys(chapter.speaker for chapter in chapters), languages, seed)
    settings = {
        "synthetic": True,
        "made_by": "scripts/make_synthetic_corpus.py, espeak-ng",
        "subset": subset,
        "seed": seed,
        "chapters": len(chapters),
        "utterances": sum(len(chapter.utterances) for chapter in chapters),
        "words": sum(chapter.n_words for chapter in chapters),
        "text": fingerprint({f"{c.speaker}-{c.name}": list(c.utterances.items()) for c in chapters}),
        "speakers": {speaker: {"sex": sex, **dataclasses.asdict(voice)} for speaker, (sex, voice) in voices.items()},
    }
    _claim(output, settings)
    tasks = []
    for index, chapter in enumerate(chapters):
        below = Path(subset) / chapter.speaker / chapter.name
        alignments = output / "alignments" / below
        if (
            index % shard[1] == shard[0]
            and not (alignments / f"{chapter.speaker}-{chapter.name}.alignment.txt").exists()
        ):
            tasks.append(Task(chapter, voices[chapter.speaker][1], output / below, alignments, seed))
    made = Made()
    started = time.monotonic()
    with Tracker("speaking", len(tasks), "chapters", quiet) as tracker:
        for done in in_fresh_processes(make_chapter, tasks, count_jobs(jobs), [__name__]):
            made.add(done)
            for row in done.unmapped:
                append_json_line(output / UNMAPPED, row)
            tracker.advance(note=f"{made.seconds / (time.monotonic() - started):,.0f} x real time")
    return made


def _claim(output: Path, settings: dict[str, object]) -> None:
    """Mark the folder as synthetic before any audio is written; refuse one with other settings."""
    path = output / SETTINGS
    if path.exists():
        if json.loads(path.read_text(encoding="utf-8")) != settings:
            raise UserError(f"{output} has a synthetic corpus of other text or settings: replace it with --force")
        return
    with atomic_path(output / MARKER) as marker:
        marker.write_text(
            "# SYNTHETIC speech\n\n"
            "Nothing here was said by a person: espeak-ng spoke the text, `synthetic.json` says how.\n"
            "Results on it say that a program works; they are not results on speech.\n",
            encoding="utf-8",
        )
    speakers = settings["speakers"]
    assert isinstance(speakers, dict)
    with atomic_path(output / "SPEAKERS.TXT") as table:
        rows = [f"{name:<5}| {row['sex']} | {settings['subset']} | 0 | SYNTHETIC {row['language']} {row['variant']}"
                for name, row in speakers.items()]  # fmt: skip
        table.write_text("\n".join([";ID  |SEX| SUBSET | MINUTES | NAME", *rows]) + "\n", encoding="utf-8")
    write_json(path, settings)
