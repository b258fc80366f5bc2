"""IEMOCAP: ten actors in five sessions, improvised and scripted dialogues (Busso et al., LREC 42(4), 2008).

Layout below ``IEMOCAP_full_release``: ``Session{1..5}/sentences/wav/DIALOG/UTT.wav``,
``sentences/ForcedAlignment/DIALOG/UTT.wdseg``, ``dialog/EmoEvaluation/DIALOG.txt``,
``dialog/transcriptions/DIALOG.txt``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from emotion.corpora.base import BAD_NAME, NO_LABEL, EmotionCorpus
from speech2vec.corpus.readers import NO_AUDIO, NO_TRANSCRIPT, Problem, audio_files
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.guarded import read_text

# Excitement is merged with happiness, as is customary. The other labels are outside the four classes.
LABELS = {
    "neu": "neu",
    "hap": "hap",
    "exc": "hap",
    "sad": "sad",
    "ang": "ang",
    "fru": None,
    "sur": None,
    "fea": None,
    "dis": None,
    "oth": None,
    "xxx": None,
}
EXPECTED = {
    "neu": 1708,
    "hap": 595,
    "exc": 1041,
    "sad": 1084,
    "ang": 1103,
    "fru": 1849,
    "sur": 107,
    "fea": 40,
    "dis": 2,
    "oth": 3,
    "xxx": 2507,
}
EXPECTED_SESSIONS = {
    "1": {"neu": 384, "hap": 278, "sad": 194, "ang": 229},
    "2": {"neu": 362, "hap": 327, "sad": 197, "ang": 137},
    "3": {"neu": 320, "hap": 286, "sad": 305, "ang": 240},
    "4": {"neu": 258, "hap": 303, "sad": 143, "ang": 327},
    "5": {"neu": 384, "hap": 442, "sad": 245, "ang": 170},
}

NO_ALIGNMENT = "no forced alignment"

_UTTERANCE = re.compile(r"(Ses0([1-5])[FM]_(impro|script)\w*)_([FM])\d+")
_EVALUATION = re.compile(r"\[\s*([\d.]+)\s*-\s*([\d.]+)\s*\]\s+(\S+)\s+(\w+)\s+\[")
_TRANSCRIPT = re.compile(r"(Ses\S+)\s+\[[^\]]*\]\s*:\s*(.*)")


def read_iemocap(root: Path) -> EmotionCorpus:
    """Read IEMOCAP from ``IEMOCAP_full_release`` or the folder above it.

    The speaker is identified by the session and the letter in an utterance's LAST field (the first F or M in its name
    only says who wore the motion-capture markers). An utterance without forced alignment is noted: its words have to
    be aligned.

    Raises
    ------
    UserError
        There are no sessions, a folder of the release is missing, or no utterance has a label.
    """
    release = root / "IEMOCAP_full_release" if (root / "IEMOCAP_full_release").is_dir() else root
    sessions = [path for path in sorted(release.glob("Session[1-5]")) if path.is_dir()]
    if not sessions:
        raise UserError(f"{root} is not IEMOCAP: it contains neither Session1 to Session5 nor IEMOCAP_full_release")
    corpus = EmotionCorpus("iemocap", LABELS, expected=EXPECTED, expected_sessions=EXPECTED_SESSIONS)
    for session in sessions:
        for evaluation in text_files(session / "dialog" / "EmoEvaluation"):
            _read_dialogue(corpus, session, evaluation)
    if not corpus.utterances:
        raise UserError(f"{root} contains no labelled utterance (dialog/EmoEvaluation/*.txt, sentences/wav/*/*.wav)")
    return corpus


def text_files(folder: Path) -> list[Path]:
    """The ``.txt`` files of a folder, without subfolders and macOS metadata (``._*``, ``.DS_Store``).

    Raises
    ------
    UserError
        The folder does not exist.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is missing: the release is incomplete")
    return [p for p in sorted(folder.iterdir()) if p.suffix == ".txt" and not p.name.startswith(".") and p.is_file()]


def read_evaluations(path: Path) -> Iterator[tuple[str, str]]:
    """Utterance ids and labels of an ``EmoEvaluation/DIALOG.txt``: the first line of each block."""
    for line in read_text(path).splitlines():
        match = _EVALUATION.match(line)
        if match:
            yield match[3], match[4].lower()


def read_transcripts(path: Path) -> dict[str, str]:
    """Texts of a ``transcriptions/DIALOG.txt`` by utterance, without off-stage speech (ids with XX) and notes."""
    texts: dict[str, str] = {}
    for line in read_text(path).splitlines():
        match = _TRANSCRIPT.match(line)
        if match and "XX" not in match[1]:
            texts[match[1]] = " ".join(match[2].split())
    return texts


def _read_dialogue(corpus: EmotionCorpus, session: Path, evaluation: Path) -> None:
    dialogue = evaluation.stem
    transcription = session / "dialog" / "transcriptions" / evaluation.name
    texts = read_transcripts(transcription) if transcription.is_file() else {}
    sounds = session / "sentences" / "wav" / dialogue
    audio = {path.stem: path for path in audio_files(sounds)} if sounds.is_dir() else {}
    alignment = session / "sentences" / "ForcedAlignment"
    aligned = {path.stem for path in (alignment / dialogue).glob("*.wdseg")}
    labelled = set()
    for name, label in read_evaluations(evaluation):
        labelled.add(name)
        match = _UTTERANCE.fullmatch(name)
        if not match:
            corpus.problems.append(Problem(name, BAD_NAME, f"in {evaluation}"))
            continue
        if name not in audio:
            corpus.problems.append(Problem(name, NO_AUDIO, f"named in {evaluation}"))
            continue
        if name not in texts:
            corpus.notes.append(Problem(name, NO_TRANSCRIPT, f"not in {transcription}"))
        if alignment.is_dir() and name not in aligned:
            corpus.notes.append(Problem(name, NO_ALIGNMENT, "its words have to be aligned with its transcript"))
        _, number, style, letter = match.groups()
        corpus.add(
            name,
            audio[name],
            texts.get(name, ""),
            f"Ses0{number}{letter}",
            label,
            session=number,
            style="improvised" if style == "impro" else "scripted",
            dialogue=dialogue,
            sex="female" if letter == "F" else "male",
        )
    unlabelled = sorted(audio.keys() - labelled)
    corpus.problems += [Problem(name, NO_LABEL, f"not in {evaluation}") for name in unlabelled]
