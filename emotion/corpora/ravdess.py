"""RAVDESS: 24 actors, 8 emotions, two sentences (Livingstone & Russo, PLoS ONE 13(5), 2018; zenodo.org/record/1188976).

File names are seven two-digit fields: modality-channel-emotion-intensity-statement-repetition-actor. Only audio-only
(modality 03) speech (channel 01) is used; the release also contains songs and videos.
"""

from __future__ import annotations

import re
from pathlib import Path

from emotion.corpora.base import BAD_NAME, EmotionCorpus
from speech2vec.corpus.readers import Problem, audio_files
from speech2vec.runtime.errors import UserError

LABELS = {
    "neutral": "neu",
    "calm": None,
    "happy": "hap",
    "sad": "sad",
    "angry": "ang",
    "fearful": None,
    "disgust": None,
    "surprised": None,
}
SENTENCES = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
EXPECTED = {label: 96 if label == "neutral" else 192 for label in LABELS}

NOT_SPEECH = "song or video"

_NAME = re.compile(r"(\d\d)-(\d\d)-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)")
_EMOTIONS = tuple(LABELS)


def read_ravdess(root: Path) -> EmotionCorpus:
    """Read the speech of RAVDESS, in any audio format, from the ``Actor_*`` folders at any depth below `root`.

    Speakers are "01" to "24"; odd numbers are male, even numbers female. There are no sessions.

    Raises
    ------
    UserError
        There is no RAVDESS speech in or below `root`.
    """
    corpus = EmotionCorpus("ravdess", LABELS, expected=EXPECTED)
    folders = sorted(path for path in root.rglob("Actor_*") if path.is_dir())
    for folder in folders or [root]:
        for path in audio_files(folder):
            match = _NAME.fullmatch(path.stem)
            if not match:
                corpus.problems.append(Problem(path.stem, BAD_NAME, str(path)))
                continue
            modality, channel, emotion, _, statement, _, actor = match.groups()
            if (modality, channel) != ("03", "01"):
                corpus.problems.append(Problem(path.stem, NOT_SPEECH, str(path)))
                continue
            label = _EMOTIONS[int(emotion) - 1]
            sex = "male" if int(actor) % 2 else "female"
            corpus.add(path.stem, path, SENTENCES[statement], actor, label, style="scripted", sex=sex)
    if not corpus.utterances:
        raise UserError(f"{root} contains no RAVDESS speech (Actor_01/03-01-01-01-01-01-01.wav etc.)")
    return corpus
