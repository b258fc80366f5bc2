"""MELD: dialogues of a television series with 7 emotions (Poria et al., ACL 2019); with audio if extracted.

``{train,dev,test}_sent_emo.csv`` contain the text; the audio is in the videos ``diaD_uttU.mp4`` of each split and has
to be extracted under the same names (``ffmpeg -i dia0_utt0.mp4 -ac 1 -ar 16000 dia0_utt0.wav``).
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from emotion.corpora.base import EmotionCorpus
from speech2vec.corpus.readers import AUDIO_SUFFIXES, NO_AUDIO, Problem
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.guarded import read_csv

LABELS = {
    "neutral": "neu",
    "joy": "hap",
    "sadness": "sad",
    "anger": "ang",
    "surprise": None,
    "fear": None,
    "disgust": None,
}
# Folders of each split: as in the release, and its plain name.
SPLITS = {
    "train": ("train_splits", "train"),
    "dev": ("dev_splits_complete", "dev"),
    "test": ("output_repeated_splits_test", "test"),
}
EXPECTED = {
    split: dict(zip(LABELS, counts, strict=True))
    for split, counts in {
        "train": (4710, 1743, 683, 1109, 1205, 268, 271),
        "dev": (470, 163, 111, 153, 150, 40, 22),
        "test": (1256, 402, 208, 345, 281, 50, 68),
    }.items()
}
_COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
_CLIP = re.compile(r"dia\d+_utt\d+")


def read_meld(root: Path) -> EmotionCorpus:
    """Read the splits whose CSV file is in `root` or below; audio is searched beside each CSV file.

    Each split numbers its dialogues from 0, so ids begin with the split (``train_dia0_utt3``). There are no sessions.
    An utterance without audio is kept as text only if its split has no audio at all; otherwise it is a problem.

    Raises
    ------
    UserError
        There are no transcripts, or one lacks a column.
    """
    corpus = EmotionCorpus("meld", LABELS)
    expected: Counter[str] = Counter()
    files = sorted(path for path in root.rglob("*_sent_emo.csv") if not path.name.startswith("."))
    for file in files:
        split = file.name.removesuffix("_sent_emo.csv")
        if split not in SPLITS:
            corpus.problems.append(Problem(file.name, "not a split of MELD (train, dev, test)", str(file)))
            continue
        _read_split(corpus, file, split)
        expected.update(EXPECTED[split])
    corpus.expected = expected
    if not corpus.utterances:
        raise UserError(f"{root} contains no MELD transcripts (train_sent_emo.csv etc.)")
    return corpus


def _read_split(corpus: EmotionCorpus, file: Path, split: str) -> None:
    folders = [file.parent / name for name in SPLITS[split] if (file.parent / name).is_dir()]
    clips = {p.stem: p for folder in folders for p in sorted(folder.rglob("*")) if _CLIP.fullmatch(p.stem)}
    audio = {stem: path for stem, path in clips.items() if path.suffix.lower() in AUDIO_SUFFIXES}
    if clips and not audio:
        kinds = ", ".join(sorted(Counter(path.suffix for path in clips.values())))
        corpus.notes.append(Problem(file.name, "text only", f"{kinds} files are not audio: extract it with ffmpeg"))
    columns, rows = read_csv(file)
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise UserError(f"{file} lacks the column(s) {', '.join(missing)}")
    for number, row in rows:
        if any(row[name] is None for name in _COLUMNS):
            corpus.problems.append(Problem(f"{split}_line{number}", "incomplete row", f"{file}, line {number}"))
            continue
        clip = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
        name = f"{split}_{clip}"
        if audio and clip not in audio:
            corpus.problems.append(Problem(name, NO_AUDIO, f"named in {file}"))
            continue
        corpus.add(
            name,
            audio.get(clip, file.parent / SPLITS[split][0] / f"{clip}.wav"),
            " ".join(row["Utterance"].split()),
            " ".join(row["Speaker"].split()),
            row["Emotion"].strip().lower(),
            style="scripted",
            dialogue=f"{split}_dia{row['Dialogue_ID']}",
            text_only=True if not audio else None,
        )
